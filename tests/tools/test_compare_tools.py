"""Two videos compared: scores equal FFmpeg's filters, and clips that are not aligned are found out or refused."""

from __future__ import annotations

import json
import math
import re
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.clips import encode
from tests.commands import videodag
from tests.graphs import document, node, write
from tests.results_files import CLIPS, parsed
from videodag_cli.run.api import run_video
from videodag_cli.run.job import RunOptions


def compared(
    folder: Path, clip: Path, reference: Path, *tools: str, code: int = 0, **params: Any
) -> list[dict[str, Any]]:
    """The results of a pipeline of tools of `compare`, one node for each, named like the tool."""
    nodes = [
        {"id": name, "plugin_id": "compare", "tool_id": name, "params": {"reference": str(reference), **params}}
        for name in tools
    ]
    graph = {
        "id": "two",
        "name": "two",
        "nodes": nodes,
        "edges": [],
        "entry_nodes": list(tools),
        "output_nodes": list(tools),
    }
    (folder / "two.json").write_text(json.dumps(graph))
    done = videodag("run", "-q", "-p", folder / "two.json", clip, "-o", folder / "two.jsonl", "--force", "--overwrite")
    assert done.code == code, done.err
    return list(parsed(folder / "two.jsonl"))


def ffmpeg_scores(folder: Path, clip: Path, reference: Path, name: str) -> list[dict[str, float | None]]:
    """What FFmpeg's filter says of the pictures as `videodag` decodes them: BGR."""
    log = folder / f"{name}.log"
    graph = (
        f"[0:v]format=bgr24,format=gbrp[a];[1:v]format=bgr24,format=gbrp[b];[a][b]{name}=stats_file={log}:shortest=1"
    )
    command: list[str | Path] = [
        "ffmpeg",
        "-i",
        clip,
        "-i",
        reference,
        "-lavfi",
        graph,
        "-f",
        "null",
        "-",
    ]
    said = subprocess.run(command, check=True, capture_output=True).stderr
    (folder / f"{name}.txt").write_bytes(said)
    return [
        {key: None if value == "inf" else float(value) for key, value in re.findall(r"(\w+):(\S+)", text)}
        for text in log.read_text().splitlines()
    ]


def worse(source: Path, path: Path, *options: str) -> Path:
    command: list[str | Path] = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        source,
        "-frames:v",
        "20",
        *options,
        "-c:v",
        "libx264",
        "-crf",
        "38",
        path,
    ]
    subprocess.run(command, check=True)
    return path


def test_scores_equal_those_of_ffmpeg(tmp_path: Path) -> None:
    reference = CLIPS / "synthetic.mp4"
    clip = worse(reference, tmp_path / "worse.mp4")
    lines = compared(tmp_path, clip, reference, "psnr", "ssim")
    psnr, ssim = (ffmpeg_scores(tmp_path, clip, reference, name) for name in ("psnr", "ssim"))
    assert len(lines) == 20
    errors: list[float] = []
    for line, signal, structure in zip(lines, psnr, ssim, strict=False):
        ours = line["result"]["psnr"]
        assert ours["reference_frame"] == line["frame_index"]
        assert [ours[name] for name in ("average", "r", "g", "b")] == pytest.approx(
            [signal[f"psnr_{name}"] for name in ("avg", "r", "g", "b")], abs=0.006
        )  # FFmpeg's log has two decimals
        errors.append(ours["mse"])
        assert ours["mse"] == pytest.approx(signal["mse_avg"], abs=0.006)
        like = line["result"]["ssim"]
        assert [like[name] for name in ("average", "r", "g", "b")] == pytest.approx(
            [structure[name] for name in ("All", "R", "G", "B")], abs=0.001
        )
    summary = re.search(r"PSNR .*average:(\S+)", (tmp_path / "psnr.txt").read_text())
    assert summary is not None
    mean = sum(errors) / len(errors)
    assert 10 * math.log10(255**2 / mean) == pytest.approx(float(summary[1]), abs=0.001)


