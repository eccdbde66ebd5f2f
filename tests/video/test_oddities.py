"""Streams with more or fewer slices and pictures than they should have: counted as damage, and the same in every sampling."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.clips import VALID, clip_folder, overwrite, read_index, valid
from tests.oddities import CHANGES, COUNT, NAMES, PLACES, odd, whole
from tests.samplings import Outcome, broken_off, disagreements, sampled, some
from tests.streams import write
from videodag_cli.video.index import BROKEN, DISPOSABLE
from videodag_cli.video.opening import open_reader
from videodag_cli.video.probing import probe

__all__ = ["clip_folder"]

ONE_PLACE = [
    (codec, change, list(PLACES)[(n + m) % 4])
    for n, codec in enumerate(("h264", "hevc"))
    for m, change in enumerate(CHANGES)
]
UNAFFECTED = range(12)
"""Decoded before the change."""


@pytest.mark.parametrize(("codec", "change", "place"), ONE_PLACE)
def test_a_frame_is_the_same_in_every_sampling_or_none_is_good(
    codec: str, change: str, place: str, tmp_path: Path
) -> None:
    found = probe(odd(codec, change, place, tmp_path))
    chance = random.Random(f"{codec} {change} {place}")
    outcomes = some(found, chance, 3)
    assert disagreements(outcomes) == []
    assert broken_off(found, chance, 2) == []


@pytest.mark.parametrize(("codec", "change"), [(codec, change) for codec in ("h264", "hevc") for change in CHANGES])
def test_what_is_handed_out_as_good_shows_its_own_index(codec: str, change: str, tmp_path: Path) -> None:
    """Painted indices are the exact values: FFmpeg's own versions show different pictures for some of these."""
    found = probe(odd(codec, change, "within a group", tmp_path))
    with open_reader(found, np.arange(len(found.index))) as reader:
        shown = {frame.index: read_index(frame.image) for frame in reader}
        assert len(reader.undecodable) > 0
    assert all(shown[index] == index for index in UNAFFECTED)
    shift = COUNT - len(found.index)
    assert all(shown[index] == index + shift for index in range(30, len(found.index)))  # the groups behind it


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("slices", [1, 3])
def test_whole_streams_are_not_taken_for_odd_ones(codec: str, slices: int, tmp_path: Path) -> None:
    found = probe(write(tmp_path / "clip.mp4", whole(codec, slices)))
    assert not (found.index.flags & BROKEN).any()
    assert (found.index.flags & DISPOSABLE).any()
    assert not found.index.slices_vary


def test_what_no_decoder_takes_for_a_slice_is_none(tmp_path: Path) -> None:
    """Some old files hold x264's text without the byte that says so; what comes first then reads like a P slice of an IDR picture."""
    stream = whole("h264", 1)
    text = bytes.fromhex("05ffffabdc45e9bde6d948b7962cd820d923eeef") + b"x264 - core 142" * 40
    first = stream.samples[0]
    samples = [first.with_units([text, *first.units]), *stream.samples[1:]]
    found = probe(write(tmp_path / "clip.mp4", replace(stream, samples=samples)))
    assert not (found.index.flags & BROKEN).any()
    with open_reader(found, np.arange(COUNT)) as reader:
        assert [read_index(frame.image) for frame in reader] == list(range(COUNT))
        assert len(reader.undecodable) == 0


@pytest.mark.parametrize("name", [name for name in VALID if name.startswith(("h264", "hevc"))])
def test_no_valid_class_is_taken_for_an_odd_one(name: str, clip_folder: Path) -> None:
    assert not (probe(valid(name, clip_folder)).index.flags & BROKEN).any()


def test_a_run_that_only_depends_on_damage_does_not_call_itself_good(tmp_path: Path) -> None:
    """A slice is lost in a keyframe; the frames sampled behind it are decoded, and show it."""
    found = probe(odd("hevc", "last slice lost", "keyframe", tmp_path))
    with open_reader(found, np.arange(33, 40)) as reader:
        assert len(list(reader)) == 7
        assert len(reader.undecodable) == 0
        assert reader.after_damage_count > 0
        assert reader.problems == [
            "a picture on which sampled frames depend cannot be decoded; they may show its traces"
        ]


def test_what_nobody_needs_does_not_matter(tmp_path: Path) -> None:
    """A slice is lost in a picture that no other refers to."""
    stream = whole("h264", 3)
    number = next(
        n
        for n, sample in enumerate(stream.samples)
        if n > 20 and all(not u[0] & 0x60 for u in sample.units if u[0] & 31 == 1)
    )
    _, lose = CHANGES["middle slice lost"]
    found = probe(write(tmp_path / "clip.mp4", lose(stream, number)))
    rank = int(found.index.rank[number])
    assert sampled(found, "others", [i for i in range(COUNT) if i != rank]).good
    assert sampled(found, "it", [rank]) == Outcome("it", (rank,), {}, good=False)


@pytest.mark.parametrize(
    "name", ["h264 pyramid, short groups", "h264 slices", "hevc open groups", "mpeg2", "mpeg4", "vp9"]
)
def test_damaged_clips_are_the_same_in_every_sampling(name: str, clip_folder: Path, tmp_path: Path) -> None:
    source = valid(name, clip_folder)
    path = tmp_path / source.name
    shutil.copy(source, path)
    found = probe(overwrite(path, [13, 14], with_byte=None, skip=30))
    chance = random.Random(name)
    assert disagreements(some(found, chance, 4)) == []
    assert broken_off(found, chance, 3) == []


def test_two_outcomes_that_differ_are_told() -> None:
    one = Outcome("one", (0, 1), {0: "a", 1: "b"}, good=True)
    other = Outcome("other", (1, 2), {1: "c", 2: "d"}, good=False)
    assert disagreements([one, other]) == ["other (not good) and one (good): frames [1]"]
    assert disagreements([Outcome("one", (0, 1), {0: "a", 1: "b"}, good=False), other]) == []
    assert len(NAMES) == 2 * len(CHANGES) * len(PLACES)
