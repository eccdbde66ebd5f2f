"""Repeated stretches and copies are found by hashes, and what is still or black fits nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests import results_files
from tests.commands import videodag
from tests.results_files import CLIPS
from videodag_cli.compare.duplicates import Duplicates, Hashes, find_duplicates, read_hashes
from videodag_cli.errors import RequestError, VideodagError

PEDESTRIANS = CLIPS / "pedestrians.mp4"


def walk(seed: int, length: int = 240) -> np.ndarray:
    """Hashes as those of a video: scenes, in which a few bits change from frame to frame."""
    rng = np.random.default_rng(seed)
    bits: list[int] = []
    while len(bits) < length:
        picture = int(rng.integers(0, 2**63)) * 2 + int(rng.integers(0, 2))
        for _ in range(int(rng.integers(6, 16))):
            for bit in rng.integers(0, 64, 2):
                picture ^= 1 << int(bit)
            bits.append(picture)
    return np.array(bits[:length], np.uint64)


def noisy(bits: np.ndarray, flips: int, seed: int = 9) -> np.ndarray:
    """As another coding would have them."""
    rng = np.random.default_rng(seed)
    for _ in range(flips):
        bits = bits ^ (np.uint64(1) << rng.integers(0, 64, len(bits)).astype(np.uint64))
    return bits


def hashes(name: str, bits: np.ndarray, *, step_s: float = 0.5, start_s: float = 0.0) -> Hashes:
    times = np.asarray(start_s + step_s * np.arange(len(bits)), np.float64)
    return Hashes(name, times, bits, step_s, float(times[0]), float(times[-1]))


def spans(found: Duplicates) -> list[tuple[str, float, str, float, float]]:
    return [(s.a, s.a_start_s, s.b, s.b_start_s, s.a_end_s - s.a_start_s) for s in found.stretches]


def test_a_copy_coded_again_is_found_and_other_clips_are_not() -> None:
    files = [hashes(f"{i}", walk(i)) for i in range(20)]
    found = find_duplicates([*files, hashes("copy", noisy(walk(7), 3))])
    assert found.groups == [["7", "copy"]]
    assert spans(found) == [("7", 0.0, "copy", 0.0, 119.5)]
    assert found.stretches[0].copy


def test_a_stretch_inside_others_is_found_with_its_times() -> None:
    spot = walk(50, 40)
    one, other = walk(1), walk(2)
    one[60:100], other[130:170] = spot, noisy(spot, 2)
    found = find_duplicates([hashes("one", one), hashes("other", other)])
    ((a, a_start, b, b_start, length),) = spans(found)
    assert (a, b, found.groups) == ("one", "other", [])
    assert (a_start, b_start, length) == pytest.approx((30.0, 65.0, 19.5), abs=1.0)


def test_a_stretch_repeated_within_one_file_is_found() -> None:
    bits = walk(3)
    bits[200:230] = noisy(bits[20:50], 2)
    found = find_duplicates([hashes("one", bits)])
    ((a, a_start, b, b_start, length),) = spans(found)
    assert (a, b) == ("one", "one")
    assert (a_start, b_start, length) == pytest.approx((10.0, 100.0, 14.5), abs=1.0)


def test_another_sampling_and_another_start_are_found() -> None:
    fine = walk(4, 1200)
    coarse = noisy(fine[103::4], 2)  # every 0.4 s from 10.3 s on, called 0 there
    found = find_duplicates([hashes("fine", fine, step_s=0.1), hashes("coarse", coarse, step_s=0.4)])
    ((a, a_start, b, b_start, length),) = spans(found)
    assert (a, b) == ("fine", "coarse")
    assert (a_start - b_start, length) == pytest.approx((10.3, 109.6), abs=0.5)


def test_still_pictures_fit_nothing() -> None:
    still = [hashes(f"still {i}", noisy(np.full(400, 0x90D56C2ED8CCF51A, np.uint64), 2, seed=i)) for i in range(6)]
    found = find_duplicates([*still, hashes("moves", walk(5))])
    assert (found.groups, found.stretches) == ([], [])
    assert len(found.remarks) == 6
    assert all("hardly change" in remark for remark in found.remarks)


def test_a_long_still_in_two_moving_clips_is_no_repetition() -> None:
    one, other = walk(6), walk(7)
    one[40:140] = other[90:190] = np.uint64(0x90D56C2ED8CCF51A)
    assert find_duplicates([hashes("one", one), hashes("other", other)]).stretches == []


def test_two_hundred_copies_are_one_group_without_all_pairs() -> None:
    files = [hashes(f"{i}", noisy(walk(1), 2, seed=i)) for i in range(200)]
    found = find_duplicates(files)
    assert [len(group) for group in found.groups] == [200]
    assert len(found.stretches) < 1000


def test_frames_without_a_hash_are_left_out(tmp_path: Path) -> None:
    lines = [
        results_files.line(i, {"hash": {"phash": None if i < 5 else f"{i:016x}", "contrast": 1.0}}) for i in range(9)
    ]
    found = read_hashes(results_files.write(tmp_path / "a.jsonl", lines))
    assert (len(found.bits), found.times[0], found.start_s) == (4, 0.2, 0.0)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"people": []}, "run the pipeline hashes"),
        ({"h": {"phash": "12"}}, "is not 16 hexadecimal digits"),
        ({"h": {"phash": "0" * 16}, "g": {"phash": "1" * 16}}, "choose with --node"),
    ],
)
def test_what_holds_no_hash_is_refused(tmp_path: Path, result: dict[str, object], said: str) -> None:
    file = results_files.write(tmp_path / "a.jsonl", [results_files.line(0, result)])
    with pytest.raises(VideodagError, match=said):
        read_hashes(file)
    if "g" in result:
        assert len(read_hashes(file, node="g").bits) == 1
        with pytest.raises(RequestError):
            read_hashes(file)


@pytest.mark.slow
def test_a_real_clip_cut_scaled_and_coded_again_is_found_and_another_time_of_the_same_camera_is_not(
    tmp_path: Path,
) -> None:
    parts = {"cut": ("-ss", "4.3", "-t", "8"), "early": ("-t", "9"), "late": ("-ss", "10.5")}
    for name, options in parts.items():
        scaled = ("-vf", "scale=iw/2:-2", "-r", "15") if name == "cut" else ()
        command = [
            "ffmpeg",
            "-v",
            "error",
            *options,
            "-i",
            str(PEDESTRIANS),
            *scaled,
            "-crf",
            "34",
            str(tmp_path / f"{name}.mp4"),
        ]
        subprocess.run(command, check=True)
        done = videodag(
            "run", "-q", "-p", "hashes", "--every", "0.2", f"{name}.mp4", "-o", f"{name}.jsonl", cwd=tmp_path
        )
        assert done.code == 0, done.err
    found = json.loads(
        videodag("duplicates", "--json", *(f"{name}.jsonl" for name in parts), "--min", "1s", cwd=tmp_path).out
    )
    pairs = {(each["a"], each["b"]): each for each in found["stretches"]}
    assert ("early.jsonl", "late.jsonl") not in pairs
    each = pairs["cut.jsonl", "early.jsonl"]
    assert each["b_start_s"] - each["a_start_s"] == pytest.approx(4.3, abs=0.15)
    assert each["a_end_s"] == pytest.approx(4.6, abs=0.4)