def test_equal_pictures_have_no_error(tmp_path: Path) -> None:
    clip = encode(tmp_path / "a.mp4", indices=range(10))
    for line in compared(tmp_path, clip, clip, "psnr", "ssim"):
        assert line["result"]["psnr"] == {
            "reference_frame": line["frame_index"], "mse": 0.0, "average": None, "r": None, "g": None, "b": None,
        }  # fmt: skip
        assert line["result"]["ssim"]["average"] == 1.0


@pytest.mark.slow
def test_a_clip_without_its_first_frame_is_refused_and_its_alignment_found(tmp_path: Path) -> None:
    reference = encode(tmp_path / "a.mp4", indices=range(40))
    clip = encode(tmp_path / "b.mp4", indices=range(1, 40))
    lines = compared(tmp_path, clip, reference, "psnr", code=4)
    assert all(line["result"] is None for line in lines)
    assert "shows frame 1 of the reference and not frame 0" in lines[0]["error"]["message"]
    assert "offset_s=0.04" in lines[0]["error"]["message"]
    found = compared(tmp_path, clip, reference, "alignment")
    assert [line["result"]["alignment"]["reference_frame"] for line in found] == list(range(1, 40))
    assert {line["result"]["alignment"]["offset_s"] for line in found} == {0.04}
    assert all(
        line["result"]["ssim"]["reference_frame"] == line["frame_index"] + 1
        for line in compared(tmp_path, clip, reference, "ssim", offset_s=0.04)
    )


def test_missing_and_doubled_frames_are_named(tmp_path: Path) -> None:
    reference = encode(tmp_path / "a.mp4", indices=range(40))
    shown = [*range(10), *range(12, 25), 24, *range(25, 40)]
    clip = encode(tmp_path / "b.mp4", indices=shown)
    found = compared(tmp_path, clip, reference, "alignment")
    assert [line["result"]["alignment"]["reference_frame"] for line in found] == shown


@pytest.mark.slow
def test_clips_that_begin_elsewhere_or_have_another_rate_are_paired_by_time(tmp_path: Path) -> None:
    reference = encode(tmp_path / "a.mp4", indices=range(40))
    late = encode(tmp_path / "b.mp4", indices=range(10, 30), ticks=range(10, 30))
    assert [line["result"]["ssim"]["reference_frame"] for line in compared(tmp_path, late, reference, "ssim")] == list(
        range(10, 30)
    )
    other = encode(tmp_path / "c.mp4", indices=range(0, 40, 2), ticks=range(20), rate=Fraction(25, 2))
    assert [line["result"]["ssim"]["reference_frame"] for line in compared(tmp_path, other, reference, "ssim")] == list(
        range(0, 40, 2)
    )
    lines = compared(tmp_path, reference, other, "ssim")
    assert [line["result"]["ssim"]["reference_frame"] for line in lines] == [
        None if i % 2 else i // 2 for i in range(39)
    ] + [None]
    record = json.loads((tmp_path / "two.jsonl.run.json").read_text())
    assert record["remarks"] == [
        "node 'ssim': 20 frames have no frame of the reference at their time and no score",
        "node 'ssim': the video has 25 frames/s and the reference 12.5: only frames of equal time are pairs",
    ]


@pytest.mark.slow
def test_the_reference_belongs_to_the_request_and_has_the_size_of_the_video(tmp_path: Path) -> None:
    reference = encode(tmp_path / "a.mp4", indices=range(10))
    compared(tmp_path, reference, reference, "ssim")
    encode(tmp_path / "a2.mp4", indices=range(10), options={"crf": "40"}).replace(reference)
    clip = encode(tmp_path / "b.mp4", indices=range(10))
    done = videodag("run", "-q", "-p", tmp_path / "two.json", clip, "-o", tmp_path / "two.jsonl")
    assert done.code == 6
    assert "ssim.reference" in done.err
    small = encode(tmp_path / "small.mp4", indices=range(10), size=(80, 64))
    compared_with = videodag("run", "-q", "-p", tmp_path / "two.json", small)
    assert compared_with.code == 2
    assert "reference a.mp4 is 160x112, the video 80x64" in compared_with.err


