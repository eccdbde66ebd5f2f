"""MPEG-2 pictures that FFmpeg hands out as good, with what was in memory in some places."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import av
import av.logging
import numpy as np
import pytest

from tests.samplings import disagreements, sampled, some
from tests.streams import Coded, coded, write
from videodag_cli.video.complaints import Complaints
from videodag_cli.video.index import BROKEN
from videodag_cli.video.opening import open_reader
from videodag_cli.video.probing import probe
from videodag_cli.video.source import Probe

COUNT = 24
SLICE = re.compile(rb"\x00\x00\x01[\x01-\xaf]")
ROWS = 112 // 16


@cache
def whole() -> Coded:
    return coded("mpeg2video", Path(mkdtemp(prefix="mpeg2-")) / "whole.mov", range(COUNT), g="12", bf="2", qscale="3")


def changed(number: int, change: Callable[[bytes], bytes]) -> Coded:
    samples = list(whole().samples)
    samples[number] = replace(samples[number], data=change(samples[number].data))
    return replace(whole(), samples=samples)


def kind(number: int) -> int:
    """1, 2 and 3 for I, P and B."""
    data = whole().samples[number].data
    return data[data.index(b"\x00\x00\x01\x00") + 5] >> 3 & 7


def without_row(row: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        starts = [*(found.start() for found in SLICE.finditer(data)), len(data)]
        assert len(starts) == ROWS + 1
        return data[: starts[row]] + data[starts[row + 1] :]

    return change


@pytest.mark.parametrize("row", [0, 3, ROWS - 1])
@pytest.mark.parametrize("letter", ["I", "P", "B"])
def test_a_picture_that_lacks_a_row_is_not_handed_out(letter: str, row: int, tmp_path: Path) -> None:
    number = next(n for n in range(6, COUNT) if kind(n) == "?IPB".index(letter))
    found = probe(write(tmp_path / "clip.mov", changed(number, without_row(row))))
    rank = int(found.index.rank[number])
    assert rank in sampled(found, "all", range(COUNT)).targets
    assert rank not in sampled(found, "all", range(COUNT)).pictures
    assert rank not in sampled(found, "it", [rank]).pictures
    assert disagreements(some(found, random.Random(row), 3)) == []


def test_whole_pictures_lack_no_row(tmp_path: Path) -> None:
    assert not (probe(write(tmp_path / "clip.mov", whole())).index.flags & BROKEN).any()


def complaints_about(path: Path) -> tuple[list[str], int]:
    """What FFmpeg's own loop says with one thread; how many packets it refuses."""
    refused = 0
    level = av.logging.get_level()
    av.logging.set_level(av.logging.DEBUG)
    try:
        with av.logging.Capture() as logs, av.open(str(path)) as file:
            video = file.streams.video[0]
            video.codec_context.thread_count = 1
            video.codec_context.options = {"err_detect": "explode"}
            for packet in file.demux(video):
                try:
                    packet.decode()
                except av.error.InvalidDataError:
                    refused += 1
    finally:
        av.logging.set_level(level)
    return [message for _, _, message in logs], refused


def flipped(number: int, chance: random.Random) -> Coded:
    def change(data: bytes) -> bytes:
        start = SLICE.search(data)
        assert start is not None
        damaged = bytearray(data)
        damaged[chance.randrange(start.end(), len(data))] ^= 1 << chance.randrange(8)
        return bytes(damaged)

    return changed(number, change)


def with_a_left_out_macroblock(path: Path) -> int:
    """One bit makes a vector point beyond the picture: FFmpeg only says so in its log. Returns the number of its sample."""
    chance = random.Random(1)
    pictures = [number for number in range(6, COUNT) if kind(number) == 3]
    for _ in range(400):
        number = chance.choice(pictures)
        said, refused = complaints_about(write(path, flipped(number, chance)))
        if not refused and any("out of boundary" in line for line in said):
            return number
    pytest.fail("no such file was found")


def test_a_picture_with_a_macroblock_that_was_left_out_is_not_handed_out(tmp_path: Path) -> None:
    path = tmp_path / "clip.mov"
    number = with_a_left_out_macroblock(path)
    found = probe(path)
    rank = int(found.index.rank[number])
    for targets in (range(COUNT), range(rank, COUNT), [rank]):
        with open_reader(found, np.array(targets)) as reader:
            shown = [frame.index for frame in reader]
            assert reader.undecodable.tolist() == [rank]
            assert shown == [index for index in targets if index != rank]
            assert reader.after_damage_count == 0  # no other picture refers to it
    assert av.logging.get_level() is None


def test_each_thread_hears_its_own_decoder_however_they_overlap(capfd: pytest.CaptureFixture[str]) -> None:
    """Each enters or leaves while others listen: all orders of two listeners and a decoder to which nobody listens."""

    def say(what: str) -> None:
        av.logging.log(av.logging.DEBUG, "mpeg2video", what)

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two, ThreadPoolExecutor(1) as nobody:
        for last_said in ("motion vector out of boundary", "skipped MB"):
            first, second = Complaints(), Complaints()
            heard_first, heard_second = first.heard(), second.heard()
            one.submit(heard_first.__enter__).result()
            two.submit(heard_second.__enter__).result()
            one.submit(say, "skipped MB").result()
            nobody.submit(say, "motion vector out of boundary").result()
            nobody.submit(av.logging.log, av.logging.ERROR, "h264", "error while decoding MB").result()
            one.submit(heard_first.__exit__, None, None, None).result()
            two.submit(say, last_said).result()
            two.submit(heard_second.__exit__, None, None, None).result()
            assert not first
            assert bool(second) == (last_said == "motion vector out of boundary")
            assert av.logging.get_level() is None
            assert av.logging.get_skip_repeated()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("other", ["whole", "damaged"])
def test_two_videos_read_at_once_are_read_as_alone(other: str, tmp_path: Path) -> None:
    number = with_a_left_out_macroblock(tmp_path / "one.mov")
    second = write(tmp_path / "two.mov", whole() if other == "whole" else changed(number, without_row(3)))
    videos = [probe(tmp_path / "one.mov"), probe(second)]

    def read(found: Probe) -> tuple[dict[int, bytes], list[int]]:
        with open_reader(found, np.arange(COUNT)) as reader:
            shown = {frame.index: frame.image.tobytes() for frame in reader}
        return shown, reader.undecodable.tolist()

    alone = [read(found) for found in videos]
    assert alone[0][1] == [int(videos[0].index.rank[number])]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            assert list(pool.map(read, videos * 2)) == alone * 2
    assert av.logging.get_level() is None


@pytest.mark.parametrize("seed", range(5))
def test_what_one_thread_refuses_is_damage_with_many_threads_too(seed: int, tmp_path: Path) -> None:
    """FFmpeg loses the errors of its threads for slices."""
    chance = random.Random(seed)
    for _ in range(100):
        number = chance.randrange(6, COUNT)
        path = write(tmp_path / "clip.mov", flipped(number, chance))
        if complaints_about(path)[1]:
            break
    found = probe(path)
    for threads in (None, 1, 4):
        assert not sampled(found, "all", range(COUNT), threads=threads).good
