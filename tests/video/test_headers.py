"""Streams whose headers change midway: decoding starts only where a decoder would hold those in force."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clips import Image, read_index
from tests.streams import Coded, bringing, coded, described_twice, following, joined_units, write
from videodag_cli.video.index import ENTRY
from videodag_cli.video.opening import open_reader
from videodag_cli.video.probing import probe
from videodag_cli.video.source import Probe

OPEN = "open-gop=1:keyint=10:min-keyint=10:bframes=2:b-adapt=0:scenecut=0"
HALF = 30
X265 = "log-level=none:pools=1:frame-threads=1:open-gop=1:keyint=10:min-keyint=10:bframes=2:scenecut=0"
SETTINGS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "h264": (
        {"x264-params": f"{OPEN}:cabac=0:8x8dct=1:ref=3:qp=20:cqm=jvt"},
        {"x264-params": f"{OPEN}:cabac=0:8x8dct=0:ref=1:qp=16:chroma-qp-offset=4:weightp=0"},
    ),
    "hevc": (
        {"x265-params": f"{X265}:sao=1:amp=1:cbqpoffs=6:crqpoffs=6"},
        {"x265-params": f"{X265}:sao=0:amp=0:rect=0:sign-hide=0"},
    ),
    "mpeg4": ({"g": "10", "qscale": "4"}, {"g": "10", "qscale": "4", "mpeg_quant": "1"}),
    "mpeg2video": ({"g": "10", "qscale": "4", "bf": "2"},) * 2,
    "mjpeg": ({"qscale": "2", "huffman": "default"}, {"qscale": "12", "huffman": "default"}),
    "av1": ({"g": "10"}, {"g": "10", "svtav1-params": "enable-restoration=0:enable-cdef=0"}),
}
DEFAULT_MATRIX = bytes.fromhex(
    "0810101310131616161616161a181a1b1b1b1a1a1a1a1b1b1b1d1d1d2222221d1d1d1b1b1d1d20202222252625232322232626282828"
    "30302e2e38383a454553"
)
FLAT_MATRIX = bytes([16] * 64)


@cache
def halves(codec: str) -> tuple[Coded, Coded]:
    """Two streams that count on, with headers that differ; all of them in the container where the codec allows it."""
    folder = Path(tempfile.mkdtemp(prefix="halves-"))
    one, two = (
        coded(
            codec,
            folder / f"{number}.{'mp4' if codec == 'av1' else 'mov'}",
            range(HALF * number, HALF * (number + 1)),
            **options,
        )
        for number, options in enumerate(SETTINGS[codec])
    )
    if codec == "mpeg2video":
        one, two = with_matrix(one, FLAT_MATRIX), with_matrix(two, DEFAULT_MATRIX)
    return one, two


def with_matrix(stream: Coded, matrix: bytes) -> Coded:
    """MPEG-2 with a matrix in its sequence header, which is in the container and nowhere else."""
    start = stream.extradata.index(b"\0\0\1\xb3") + 4
    bits = int.from_bytes(stream.extradata[start : start + 8], "big") >> 2
    bits = ((bits << 1 | 1) << 512 | int.from_bytes(matrix, "big")) << 1
    extradata = stream.extradata[:start] + bits.to_bytes(72, "big") + stream.extradata[start + 8 :]
    samples = [
        replace(s, data=re.sub(rb"\x00\x00\x01\xb3.{8}\x00\x00\x01\xb5[\x10-\x1f].{5}", b"", s.data, flags=re.DOTALL))
        for s in stream.samples
    ]
    return replace(stream, extradata=extradata, samples=samples)


def bring(stream: Coded, numbers: Sequence[int]) -> Coded:
    """The stream with all its headers in these samples."""
    samples = list(stream.samples)
    for number in numbers:
        if stream.codec in ("h264", "hevc"):
            samples[number] = bringing(samples[number], stream.sets)
        else:
            samples[number] = replace(samples[number], data=stream.extradata + samples[number].data)
    return replace(stream, samples=samples)


def keyframes(stream: Coded) -> list[int]:
    return [number for number, sample in enumerate(stream.samples) if sample.keyframe]


def sent_once(codec: str, folder: Path) -> Path:
    one, two = halves(codec)
    return write(folder / "clip.mov", following(one, bring(two, [0])))


def sent_with_each_keyframe(codec: str, folder: Path) -> Path:
    one, two = halves(codec)
    return write(folder / "clip.mov", following(one, bring(two, keyframes(two))))


def sent_between_keyframes(codec: str, folder: Path) -> Path:
    """The headers of the second half come with the last picture of the first one."""
    one, two = halves(codec)
    last = one.samples[-1]
    sets = joined_units(two.sets) if codec in ("h264", "hevc") else two.extradata
    last = replace(last, data=last.data + sets)
    return write(folder / "clip.mov", following(replace(one, samples=[*one.samples[:-1], last]), two))


def and_back(codec: str, folder: Path) -> Path:
    """The first headers come back, once."""
    one, two = halves(codec)
    return write(folder / "clip.mov", following(one, bring(two, [0]), bring(one, [0])))


def in_no_header(codec: str, folder: Path) -> Path:
    """The container holds none: all come with the first packet of each half."""
    one, two = halves(codec)
    empty = {"h264": bytes.fromhex("0164000bffe000"), "hevc": one.extradata[:22] + b"\0"}[codec]
    return write(folder / "clip.mov", following(bring(one, [0]), bring(two, [0])), extradata=empty)


def two_descriptions(codec: str, folder: Path) -> Path:
    one, two = halves(codec)
    path = write(folder / "clip.mov", following(one, two))
    return described_twice(path, write(folder / "other.mov", two), HALF)


def pictures(found: Probe, targets: Sequence[int], **options: Any) -> dict[int, Image]:
    with open_reader(found, np.array(targets, np.int64), **options) as reader:
        frames = {frame.index: frame.image for frame in reader}
        assert reader.undecodable.tolist() == []
    return frames


def digest(image: Image) -> str:
    return hashlib.md5(image.tobytes()).hexdigest()


def by_ffmpeg(path: Path) -> list[str]:
    """Digests of the BGR pictures, from the ffmpeg command with one thread."""
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(path), "-fps_mode", "passthrough"]
    command += ["-pix_fmt", "bgr24", "-sws_flags", "bicubic", "-f", "framemd5", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split()[-1] for line in done.stdout.splitlines() if not line.startswith("#")]


def tables_once(codec: str, folder: Path) -> Path:
    """Motion JPEG whose first picture of each half has the quantiser table for all of them."""
    one, two = halves(codec)
    for half in (one, two):
        half.samples[1:] = [replace(s, data=without_segments(s.data, 0xDB)) for s in half.samples[1:]]
    return write(folder / "clip.mov", following(one, two))


def without_segments(jpeg: bytes, marker: int) -> bytes:
    at, kept = 2, jpeg[:2]
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] != marker:
            kept += jpeg[at:end]
        at = end
    return kept + jpeg[at:]


def sequence_once(codec: str, folder: Path) -> Path:
    """AV1 whose sequence header comes with the first packet of each half."""
    one, two = halves(codec)
    for half in (one, two):
        half.samples[1:] = [replace(s, data=without_sequence(s.data)) for s in half.samples[1:]]
    return write(folder / "clip.mp4", following(one, two))


def without_sequence(packet: bytes) -> bytes:
    kept, at = b"", 0
    while at < len(packet):
        assert packet[at] & 6 == 2
        size, shift, end = 0, 0, at + 1
        while True:
            byte = packet[end]
            size |= (byte & 127) << shift
            shift, end = shift + 7, end + 1
            if byte < 128:
                break
        if packet[at] >> 3 & 15 != 1:
            kept += packet[at : end + size]
        at = end + size
    return kept


MAKERS: dict[str, Callable[[str, Path], Path]] = {
    "sent once": sent_once,
    "sent with each keyframe": sent_with_each_keyframe,
    "sent between keyframes": sent_between_keyframes,
    "and back": and_back,
    "in no header": in_no_header,
    "two descriptions": two_descriptions,
    "tables sent once": tables_once,
    "sequence header sent once": sequence_once,
}
CASES = [
    *((codec, name) for codec in ("h264", "hevc") for name in list(MAKERS)[:6]),
    *((codec, name) for codec in ("mpeg4", "mpeg2video") for name in list(MAKERS)[:6] if name != "in no header"),
    ("mjpeg", "tables sent once"),
    ("av1", "sequence header sent once"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "name"), CASES)
def test_a_frame_is_the_same_wherever_decoding_starts(codec: str, name: str, tmp_path: Path) -> None:
    path = MAKERS[name](codec, tmp_path)
    found = probe(path)
    full = pictures(found, range(len(found.index)))
    shown = [read_index(image) for image in full.values()]
    assert shown == [*range(2 * HALF), *(range(HALF) if name == "and back" else ())]
    assert [digest(image) for image in full.values()] == by_ffmpeg(path)
    count = len(full)
    plans: list[tuple[Sequence[int], dict[str, int]]] = [
        (range(count), {"threads": 1}),
        (np.flatnonzero(found.index.keyframe).tolist(), {}),
        (range(0, count, 7), {}),
        (range(0, count, 13), {"threads": 2}),
        (range(HALF + 15, count), {}),
        (range(0, count, 2), {"after": HALF + 20}),
        ([HALF + 12, count - 1], {}),
    ]
    for targets, options in plans:
        after = options.get("after", -1)
        some = pictures(found, targets, **options)
        assert list(some) == [index for index in targets if index > after]
        assert all(np.array_equal(image, full[index]) for index, image in some.items())


LOSSLESS = "qp=0:cabac=0:8x8dct=1:partitions=i8x8"
OLD_ENCODER = {"4:2:0": ("yuv420p", LOSSLESS), "4:4:4": ("yuv444p", LOSSLESS)}
"""Whatever the version, a decoder finds no fault with these."""


def by_an_encoder(version: int, folder: Path, layout: str, params: str) -> Path:
    """A clip that says it is from that version of x264, in its first packet alone."""
    stream = coded(
        "h264", folder / "coded.mov", range(HALF), layout=layout, **{"x264-params": f"keyint=10:scenecut=0:{params}"}
    )
    first = stream.samples[0]
    name = re.search(rb"x264 - core \d+", first.data)
    assert name is not None
    named = b"x264 - core %0*d" % (len(name[0]) - 12, version)
    samples = [replace(first, data=first.data.replace(name[0], named)), *stream.samples[1:]]
    assert not any(b"x264 - core" in sample.data for sample in samples[1:])
    return write(folder / "clip.mov", replace(stream, samples=samples))


@pytest.mark.parametrize("name", OLD_ENCODER)
def test_a_fault_of_the_encoder_is_made_up_for_wherever_decoding_starts(name: str, tmp_path: Path) -> None:
    """Of the pictures by x264 before version 151 FFmpeg makes others, if it has seen the version."""
    other = by_ffmpeg(by_an_encoder(151, tmp_path, *OLD_ENCODER[name]))
    path = by_an_encoder(148, tmp_path, *OLD_ENCODER[name])
    expected = by_ffmpeg(path)
    assert expected != other
    found = probe(path)
    for targets in (range(HALF), range(15, HALF), [HALF - 1], np.flatnonzero(found.index.keyframe).tolist()):
        some = pictures(found, targets)
        assert {index: digest(image) for index, image in some.items()} == {index: expected[index] for index in targets}


@pytest.mark.parametrize(("version", "layout", "params"), [(151, "yuv420p", LOSSLESS), (34, "yuv420p", "crf=20")])
def test_an_encoder_without_faults_leaves_every_entry(version: int, layout: str, params: str, tmp_path: Path) -> None:
    found = probe(by_an_encoder(version, tmp_path, layout, params))
    assert np.flatnonzero(found.index.flags & ENTRY).tolist() == [0, 10, 20]
    assert not found.index.headers_differ
