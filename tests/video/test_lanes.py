"""Groups of pictures decoded side by side are what one decoder makes of them, damaged ones included."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clips import VALID, clip_folder, encode, overwrite, read_index, valid
from tests.video.test_damage import DAMAGE, damaged, whole
from videodag_cli.video import lanes
from videodag_cli.video.lanes import Group, Lanes, worth_it
from videodag_cli.video.opening import open_reader
from videodag_cli.video.probing import probe
from videodag_cli.video.pyav import PyavReader
from videodag_cli.video.source import Probe

__all__ = ["clip_folder", "whole"]


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> list[Group]:
    """Lanes wherever they are safe; the groups they were given."""
    given: list[Group] = []
    decode = Lanes._decode

    def noted(self: Lanes, group: Group, wanted: Callable[[int], bool]) -> lanes.Done | None:
        given.append(group)
        return decode(self, group, wanted)

    monkeypatch.setattr("videodag_cli.video.pyav.worth_it", lambda groups: len(groups) > 1)
    monkeypatch.setattr(lanes, "MOST_TARGETS", 1000)
    monkeypatch.setattr(Lanes, "_decode", noted)
    return given


def read(found: Probe, targets: list[int], **options: Any) -> dict[str, Any]:
    with open_reader(found, np.array(targets, np.int64), decoder="pyav", **options) as reader:
        frames = [(frame.index, frame.time_s, frame.image.tobytes()) for frame in reader]
        return {
            "frames": frames,
            "missing": reader.undecodable.tolist(),
            "decoded": reader.decoded_count,
            "after damage": reader.after_damage_count,
            "problems": reader.problems,
            "remarks": reader.remarks,
        }


def assert_lanes_change_nothing(path: Path, strides: tuple[int, ...]) -> None:
    found = probe(path)
    for stride in strides:
        targets = list(range(0, len(found.index), stride))
        assert read(found, targets, lanes=3) == read(found, targets)


@pytest.mark.parametrize("name", VALID)
def test_every_class_of_clip_is_the_same(name: str, clip_folder: Path, forced: list[Group]) -> None:
    assert_lanes_change_nothing(valid(name, clip_folder), (4, 13))


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["h264", "h264 open groups", "mjpeg", "vp9"])
def test_damage_is_the_same(
    name: str, damage: str, whole: Callable[[str], Path], tmp_path: Path, forced: list[Group]
) -> None:
    assert_lanes_change_nothing(damaged(name, damage, whole, tmp_path), (11,))


def grouped(path: Path, *, count: int = 60) -> Path:
    return encode(path, indices=range(count), options={"g": "6", "keyint_min": "6", "sc_threshold": "0", "bf": "0"})


def test_a_stride_of_the_length_of_groups_is_decoded_in_lanes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On threads of their own, with no more groups under way than there are lanes and one."""
    found = probe(grouped(tmp_path / "clip.mp4", count=120))
    begun: list[tuple[int, str]] = []
    decode = Lanes._decode

    def noted(self: Lanes, group: Group, wanted: Callable[[int], bool]) -> lanes.Done | None:
        begun.append((group.ranks[0], threading.current_thread().name))
        return decode(self, group, wanted)

    monkeypatch.setattr(Lanes, "_decode", noted)
    with open_reader(found, np.arange(0, 120, 6), lanes=2) as reader:
        for number, frame in enumerate(reader):
            assert read_index(frame.image) == frame.index == 6 * number
            assert len(begun) <= number + 3
    assert len(begun) == 20
    assert all(name.startswith("videodag-lane") for _, name in begun)


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_where_the_threads_of_one_decoder_have_enough_to_do_there_are_no_lanes(
    stride: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(
        tmp_path / "clip.mp4", indices=range(120), options={"g": "30", "keyint_min": "30", "sc_threshold": "0"}
    )
    monkeypatch.setattr(Lanes, "__init__", lambda *_, **__: pytest.fail("lanes"))
    with open_reader(probe(path), np.arange(0, 120, stride), lanes=2) as reader:
        assert len(list(reader)) == 120 // stride


def test_a_decoder_that_complains_only_in_the_log_works_alone(clip_folder: Path, forced: list[Group]) -> None:
    """FFmpeg's log belongs to the process."""
    found = probe(valid("mpeg2", clip_folder))
    assert read(found, list(range(0, len(found.index), 13)), lanes=3)["frames"]
    assert not forced


def test_lanes_end_at_the_first_sign_of_damage(tmp_path: Path, forced: list[Group]) -> None:
    found = probe(overwrite(grouped(tmp_path / "clip.mp4"), [24]))
    targets = list(range(0, 60, 6))
    both = [read(found, targets, lanes=count) for count in (2, 1)]
    assert both[0] == both[1]
    assert both[0]["missing"] == [24]
    assert max(group.ranks[0] for group in forced) <= 24 + 2 * 6


@pytest.mark.parametrize("after", [-1, 0, 17, 30, 54])
def test_a_continued_run_is_the_same(after: int, tmp_path: Path, forced: list[Group]) -> None:
    found = probe(grouped(tmp_path / "clip.mp4"))
    targets = list(range(0, 60, 6))
    assert read(found, targets, lanes=2, after=after) == read(found, targets, after=after)


def test_a_reader_that_is_closed_early_leaves_no_thread(tmp_path: Path, forced: list[Group]) -> None:
    before = threading.active_count()
    reader = open_reader(probe(grouped(tmp_path / "clip.mp4")), np.arange(0, 60, 6), lanes=3)
    assert isinstance(reader, PyavReader)
    frames = iter(reader)
    assert next(frames).index == 0
    reader.close()
    assert threading.active_count() == before


def test_lanes_are_worth_it_for_few_packets_between_seeks() -> None:
    assert worth_it([Group(30 * i, 30 * i + 1, [30 * i]) for i in range(16)])
    assert not worth_it([Group(250 * i, 250 * i + 30, [250 * i]) for i in range(16)])
    assert not worth_it([Group(0, 1, [0])])
