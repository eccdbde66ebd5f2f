"""The boxes of an MP4 or MOV file (ISO/IEC 14496-12, QuickTime File Format), read before any demuxer sees the file.

Only what decides whether the file is safe to open, and what demuxers do not report: the claims of the sample tables, every sample
description, external references, and the display matrix.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from shlex import quote
from typing import BinaryIO

import numpy as np

from videodag_cli.errors import InputError

FIRST_BOXES = {
    b"ftyp",
    b"moov",
    b"mdat",
    b"free",
    b"skip",
    b"wide",
    b"pnot",
    b"uuid",
    b"styp",
    b"moof",
    b"sidx",
    b"udta",
}
KNOWN_BOXES = FIRST_BOXES | {b"mfra", b"meta", b"emsg", b"prft"}
PICTURE_BRANDS = {"heic", "heix", "heim", "heis", "mif1", "msf1", "avif", "avis"}
MAX_MOOV_BYTES = 512 * 1024 * 1024
IDENTITY_MATRIX = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
_VISUAL_ENTRY_BYTES = 78
_ENCRYPTED = (b"encv", b"enca", b"drmi", b"drms")
_SIGNATURES = (
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM file"),
    (b"RIFF", "an AVI, WAV or WebP file"),
    (b"#EXTM3U", "a playlist"),
    (b"ffconcat", "a concat script"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"BM", "a BMP picture"),
    (b"OggS", "an Ogg file"),
    (b"FLV\x01", "a Flash video"),
    (b"\x00\x00\x01\xba", "an MPEG program stream"),
    (b"\x00\x00\x01\xb3", "a bare MPEG stream"),
    (b"\x00\x00\x00\x01", "a bare H.264 or HEVC stream"),
    (b"G", "an MPEG transport stream"),
    (b"ID3", "an MP3 file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"%PDF", "a PDF document"),
    (b"<", "an XML or HTML text"),
    (b"{", "a JSON text"),
)
_COPY, _ENCODE = "-c copy", "-c:v libx264 -qp 0 -fps_mode passthrough"
_REPACKED = {
    "Matroska": _COPY,
    "Flash": _COPY,
    "MPEG program": _COPY,
    "MPEG transport": _COPY,
    "AVI": _ENCODE,
    "Ogg": _ENCODE,
}
"""How FFmpeg makes an MP4 file of the same pictures. AVI says no time of presentation, so that a copy loses pictures."""


@dataclass(slots=True)
class Track:
    """What one `trak` box says; filled while the box is read."""

    number: int = 0
    """1-based, in the order of the file."""
    id: int = 0
    handler: str = ""
    """`vide`, `soun`, `tmcd`, ..."""
    timescale: int | None = None
    """Ticks per second; None when the box is missing."""
    matrix: tuple[int, ...] = IDENTITY_MATRIX
    """Row by row, as stored: 16.16 and 2.30 fixed point."""
    codecs: list[str] = field(default_factory=list)
    """Four-character code of each sample description."""
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Width and height of each sample description; of video only."""
    encrypted: bool = False
    """Some samples are encrypted."""
    encryption_data: bool = False
    """Fragments hold what is needed to decrypt their samples."""
    clean_aperture: tuple[int, int] | None = None
    """Width and height of the part of the picture that is meant to be shown."""
    dolby_vision: tuple[int, int] | None = None
    """Profile, and what the base layer is compatible with (0: nothing)."""
    external: bool = False
    """Some samples lie in another file."""
    claimed: int = 0
    """Samples, with those in fragments."""
    fragmented: int = 0
    """Samples in fragments."""
    unlisted: int = 0
    """Samples that are claimed by a count alone, without an entry of their own."""
    grouped: bool = False
    """Plain audio, which demuxers read by the chunk."""
    edits: list[tuple[int, int]] = field(default_factory=list)
    """Edit list: duration in movie ticks, media time (-1: nothing is shown)."""


@dataclass(slots=True)
class Movie:
    """What the boxes of a file say."""

    brand: str = ""
    """Major brand, `isom`, `qt  `; empty when there is no `ftyp` box."""
    tracks: list[Track] = field(default_factory=list)
    fragments: int = 0
    index_at_end: bool = False
    """`moov` comes after the media data."""
    cut: str | None = None
    """How the file ends early, or None."""
    timescale: int = 0
    readable_bytes: int | None = None
    """Where a fragment's index is cut off, which no demuxer gets over; None when none is."""

    @property
    def video_tracks(self) -> list[Track]:
        return [track for track in self.tracks if track.handler == "vide"]


