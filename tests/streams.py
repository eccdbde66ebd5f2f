"""Coded streams taken apart and put together again: headers and pictures in other packets than an encoder puts them in."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from tests.clips import SIZE, boxes, find, paint

GLOBAL_HEADER = 1 << 22
LIBRARIES = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}
DEFAULTS: dict[str, dict[str, str]] = {
    "h264": {"preset": "fast", "threads": "1"},
    "hevc": {"preset": "ultrafast"},
    "av1": {"preset": "8", "crf": "12"},
}
H265 = "log-level=none:pools=1:frame-threads=1:"


@dataclass(frozen=True)
class Sample:
    """One packet of a stream."""

    data: bytes
    pts: int
    dts: int
    keyframe: bool

    def with_units(self, units: Iterable[bytes]) -> Sample:
        return replace(self, data=joined_units(units))

    @property
    def units(self) -> list[bytes]:
        """Of H.264 and HEVC, without their lengths."""
        return list(split_units(self.data))


@dataclass(frozen=True)
class Coded:
    """A stream as a file holds it; H.264 and HEVC with lengths of four bytes."""

    codec: str
    extradata: bytes
    samples: list[Sample]
    template: Path
    """The file of the encoder."""

    @property
    def sets(self) -> list[bytes]:
        """The parameter sets of H.264 and HEVC in the headers."""
        return list(_sets(self.codec, self.extradata))


def split_units(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def joined_units(units: Iterable[bytes]) -> bytes:
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in units)


def coded(codec: str, path: Path, indices: Sequence[int], *, layout: str = "yuv420p", **options: str) -> Coded:
    """Encode painted pictures, their headers in the container alone where the codec knows such."""
    with av.open(str(path), "w") as file:
        chosen = {**DEFAULTS.get(codec, {}), **options}
        stream: Any = file.add_stream(LIBRARIES.get(codec, codec), rate=25, options=chosen)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else layout
        stream.codec_context.flags |= GLOBAL_HEADER
        for count, index in enumerate(indices):
            frame = av.VideoFrame.from_ndarray(paint(index), format="bgr24")
            frame.pts, frame.time_base = count, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with av.open(str(path), container_options={"ignore_editlist": "1"}) as file:
        video = file.streams.video[0]
        step = Fraction(1, 25) / (video.time_base or 1)
        samples = [
            Sample(bytes(p), round((p.pts or 0) / step), round((p.dts or 0) / step), p.is_keyframe)
            for p in file.demux(video)
            if p.size
        ]
        extradata = video.codec_context.extradata or b""
    return Coded(codec, extradata, samples, path)


def _sets(codec: str, extradata: bytes) -> Iterator[bytes]:
    at = 5
    if codec == "h264":
        for mask in (31, 255):
            units, at = _sized(extradata, at + 1, extradata[at] & mask)
            yield from units
    elif codec == "hevc":
        at = 23
        for _ in range(extradata[22]):
            kind = extradata[at] & 63
            units, at = _sized(extradata, at + 3, struct.unpack_from(">H", extradata, at + 1)[0])
            yield from units if kind < 39 else ()


def _sized(data: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    units = []
    for _ in range(count):
        end = at + 2 + struct.unpack_from(">H", data, at)[0]
        units.append(data[at + 2 : end])
        at = end
    return units, at


def following(first: Coded, *others: Coded) -> Coded:
    """The samples of several streams one after the other, with the headers of the first one."""
    samples = list(first.samples)
    for other in others:
        shift = len(samples)
        samples += [replace(s, pts=s.pts + shift, dts=s.dts + shift) for s in other.samples]
    return replace(first, samples=samples)


def bringing(sample: Sample, units: Iterable[bytes]) -> Sample:
    """The sample with other units before its own."""
    return sample.with_units([*units, *sample.units])


def write(path: Path, stream: Coded, *, extradata: bytes | None = None) -> Path:
    """A file with these samples as they are. extradata: other headers in the container than the stream's."""
    with av.open(str(stream.template)) as source, av.open(str(path), "w", options={"use_editlist": "0"}) as file:
        track: Any = file.add_stream_from_template(source.streams.video[0], opaque=stream.codec == "av1")
        if extradata is not None:
            track.codec_context.extradata = extradata
        for sample in stream.samples:
            packet = av.Packet(sample.data)
            packet.stream = track
            packet.time_base = Fraction(1, 25)
            packet.pts, packet.dts, packet.duration = sample.pts, sample.dts, 1
            packet.is_keyframe = sample.keyframe
            file.mux(packet)
    return path


def described_twice(path: Path, other: Path, first_of_other: int) -> Path:
    """Let the samples from this one on have the sample description of another file."""
    data = path.read_bytes()
    theirs = other.read_bytes()
    start, end = find(theirs, *TABLES, b"stsd")
    entry = theirs[start + 8 : end]
    own_start, own_end = find(data, *TABLES, b"stsd")
    sizes_at, _ = find(data, *TABLES, b"stsz")
    count = struct.unpack_from(">I", data, sizes_at + 8)[0]
    sizes = struct.unpack_from(f">{count}I", data, sizes_at + 12)
    (chunk,) = struct.unpack_from(">I", data, find(data, *TABLES, b"stco")[0] + 8)
    contents = {
        b"stsd": data[own_start : own_start + 4] + struct.pack(">I", 2) + data[own_start + 8 : own_end] + entry,
        b"stsc": struct.pack(">8I", 0, 2, 1, first_of_other, 1, 2, count - first_of_other, 2),
        b"stco": struct.pack(">4I", 0, 2, chunk, chunk + sum(sizes[:first_of_other])),
    }
    path.write_bytes(_replaced(data, TABLES, contents))
    return path


TABLES = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def _replaced(data: bytes, way: Sequence[bytes], contents: dict[bytes, bytes]) -> bytes:
    """The boxes with other contents for those at the end of a way; nothing before them may move."""
    made = b""
    at = 0
    for kind, start, end in boxes(data):
        assert start - at == 8
        content = data[start:end]
        if way and kind == way[0]:
            content = _replaced(content, way[1:], contents)
        elif not way:
            content = contents.get(kind, content)
        made += struct.pack(">I4s", len(content) + 8, kind) + content
        at = end
    return made
