"""Clips that paint their own frame index, for every class of file a reader may meet, and the damage that can be done to them.

`paint` draws the index as black and white blocks over the whole picture and `read_index` reads it back, through any codec; a
picture that is turned, mirrored, mixed up or damaged reads as None. Everything is made with PyAV or by editing bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.shared import made_once, shared_folder

Image = NDArray[np.uint8]

COLUMNS, ROWS = 5, 4
INDEX_BITS, CHECK_BITS = 10, 6
CORNERS = {(0, 0): 1, (0, COLUMNS - 1): 0, (ROWS - 1, 0): 0, (ROWS - 1, COLUMNS - 1): 0}
CELLS = [(row, column) for row in range(ROWS) for column in range(COLUMNS) if (row, column) not in CORNERS]
SIZE = (160, 112)
"""Width and height of most clips: fast to encode, not square."""
Matrix = tuple[int, ...]
ONE = 1 << 16
TURNED = {
    90: (0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30),
    180: (-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30),
    270: (0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30),
}
"""Display matrices that turn the stored picture clockwise."""
MIRRORED = (-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30)


def _bits(index: int) -> list[int]:
    check = (index * 37 + 11) & (2**CHECK_BITS - 1)
    code = index << CHECK_BITS | check
    return [code >> shift & 1 for shift in reversed(range(INDEX_BITS + CHECK_BITS))]


def paint(index: int, size: tuple[int, int] = SIZE) -> Image:
    """A BGR picture that says which frame it is; index below 1024."""
    width, height = size
    cells = dict(CORNERS)
    cells.update(zip(CELLS, _bits(index), strict=True))
    image = np.empty((height, width, 3), np.uint8)
    for (row, column), bit in cells.items():
        top, bottom = row * height // ROWS, (row + 1) * height // ROWS
        left, right = column * width // COLUMNS, (column + 1) * width // COLUMNS
        image[top:bottom, left:right] = 210 if bit else 40
    ramp = (np.arange(width) + 3 * index) % 32
    return np.asarray(image + ramp[None, :, None].astype(np.uint8) // 2, np.uint8)


def read_index(image: Image) -> int | None:
    """The index painted on an upright picture; None where it cannot be read without doubt."""
    height, width = image.shape[:2]
    values: dict[tuple[int, int], int] = {}
    for row in range(ROWS):
        for column in range(COLUMNS):
            top, bottom = (4 * row + 1) * height // (4 * ROWS), (4 * row + 3) * height // (4 * ROWS)
            left, right = (4 * column + 1) * width // (4 * COLUMNS), (4 * column + 3) * width // (4 * COLUMNS)
            cell = image[top:bottom, left:right].astype(float)
            if cell.std() > 30 or abs(cell.mean() - 130) < 40:
                return None
            values[row, column] = int(cell.mean() > 130)
    if any(values[place] != bit for place, bit in CORNERS.items()):
        return None
    code = 0
    for place in CELLS:
        code = code << 1 | values[place]
    index = code >> CHECK_BITS
    return index if _bits(index) == [values[place] for place in CELLS] else None


def encode(
    path: Path,
    *,
    indices: Iterable[int] = range(40),
    codec: str = "libx264",
    size: tuple[int, int] = SIZE,
    pix_fmt: str = "yuv420p",
    container: str | None = None,
    movflags: str = "",
    muxing: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    rate: int | Fraction = 25,
    ticks: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    flags: int = 0,
    audio: bool = False,
    prepare: Callable[[Image], Image] | None = None,
) -> Path:
    """Write one clip.

    muxing: more options of the muxer.
    ticks: presentation times in `time_base`, by default one frame after the other.
    prepare: turns the upright picture into the stored one.
    """
    file = av.open(
        str(path), "w", format=container, options={**({"movflags": movflags} if movflags else {}), **(muxing or {})}
    )
    with file:
        stream: Any = file.add_stream(
            codec, rate=Fraction(rate), options=dict(_DEFAULTS.get(codec, {}), **(options or {}))
        )
        stored = prepare(paint(0, size)) if prepare else paint(0, size)
        stream.width, stream.height = stored.shape[1], stored.shape[0]
        stream.pix_fmt = pix_fmt
        base = time_base or 1 / Fraction(rate)
        stream.codec_context.time_base = base
        stream.codec_context.flags |= flags
        sound: Any = file.add_stream("aac", rate=48000) if audio else None
        count = 0
        for count, index in enumerate(indices):
            image = paint(index, size)
            frame = av.VideoFrame.from_ndarray(prepare(image) if prepare else image, format="bgr24")
            frame.pts = ticks[count] if ticks is not None else count
            frame.time_base = base
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
        if sound is not None:
            _add_silence(file, sound, seconds=(count + 1) / float(rate))
    return path


INTERLACED = 1 << 29 | 1 << 18
"""AV_CODEC_FLAG_INTERLACED_ME and AV_CODEC_FLAG_INTERLACED_DCT."""
# x265 with a pool of threads can lose a picture that it has looked at, and then waits for it for ever when it is flushed;
# pictures of several slices need the pool.
_DEFAULTS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "fast", "threads": "1"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libsvtav1": {"preset": "8", "crf": "12"},
}


def _add_silence(file: Any, sound: Any, *, seconds: float) -> None:
    for start in range(0, int(seconds * 48000), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        frame.pts = start
        file.mux(sound.encode(frame))
    file.mux(sound.encode())


def x264(path: Path, params: str, **options: Any) -> Path:
    """An H.264 clip with these encoder parameters."""
    return encode(path, options={"x264-params": params}, **options)


def joined(path: Path, parts: Sequence[dict[str, Any]], *, codec: str = "libx264", count: int = 20) -> Path:
    """One track whose parts come from encoders with different settings, their headers in the packets.

    Each part gives `size`, `options` and `flags`; frames are numbered through.
    """
    with av.open(str(path), "w", format="mp4") as file:
        track: Any = None
        start = 0
        for part in parts:
            context: Any = av.CodecContext.create(codec, "w")
            context.width, context.height = part.get("size", SIZE)
            context.pix_fmt = "yuv420p"
            context.time_base = Fraction(1, 25)
            context.framerate = Fraction(25)
            context.options = {**_DEFAULTS.get(codec, {}), "bf": "0", **part.get("options", {})}
            context.flags |= part.get("flags", 0)
            packets: list[Any] = []
            for index in range(start, start + count):
                frame = av.VideoFrame.from_ndarray(paint(index, part.get("size", SIZE)), format="bgr24")
                frame = frame.reformat(format="yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                packets += context.encode(frame)
            packets += context.encode(None)
            if track is None:
                track = file.add_stream(codec, rate=25)
                track.width, track.height = part.get("size", SIZE)
                track.pix_fmt = "yuv420p"
                track.codec_context.flags |= part.get("flags", 0)
                track.codec_context.options = {**_DEFAULTS.get(codec, {}), "bf": "0", **part.get("options", {})}
                track.time_base = Fraction(1, 25)
            for packet in packets:
                packet.stream = track
                packet.time_base = Fraction(1, 25)
                file.mux(packet)
            start += count
    return path


# Bytes of a finished file.


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Type, first byte of the content, and end of each box in a stretch of a file."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        length = length or end - start
        yield kind, start + head, start + length
        start += length


def find(data: bytes, *path: bytes, start: int = 0, end: int | None = None) -> tuple[int, int]:
    """Where the content of the first box along a path of types starts and ends."""
    for kind in path:
        start, end = next((s, e) for k, s, e in boxes(data, start, end) if k == kind)
    assert end is not None
    return start, end


def replaced(clip: bytes, path: tuple[bytes, ...], content: bytes) -> bytes:
    """Replace a box's content after the media data, with the sizes of the boxes around it."""
    data = bytearray(clip)
    start, end = find(clip, *path)
    grown = len(content) - (end - start)
    for depth in range(1, len(path) + 1):
        at = find(clip, *path[:depth])[0] - 8
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + grown)
    data[start:end] = content
    return bytes(data)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def describe_with(path: Path, extension: bytes, *, kind: bytes | None = None) -> Path:
    """Add a box to the only sample description of a clip whose index is at the end, and give it another type."""
    data = path.read_bytes()
    table = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    start, end = find(data, *table)
    name = kind or data[start + 12 : start + 16]
    path.write_bytes(replaced(data, table, data[start : start + 8] + box(name, data[start + 16 : end] + extension)))
    return path


