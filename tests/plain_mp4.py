"""MP4 files whose every sample, time and table is what a test says: no muxer repairs them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av


@dataclass(frozen=True)
class Sample:
    """One sample of the track, in decoding order."""

    data: bytes
    ticks: int = 512
    """From its decoding time to that of the next one."""
    offset: int = 0
    """From its decoding time to its presentation time."""
    key: bool = False


def box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def full_box(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def sample_entry(coding: bytes, size: tuple[int, int], *boxes: bytes) -> bytes:
    """The description of the samples; `boxes` hold the codec's headers, such as `avcC`."""
    fixed = bytes(6) + struct.pack(">H16xHHIIIH32sHh", 1, *size, 72 << 16, 72 << 16, 0, 1, bytes(32), 24, -1)
    return box(coding, fixed, *boxes)


def esds(headers: bytes, *, object_type: int = 0x20) -> bytes:
    """The headers of MPEG-4 Part 2 (object type 0x20) or MPEG-2 (0x61) as an elementary stream descriptor."""

    def descriptor(tag: int, content: bytes) -> bytes:
        length = len(content)
        return bytes([tag, *(0x80 | length >> shift & 127 for shift in (21, 14, 7)), length & 127]) + content

    info = descriptor(5, headers) if headers else b""
    decoder = descriptor(4, bytes([object_type, 0x11]) + bytes(3) + bytes(8) + info)
    return full_box(b"esds", descriptor(3, struct.pack(">HB", 1, 0) + decoder + descriptor(6, b"\x02")))


def _runs(values: Sequence[int]) -> bytes:
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][1] == value:
            runs[-1][0] += 1
        else:
            runs.append([1, value])
    return struct.pack(">I", len(runs)) + b"".join(struct.pack(">Ii", *run) for run in runs)


def write_mp4(
    path: Path,
    samples: Sequence[Sample],
    entry: bytes,
    size: tuple[int, int],
    *,
    timescale: int = 12800,
    edit_from: int | None = None,
) -> Path:
    """One video track, one sample to a chunk. edit_from: the media time an edit list starts at."""
    brand = box(b"ftyp", b"isom", struct.pack(">I", 512), b"isommp41")
    start = len(brand) + 8
    places: list[int] = []
    for sample in samples:
        places.append(start)
        start += len(sample.data)
    count = len(samples)
    ticks = sum(sample.ticks for sample in samples)
    tables = [
        full_box(b"stsd", struct.pack(">I", 1), entry),
        full_box(b"stts", _runs([sample.ticks for sample in samples])),
        full_box(b"stsc", struct.pack(">IIII", 1, 1, 1, 1)),
        full_box(b"stsz", struct.pack(">II", 0, count), *(struct.pack(">I", len(s.data)) for s in samples)),
        full_box(b"stco", struct.pack(">I", count), *(struct.pack(">I", place) for place in places)),
    ]
    keys = [number for number, sample in enumerate(samples, 1) if sample.key]
    tables.append(full_box(b"stss", struct.pack(f">I{len(keys)}I", len(keys), *keys)))
    if any(sample.offset for sample in samples):
        tables.append(full_box(b"ctts", _runs([sample.offset for sample in samples]), version=1))
    matrix = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    header = struct.pack(">IIII", 0, 0, timescale, ticks)
    edits = b""
    if edit_from is not None:
        edits = box(b"edts", full_box(b"elst", struct.pack(">IIiI", 1, ticks - edit_from, edit_from, 1 << 16)))
    track = box(
        b"trak",
        full_box(
            b"tkhd",
            struct.pack(">IIIII8xHHHH", 0, 0, 1, 0, ticks, 0, 0, 0, 0),
            matrix,
            struct.pack(">II", size[0] << 16, size[1] << 16),
            flags=3,
        ),
        edits,
        box(
            b"mdia",
            full_box(b"mdhd", header, struct.pack(">HH", 0x55C4, 0)),
            full_box(b"hdlr", struct.pack(">I4s12x", 0, b"vide"), b"video\0"),
            box(
                b"minf",
                full_box(b"vmhd", bytes(8), flags=1),
                box(b"dinf", full_box(b"dref", struct.pack(">I", 1), full_box(b"url ", flags=1))),
                box(b"stbl", *tables),
            ),
        ),
    )
    movie = full_box(b"mvhd", header, struct.pack(">IH10x", 1 << 16, 1 << 8), matrix, bytes(24), struct.pack(">I", 2))
    path.write_bytes(brand + box(b"mdat", *(sample.data for sample in samples)) + box(b"moov", movie, track))
    return path


def packets_of(path: Path) -> list[Any]:
    """The packets of a file's first video stream, in decoding order."""
    with av.open(str(path)) as file:
        return [packet for packet in file.demux(file.streams.video[0]) if packet.size]