def read_movie(file: BinaryIO, shown: str) -> Movie:
    """Walk the boxes of a file opened for reading; `shown` names it in messages.

    Raises InputError when it is not an MP4 or MOV file with an index, when tables contradict themselves, when samples lie in
    another file, and when the index is compressed.
    """
    size = file.seek(0, os.SEEK_END)
    require_signature(file, size, shown)
    movie = Movie()
    found_index = seen_data = False
    defaults: dict[int, int] = {}
    at = 0
    while at + 8 <= size:
        kind, start, end = _header(file, at, size)
        if kind is None or (end > size and kind not in KNOWN_BOXES):
            if defaults or not found_index:  # behind a whole index it does no harm, unless fragments are to follow
                movie.cut = f"garbage at byte {at}"
            break
        if end > size:
            movie.cut = f"the file ends inside its {_text(kind)!r} box: {end - size} bytes are missing"
            if kind == b"moof" and found_index:
                movie.readable_bytes = at
                break
        stop = min(end, size)
        if kind == b"ftyp" and not movie.brand:
            file.seek(start)
            movie.brand = _text(file.read(4))
        elif kind == b"mdat":
            seen_data = True
        elif kind in (b"moov", b"moof"):
            if stop - start > MAX_MOOV_BYTES:
                raise InputError(
                    f"{shown}: its index takes {stop - start} bytes, which no video needs", word="input.limit"
                )
            file.seek(start)
            content = file.read(stop - start)
            if kind == b"moov" and not found_index:
                found_index = True
                movie.index_at_end = seen_data
                try:
                    _read_moov(content, movie, shown, defaults)
                except InputError:
                    if end > size:
                        raise _cut_off(shown, movie) from None
                    raise
            elif kind == b"moof":
                movie.fragments += 1
                _read_moof(content, movie)
        if end <= at:
            break
        at = end
    if not found_index:
        if movie.brand in PICTURE_BRANDS:
            raise InputError(f"{shown}: this is a picture, not a video", word="input.no_video")
        raise _cut_off(shown, movie)
    for track in movie.tracks:
        if track.unlisted > size and not track.grouped:
            raise InputError(
                f"{shown}: track {track.number} claims {track.unlisted} samples in a file of {size} bytes",
                word="input.limit",
            )
    return movie


def _cut_off(shown: str, movie: Movie) -> InputError:
    why = f"; {movie.cut}" if movie.cut else ""
    return InputError(
        f"{shown}: without a complete index (moov box) no frame can be found: cut off, or never finished{why}",
        word="input.no_frames",
    )


def require_signature(file: BinaryIO, size: int, shown: str) -> None:
    """Raise `InputError` (`input.not_mp4`) unless the file begins as an MP4 or MOV file does."""
    file.seek(0)
    head = file.read(16)
    right = "give an MP4 or MOV file"
    if size == 0:
        raise InputError(f"{shown}: the file is empty; {right}", word="input.not_mp4")
    if len(head) >= 8 and head[4:8] in FIRST_BOXES:
        return
    looks = next((what for magic, what in _SIGNATURES if head.startswith(magic)), None)
    if looks is None:
        file.seek(0)
        text = file.read(512)
        plain = all(byte >= 32 or byte in b"\t\n\r" for byte in text)
        looks = "text" if plain else "not an MP4 or MOV file"
    how = next((how for name, how in _REPACKED.items() if name in looks), None)
    if how is not None and head[8:12] not in (b"WAVE", b"WEBP"):
        to = PurePath(shown).with_suffix(".mp4")
        to = to.with_suffix(".repacked.mp4") if str(to) == shown else to
        right = f"`ffmpeg -i {quote(shown)} -map 0:v {how} {quote(str(to))}` converts it without loss"
    raise InputError(f"{shown}: this is {looks}; {right}", word="input.not_mp4")