def set_matrix(path: Path, matrix: Matrix) -> Path:
    """Give the first track this display matrix."""
    data = bytearray(path.read_bytes())
    start, _ = find(bytes(data), b"moov", b"trak", b"tkhd")
    struct.pack_into(">9i", data, start + (52 if data[start] == 1 else 40), *matrix)
    path.write_bytes(data)
    return path


def hide_first(path: Path, ticks: int) -> Path:
    """Let the edit list start this many ticks of the media later."""
    data = bytearray(path.read_bytes())
    start, _ = find(bytes(data), b"moov", b"trak", b"edts", b"elst")
    (media_time,) = struct.unpack_from(">i", data, start + 12)
    struct.pack_into(">i", data, start + 12, media_time + ticks)
    path.write_bytes(data)
    return path


def sample_places(path: Path) -> list[tuple[int, int]]:
    """Byte position and size of each video packet, in decoding order."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        return [(p.pos, p.size) for p in file.demux(stream) if p.size and p.pos is not None]


def overwrite(path: Path, packets: Iterable[int], *, with_byte: int | None = 0, skip: int = 0) -> Path:
    """Overwrite the bytes of some packets; `with_byte` None writes noise, `skip` leaves their first bytes."""
    places = sample_places(path)
    data = bytearray(path.read_bytes())
    noise = np.random.default_rng(1)
    for number in packets:
        at, size = places[number]
        count = max(0, size - skip)
        data[at + skip : at + size] = noise.bytes(count) if with_byte is None else bytes([with_byte]) * count
    path.write_bytes(data)
    return path


def flip_bits(path: Path, *, seed: int, count: int = 3) -> Path:
    """Flip random bits inside video packets."""
    places = sample_places(path)
    data = bytearray(path.read_bytes())
    random = np.random.default_rng(seed)
    for _ in range(count):
        at, size = places[int(random.integers(len(places)))]
        data[at + int(random.integers(size))] ^= 1 << int(random.integers(8))
    path.write_bytes(data)
    return path


def cut(path: Path, share: float) -> Path:
    """Keep this share of the file's bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