def here(
    folder: Path, clip: Path, reference: Path, tool: str, **params: Any
) -> tuple[list[Any], list[str], dict[int, str]]:
    """The same in this process: results (None where a frame failed), remarks of the run, messages of failures by frame."""
    nodes = [node(f"{tool}:compare.{tool}", reference=str(reference), **params)]
    output = folder / "here.jsonl"
    options = RunOptions(force=True, overwrite=True)
    record = run_video(clip, str(write(folder, document(nodes, id="here"))), output=output, options=options)
    lines = list(parsed(output))
    failures = {line["frame_index"]: line["error"]["message"] for line in lines if "error" in line}
    values = [None if line["result"] is None else line["result"][tool] for line in lines]
    return values, [remark.partition(": ")[2] for remark in record.remarks], failures


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("reference") / "reference.mp4", indices=range(60))


def test_a_shift_of_any_size_is_refused_and_found(tmp_path: Path, reference: Path) -> None:
    clip = encode(tmp_path / "b.mp4", indices=range(24, 60))
    values, _, failures = here(tmp_path, clip, reference, "psnr")
    assert values == [None] * 36
    assert "shows frame 24 of the reference and not frame 0" in failures[0]
    assert "offset_s=0.96" in failures[0]
    found, remarks, _ = here(tmp_path, clip, reference, "alignment", window_s=0.2)
    assert [value["reference_frame"] for value in found] == list(range(24, 60))
    assert remarks == ["every frame shows the reference's frame of +0.96 s: offset_s=0.96"]


def test_missing_and_doubled_frames_at_their_own_times_are_named_and_not_scored(
    tmp_path: Path, reference: Path
) -> None:
    shown = [*range(10), *range(12, 30), 29, *range(31, 60)]
    clip = encode(tmp_path / "b.mp4", indices=shown, ticks=[*range(10), *range(12, 60)])
    values, remarks, failures = here(tmp_path, clip, reference, "ssim")
    assert remarks == ["frames 10 and 11 of the reference are missing in the video"]
    assert list(failures) == [28]
    assert "shows frame 29 of the reference and not frame 30" in failures[28]
    assert [value["reference_frame"] for value in values if value] == [*range(10), *range(12, 30), *range(31, 60)]
    _, remarks, _ = here(tmp_path, clip, reference, "alignment")
    assert "frame 28 of the video is the frame before once more" in remarks


def test_another_speed_is_named(tmp_path: Path, reference: Path) -> None:
    fast = encode(tmp_path / "b.mp4", indices=range(60), rate=Fraction(30))
    found, remarks, _ = here(tmp_path, fast, reference, "alignment")
    assert [value["reference_frame"] for value in found] == list(range(60))
    assert remarks == [
        "the video runs at 1.2 times the speed of the reference: no offset aligns the two",
        "the video has 30 frames/s and the reference 25: only frames of equal time are pairs",
    ]


def test_what_is_not_in_the_reference_is_refused_unless_its_time_is_to_be_trusted(tmp_path: Path) -> None:
    source = CLIPS / "synthetic.mp4"
    clip = worse(source, tmp_path / "negative.mp4", "-vf", "negate")
    values, _, failures = here(tmp_path, clip, source, "psnr")
    assert values == [None] * 20
    assert "shows nothing that is in the reference" in failures[0]
    assert "pairing=time" in failures[0]
    values, _, failures = here(tmp_path, clip, source, "psnr", pairing="time")
    assert not failures
    expected = ffmpeg_scores(tmp_path, clip, source, "psnr")
    assert [value["average"] for value in values] == pytest.approx([e["psnr_avg"] for e in expected[:20]], abs=0.006)