def _header(file: BinaryIO, at: int, size: int) -> tuple[bytes | None, int, int]:
    """Type, first byte of the content and end of the box at a place; type None where there is no box."""
    file.seek(at)
    head = file.read(16)
    length, kind = struct.unpack(">I4s", head[:8])
    if length == 1 and len(head) == 16:
        (long_length,) = struct.unpack(">Q", head[8:])
        return (kind, at + 16, at + long_length) if long_length >= 16 else (None, at, at)
    if length == 0:
        return (kind, at + 8, size) if kind in KNOWN_BOXES else (None, at, at)
    return (kind, at + 8, at + length) if length >= 8 else (None, at, at)


def _boxes(data: bytes | memoryview, start: int = 0) -> Iterator[tuple[bytes, memoryview]]:
    """Type and content of the boxes in a piece of memory; what does not fit is cut."""
    view = memoryview(data)
    at = start
    while at + 8 <= len(view):
        length, kind = struct.unpack_from(">I4s", view, at)
        head = 8
        if length == 1 and at + 16 <= len(view):
            (length,) = struct.unpack_from(">Q", view, at + 8)
            head = 16
        elif length == 0:
            length = len(view) - at
        if length < head:
            return
        yield kind, view[at + head : at + length]
        at += length


def _read_moov(content: bytes, movie: Movie, shown: str, defaults: dict[int, int]) -> None:
    movie_matrix = IDENTITY_MATRIX
    for kind, box in _boxes(content):
        if kind == b"cmov":
            raise InputError(f"{shown}: compressed indexes are not supported; remux the file", word="input.unsupported")
        if kind == b"mvhd" and len(box) >= 80:
            at = 20 if box[0] == 1 else 12
            (movie.timescale,) = struct.unpack_from(">I", box, at)
            matrix_at = 36 + (12 if box[0] == 1 else 0)
            if len(box) >= matrix_at + 36:
                movie_matrix = struct.unpack_from(">9i", box, matrix_at)
        elif kind == b"trak":
            track = Track(number=len(movie.tracks) + 1)
            movie.tracks.append(track)
            _read_trak(box, track, shown)
        elif kind == b"mvex":
            for inner, trex in _boxes(box):
                if inner == b"trex" and len(trex) >= 20:
                    track_id, _, _, sample_size = struct.unpack_from(">4I", trex, 4)
                    defaults[track_id] = sample_size
    for track in movie.tracks:
        track.matrix = _product(track.matrix, movie_matrix)


def _read_trak(content: memoryview, track: Track, shown: str) -> None:
    for kind, box in _boxes(content):
        if kind == b"tkhd" and len(box) >= 76:
            long = box[0] == 1
            (track.id,) = struct.unpack_from(">I", box, 20 if long else 12)
            matrix_at = 52 if long else 40
            if len(box) >= matrix_at + 36:
                track.matrix = struct.unpack_from(">9i", box, matrix_at)
        elif kind == b"edts":
            for inner, elst in _boxes(box):
                if inner == b"elst" and len(elst) >= 8:
                    track.edits = _edits(elst)
        elif kind == b"mdia":
            for inner, mdia in _boxes(box):
                if inner == b"mdhd" and len(mdia) >= 24:
                    (track.timescale,) = struct.unpack_from(">I", mdia, 20 if mdia[0] == 1 else 12)
                elif inner == b"hdlr" and len(mdia) >= 12:
                    track.handler = _text(bytes(mdia[8:12]))
                elif inner == b"minf":
                    _read_minf(mdia, track, shown)


def _read_minf(content: memoryview, track: Track, shown: str) -> None:
    references: list[bool] = []
    description: memoryview | None = None
    for kind, box in _boxes(content):
        if kind == b"dinf":
            for inner, dref in _boxes(box):
                if inner == b"dref" and len(dref) >= 8:
                    # An entry that names a place and is not marked as "this file" points outside.
                    references = [len(e) > 4 and not e[3] & 1 for _, e in _boxes(dref, 8)]
        elif kind == b"stbl":
            description = _read_stbl(box, track, shown)
    if description is None:
        return
    for kind, entry in _boxes(description, 8):
        track.codecs.append(_text(kind))
        if track.handler == "vide" and len(entry) >= 28:
            track.sizes.append(struct.unpack_from(">HH", entry, 24))
            _read_extensions(entry[_VISUAL_ENTRY_BYTES:], track)
        track.encrypted = track.encrypted or kind in _ENCRYPTED
        if len(entry) >= 8:
            (number,) = struct.unpack_from(">H", entry, 6)
            if 1 <= number <= len(references) and references[number - 1]:
                track.external = True