# The valid classes.


def two_streams(path: Path) -> Path:
    """Two video streams; the second one is smaller and counts from 500."""
    with av.open(str(path), "w", format="mp4") as file:
        streams: list[Any] = []
        for size in (SIZE, (128, 96)):
            stream: Any = file.add_stream("libx264", rate=25, options=dict(_DEFAULTS["libx264"]))
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            streams.append(stream)
        for index in range(30):
            for number, stream in enumerate(streams):
                image = paint(index + 500 * number, (stream.width, stream.height))
                frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                file.mux(stream.encode(frame))
        for stream in streams:
            file.mux(stream.encode())
    return path


def cover_art(path: Path, *, video: bool = True) -> Path:
    """A picture attached to a video, or to sound alone."""
    with av.open(str(path), "w", format="mp4") as file:
        cover: Any = file.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        main: Any
        if video:
            main = file.add_stream("libx264", rate=25, options=dict(_DEFAULTS["libx264"]))
            main.width, main.height = SIZE
            main.pix_fmt = "yuv420p"
        else:
            main = file.add_stream("aac", rate=48000)
        picture = av.VideoFrame.from_ndarray(paint(999, (64, 64)), format="bgr24")
        picture.pts, picture.time_base = 0, Fraction(1)
        file.mux(cover.encode(picture))
        file.mux(cover.encode())
        if not video:
            _add_silence(file, main, seconds=1)
            return path
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(paint(index), format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            file.mux(main.encode(frame))
        file.mux(main.encode())
    return path


def vfr_ticks(count: int) -> list[int]:
    """Uneven times, in ticks of 1/600 s."""
    steps = [20, 25, 40, 7, 100, 20, 20, 33]
    return [0, *np.cumsum([steps[i % len(steps)] for i in range(count - 1)]).tolist()]


def turned(path: Path, clockwise: int, *, mirrored: bool = False) -> Path:
    """Stored so that mirroring and then turning clockwise makes the picture upright."""

    def prepare(image: Image) -> Image:
        image = np.rot90(image, clockwise // 90)
        return np.ascontiguousarray(image[:, ::-1] if mirrored else image)

    encode(path, indices=range(20), prepare=prepare)
    return set_matrix(path, MIRRORED if mirrored else TURNED[clockwise])


@dataclass(frozen=True)
class Case:
    """A valid class of clip."""

    make: Callable[[Path], Path]
    first: int = 0
    """The index painted on frame 0; the others count on from there."""
    suffix: str = ".mp4"
    size: tuple[int, int] = SIZE
    """Width and height of the upright picture."""
    opencv: bool = True
    """The OpenCV reader is known to be right."""


VALID: dict[str, Case] = {
    "h264": Case(lambda p: encode(p, audio=True)),
    "h264 without B-frames": Case(lambda p: encode(p, options={"bf": "0"})),
    "h264 pyramid, short groups": Case(
        lambda p: x264(p, "keyint=9:bframes=3:b-pyramid=normal:b-adapt=0", indices=range(60))
    ),
    "h264 open groups": Case(
        lambda p: x264(p, "keyint=10:min-keyint=10:open-gop=1:bframes=3:b-adapt=0:scenecut=0", indices=range(60))
    ),
    "h264 intra refresh": Case(lambda p: x264(p, "keyint=12:intra-refresh=1:bframes=0", indices=range(60))),
    "h264 slices": Case(lambda p: x264(p, "slices=4:keyint=10")),
    "h264 4:2:2 10 bit": Case(lambda p: encode(p, pix_fmt="yuv422p10le"), opencv=False),
    "h264 4:4:4": Case(lambda p: encode(p, pix_fmt="yuv444p")),
    "h264 full range": Case(lambda p: encode(p, pix_fmt="yuvj420p")),
    "h264 interlaced": Case(lambda p: x264(p, "tff=1:keyint=10", flags=INTERLACED), opencv=False),
    "h264 turning interlaced": Case(
        lambda p: joined(p, [{}, {"options": {"x264-params": "tff=1"}, "flags": INTERLACED}]), opencv=False
    ),
    "h264 in mov": Case(lambda p: encode(p), suffix=".mov"),
    "hevc": Case(lambda p: encode(p, codec="libx265"), opencv=False),
    "hevc 10 bit": Case(lambda p: encode(p, codec="libx265", pix_fmt="yuv420p10le"), opencv=False),
    "hevc open groups": Case(
        lambda p: encode(
            p,
            codec="libx265",
            indices=range(60),
            options={
                "x265-params": "log-level=none:pools=none:frame-threads=1:keyint=10:min-keyint=10:open-gop=1:bframes=4:scenecut=0"
            },
        ),
        opencv=False,
    ),
    "mpeg4": Case(lambda p: encode(p, codec="mpeg4", options={"g": "12", "bf": "2", "qscale": "3"})),
    "mpeg4 interlaced": Case(
        lambda p: encode(p, codec="mpeg4", options={"g": "12"}, flags=INTERLACED), suffix=".mov", opencv=False
    ),
    "mpeg2": Case(lambda p: encode(p, codec="mpeg2video", options={"g": "12", "bf": "2"}), suffix=".mov", opencv=False),
    "mpeg2 interlaced": Case(
        lambda p: encode(p, codec="mpeg2video", options={"g": "12", "bf": "2"}, flags=INTERLACED), opencv=False
    ),
    "mjpeg": Case(lambda p: encode(p, codec="mjpeg", pix_fmt="yuvj420p"), suffix=".mov", opencv=False),
    "mjpeg 4:2:2": Case(lambda p: encode(p, codec="mjpeg", pix_fmt="yuvj422p"), opencv=False),
    "prores": Case(lambda p: encode(p, codec="prores_ks", pix_fmt="yuv422p10le"), suffix=".mov", opencv=False),
    "vp9": Case(lambda p: encode(p, codec="libvpx-vp9", options={"g": "15"})),
    "vp9 alternate references": Case(
        lambda p: encode(
            p, codec="libvpx-vp9", options={"g": "15", "deadline": "good", "auto-alt-ref": "1", "lag-in-frames": "12"}
        )
    ),
    "av1": Case(lambda p: encode(p, codec="libsvtav1", options={"g": "15"}), opencv=False),
    "av1 10 bit": Case(lambda p: encode(p, codec="libsvtav1", pix_fmt="yuv420p10le"), opencv=False),
    "variable rate": Case(lambda p: encode(p, ticks=vfr_ticks(40), time_base=Fraction(1, 600))),
    "nonzero start": Case(lambda p: encode(p, ticks=[1500 + 24 * i for i in range(40)], time_base=Fraction(1, 600))),
    "edit list hiding frames": Case(lambda p: hide_first(encode(p, options={"bf": "0", "g": "10"}), 7 * 512), first=7),
    "edit list hiding frames, B-frames": Case(lambda p: hide_first(encode(p, options={"g": "20"}), 5 * 512), first=5),
    "fragmented": Case(lambda p: encode(p, movflags="frag_keyframe+empty_moov", options={"g": "10"})),
    "index in front": Case(lambda p: encode(p, movflags="faststart")),
    "odd size": Case(lambda p: encode(p, size=(161, 113), pix_fmt="yuv444p"), size=(161, 113)),
    "odd size, 4:2:0": Case(lambda p: encode(p, size=(163, 117), codec="libvpx-vp9"), size=(163, 117)),
    "one frame": Case(lambda p: encode(p, indices=[0])),
    "turned 90": Case(lambda p: turned(p, 90)),
    "turned 180": Case(lambda p: turned(p, 180)),
    "turned 270": Case(lambda p: turned(p, 270)),
    "mirrored": Case(lambda p: turned(p, 0, mirrored=True), opencv=False),
    "two streams": Case(two_streams),
    "cover art": Case(cover_art),
    "ten thousand ticks": Case(lambda p: encode(p, rate=Fraction(30000, 1001))),
}
"""Every valid class by name."""


def valid(name: str, folder: Path) -> Path:
    """The clip of a valid class; made once for each run of the tests."""
    return made_once(folder / f"{list(VALID).index(name):02d}{VALID[name].suffix}", VALID[name].make)


@pytest.fixture(scope="session")
def clip_folder() -> Path:
    """Where the clips of the valid classes are kept; import it into a test module to use it."""
    folder = shared_folder() / "clips"
    folder.mkdir(exist_ok=True)
    return folder