def _read_extensions(content: memoryview, track: Track) -> None:
    """What follows the fixed part of a visual sample description."""
    for kind, box in _boxes(content):
        if kind == b"sinf":
            track.encrypted = True
        elif kind == b"clap" and len(box) >= 16:
            across, across_by, down, down_by = struct.unpack_from(">4I", box)
            if across_by and down_by:
                track.clean_aperture = (round(across / across_by), round(down / down_by))
        elif kind in (b"dvcC", b"dvvC", b"dvwC") and len(box) >= 5:
            track.dolby_vision = (box[2] >> 1, box[4] >> 4)


def _read_stbl(content: memoryview, track: Track, shown: str) -> memoryview | None:
    description: memoryview | None = None
    durations: tuple[int, int] | None = None
    timed = 0
    for kind, box in _boxes(content):
        if kind == b"stsd" and len(box) >= 8:
            description = box
        elif kind in (b"stsz", b"stz2") and len(box) >= 12:
            fixed, count = struct.unpack_from(">II", box, 4)
            bits = 32 if kind == b"stsz" else fixed & 0xFF
            track.claimed += count
            if kind == b"stsz" and fixed:
                track.unlisted += count
            elif count * bits > (len(box) - 12) * 8:
                raise _contradiction(shown, track, "sizes", count, (len(box) - 12) * 8 // max(bits, 1))
        elif kind in (b"stts", b"ctts") and len(box) >= 8:
            (entries,) = struct.unpack_from(">I", box, 4)
            if entries * 8 > len(box) - 8:
                raise _contradiction(shown, track, "times", entries, (len(box) - 8) // 8)
            counts = np.frombuffer(box, ">u4", entries * 2, 8)[::2]
            total = int(counts.sum(dtype=np.uint64))
            if kind == b"stts" and entries == 1:
                durations = (total, struct.unpack_from(">I", box, 12)[0])
            timed = max(timed, total)
    if timed > 2 * max(track.claimed, 1024):
        track.unlisted = max(track.unlisted, timed)
    track.grouped = track.handler == "soun" and durations is not None and durations[1] == 1
    return description


def _read_moof(content: bytes, movie: Movie) -> None:
    by_id = {track.id: track for track in movie.tracks}
    for kind, traf in _boxes(content):
        if kind != b"traf":
            continue
        track: Track | None = None
        for inner, box in _boxes(traf):
            if inner == b"tfhd" and len(box) >= 8:
                track = by_id.get(struct.unpack_from(">I", box, 4)[0])
            elif inner == b"senc" and track is not None:
                track.encryption_data = True
            elif inner == b"trun" and len(box) >= 8 and track is not None:
                flags, count = struct.unpack_from(">II", box, 0)
                track.claimed += count
                track.fragmented += count
                per_sample = 4 * bin(flags & 0xF00).count("1")
                if per_sample == 0 or per_sample * count > len(box):
                    track.unlisted += count


def _edits(elst: memoryview) -> list[tuple[int, int]]:
    (count,) = struct.unpack_from(">I", elst, 4)
    form = ">QqI" if elst[0] == 1 else ">IiI"
    step = struct.calcsize(form)
    count = min(count, (len(elst) - 8) // step)
    entries: list[tuple[int, int, int]] = [struct.unpack_from(form, elst, 8 + step * i) for i in range(count)]
    return [(duration, media_time) for duration, media_time, _ in entries]


def _contradiction(shown: str, track: Track, what: str, claimed: int, held: int) -> InputError:
    return InputError(
        f"{shown}: track {track.number} claims {what} of {claimed} samples, its table holds {held}", word="input.limit"
    )


def _product(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    """Product of two display matrices in their fixed point form."""
    shift = (16, 16, 30)
    rows = [sum((left[3 * i + k] * right[3 * k + j]) >> shift[k] for k in range(3)) for i in range(3) for j in range(3)]
    return tuple(rows)


def _text(code: bytes | memoryview) -> str:
    return bytes(code).decode("latin-1")
