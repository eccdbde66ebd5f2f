"""Each MP4 and MOV file of a folder, read by videodag and by the `ffmpeg` and `ffprobe` commands.

Compared exactly: how many frames there are, their order, their times in microseconds, and every decoded picture as it is stored (the
MD5 sum of its planes, as `-f framemd5` writes it), which is what decoding, indices and seeking decide. The upright BGR picture is
compared within `NEAR`, because versions of swscale round differently; which matrix and range are right is for tests of colours. Then
every sampling has to give the very bytes of the full run, at the indices that follow from FFmpeg's list.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from videodag_cli.data import Image
from videodag_cli.errors import InputError
from videodag_cli.video.opening import open_reader
from videodag_cli.video.probing import probe
from videodag_cli.video.pyav import PyavReader
from videodag_cli.video.sampling import Position, Sampling, select
from videodag_cli.video.source import Probe

SUFFIXES = (".mp4", ".mov", ".m4v", ".3gp", ".3g2", ".qt")
NEAR = 4.0
"""Mean difference of BGR values, of 255, that the rounding of two versions of swscale may make."""
ROUNDED = frozenset({"mpeg4", "mpeg2video", "mpeg1video", "h263", "mjpeg"})
"""Codecs whose inverse transform is defined within limits only, so that versions of a decoder may differ."""
ROUNDING = 0.1
"""The same for that difference, which is of single values."""


@dataclass
class Comparison:
    path: Path
    verdict: str = "agree"
    """`agree`, `DISAGREE`, `damaged` (both see it, or only the frames that are good were compared) or `refused`."""
    what: list[str] = field(default_factory=list)

    def disagree(self, text: str) -> None:
        self.verdict = "DISAGREE"
        self.what.append(text)

    def __str__(self) -> str:
        return f"{self.verdict:<9} {self.path}" + (f": {'; '.join(self.what)}" if self.what else "")


@dataclass
class Theirs:
    """FFmpeg's list of frames, in its order of output."""

    pts: list[int]
    sums: list[str]
    time_base: Fraction
    hidden: frozenset[int]
    """Times of packets that its demuxer marks as hidden by the edit list."""
    complaints: str

    def only(self, places: Sequence[int]) -> Theirs:
        return replace(self, pts=[self.pts[i] for i in places], sums=[self.sums[i] for i in places])

    def times_s(self) -> list[float]:
        return [float(round(time * self.time_base, 6)) for time in self.pts]


def compare_folder(folder: Path) -> Iterator[Comparison]:
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()):
        yield compare(path)


def compare(path: Path) -> Comparison:
    result = Comparison(path)
    try:
        found = probe(path)
    except InputError as error:
        result.verdict = "refused"
        result.what.append(f"[{error.word}] {error}".replace(f"{path}: ", ""))
        return result
    theirs = _theirs(path, found.stream_index)
    ours, sums, undecodable, problems = _ours(found)
    indices, times = [index for index, _, _ in ours], [time for _, time, _ in ours]
    if undecodable or problems:
        result.verdict = "damaged"
        if not theirs.complaints and not any("contradict" in problem for problem in problems):
            result.disagree("FFmpeg does not complain")
        result.what.append(f"{len(undecodable)} of {len(found.index)} frames undecodable {problems}")
        known = set(zip(theirs.times_s(), theirs.sums, strict=False))
        same = sum((time, one) in known for time, one in zip(times, sums, strict=True))
        result.what.append(f"{same} of {len(ours)} frames as FFmpeg's, which has {len(theirs.pts)}")
        return result
    if theirs.complaints:
        result.what.append(f"FFmpeg says {theirs.complaints!r}")
    if indices != list(range(len(ours))):
        result.disagree("indices are not 0, 1, 2, ...")
    if len(theirs.pts) != len(theirs.sums):
        result.disagree(f"ffprobe lists {len(theirs.pts)} frames, ffmpeg decodes {len(theirs.sums)}")
        return result
    total = len(theirs.pts)
    order = [place for place in range(total) if theirs.pts[place] not in theirs.hidden]
    if len(order) < total:
        # FFmpeg before version 6 forgets the marks of packets in decoders that are libraries of their own.
        result.what.append(f"FFmpeg shows {total - len(order)} frames that its own demuxer marks as hidden")
    if len(ours) != len(order):
        result.disagree(f"{len(ours)} frames, FFmpeg has {len(order)}")
        return result
    theirs = theirs.only(order)
    if sums != theirs.sums:
        by_time = sorted(range(len(order)), key=lambda place: theirs.pts[place])
        if sums == [theirs.sums[place] for place in by_time]:
            order = [order[place] for place in by_time]
            result.what.append("FFmpeg outputs against the times")
        elif found.codec in ROUNDED and _worst_bgr(found, ours, order, total) <= ROUNDING:
            result.what.append("pictures differ by rounding, which the codec leaves open")
        else:
            wrong = [i for i, (a, b) in enumerate(zip(sums, theirs.sums, strict=True)) if a != b]
            result.disagree(f"{len(wrong)} other pictures, the first at {wrong[0]}")
    expected = sorted(theirs.times_s())
    if times != expected:
        wrong = [i for i, (a, b) in enumerate(zip(times, expected, strict=True)) if a != b]
        result.disagree(
            f"{len(wrong)} other times, the first at {wrong[0]}: {times[wrong[0]]}, not {expected[wrong[0]]}"
        )
    elif theirs.pts != sorted(theirs.pts):
        result.what.append("FFmpeg's times go backwards; ours are the same, sorted")
    _compare_samplings(result, found, {index: image for index, _, image in ours}, times)
    _compare_bgr(result, found, ours, order, total)
    return result


def _theirs(path: Path, stream: int) -> Theirs:
    asked: list[str | Path] = ["ffprobe", "-v", "error", "-threads", "1", "-select_streams", str(stream), "-of", "json"]
    listed = subprocess.run(
        [*asked, "-show_entries", "stream=time_base:frame=pts,pkt_dts", path],
        capture_output=True,
        text=True,
        check=False,
    )
    data = json.loads(listed.stdout or "{}")
    pts = [int(frame.get("pts", frame.get("pkt_dts", 0))) for frame in data.get("frames", [])]
    packets = subprocess.run(
        [*asked, "-show_entries", "packet=pts,flags", path], capture_output=True, text=True, check=False
    )
    marked = [packet for packet in json.loads(packets.stdout or "{}").get("packets", []) if "D" in packet["flags"]]
    hidden = frozenset(int(packet["pts"]) for packet in marked if "pts" in packet)
    time_base = Fraction(data["streams"][0]["time_base"]) if data.get("streams") else Fraction(1)
    decode: list[str | Path] = [
        "ffmpeg",
        "-v",
        "error",
        "-nostdin",
        "-threads",
        "1",
        "-noautorotate",
        "-i",
        path,
        "-map",
        f"0:{stream}",
    ]
    hashed = subprocess.run(
        [*decode, "-fps_mode", "passthrough", "-autoscale", "0", "-f", "framemd5", "-"],
        capture_output=True,
        text=True,
        check=False,
    )
    sums = [line.rsplit(",", 1)[1].strip() for line in hashed.stdout.splitlines() if line and not line.startswith("#")]
    complaints = (listed.stderr or hashed.stderr).strip().splitlines()
    return Theirs(pts, sums, time_base, hidden, complaints[0][:100] if complaints else "")


def _ours(found: Probe) -> tuple[list[tuple[int, float, Image]], list[str], list[int], list[str]]:
    """Index, time and picture of each frame; the sums of the pictures as stored; what is undecodable; problems."""
    sums: list[str] = []
    reader = open_reader(found, np.arange(len(found.index)))
    assert isinstance(reader, PyavReader)
    convert = reader._converter.image
    packer = _Packer()

    def image(picture: av.VideoFrame) -> Image:
        sums.append(packer.md5(picture))
        return convert(picture)

    setattr(reader._converter, "image", image)  # noqa: B010 - only here is a picture still as it was stored
    with reader:
        frames = [(frame.index, frame.time_s, frame.image) for frame in reader]
    return frames, sums, reader.undecodable.tolist(), list(reader.problems)


class _Packer:
    """Packs pictures as FFmpeg's rawvideo encoder does."""

    def __init__(self) -> None:
        self._key: object = None
        self._context: Any = None

    def md5(self, picture: av.VideoFrame) -> str:
        key = (picture.width, picture.height, picture.format.name)
        if key != self._key:
            self._context = av.CodecContext.create("rawvideo", "w")
            self._context.width, self._context.height, self._context.pix_fmt = key
            self._context.time_base = Fraction(1, 1000)
            self._key = key
        (packet,) = self._context.encode(picture)
        return hashlib.md5(bytes(packet)).hexdigest()


def _compare_samplings(result: Comparison, found: Probe, everything: dict[int, Image], times: Sequence[float]) -> None:
    """Which frames follow from FFmpeg's times, and that each is the one of the full run."""
    count = len(times)
    middle = times[count // 2]
    # `times` are FFmpeg's by now, or it was said that they are not.
    plans = {
        "--frame-stride 2": (Sampling(stride=2), list(range(0, count, 2))),
        "--frame-stride 7": (Sampling(stride=7), list(range(0, count, 7))),
        "--start": (
            Sampling(start=Position(time_s=Fraction(str(middle)))),
            [index for index, time in enumerate(times) if time >= middle],
        ),
        "--end": (
            Sampling(end=Position(time_s=Fraction(str(middle)))),
            [index for index, time in enumerate(times) if time < middle],
        ),
        "last": (Sampling(start=Position(frame_index=count - 1)), [count - 1]),
        "--keyframes": (Sampling(keyframes=True), np.flatnonzero(found.index.keyframe).tolist()),
    }
    for name, (sampling, wanted) in plans.items():
        targets = select(found.index, sampling)
        if targets.tolist() != wanted:
            result.disagree(f"{name} takes {len(targets)} frames, not the {len(wanted)} of FFmpeg's times")
            continue
        with open_reader(found, targets) as reader:
            shown = {frame.index: frame.image for frame in reader}
        if list(shown) != wanted:
            result.disagree(f"{name} gives {len(shown)} of {len(wanted)} frames")
        wrong = [index for index, image in shown.items() if not np.array_equal(image, everything[index])]
        if wrong:
            result.disagree(f"{name} gives other pixels at {wrong[:5]}")


def _compare_bgr(
    result: Comparison, found: Probe, ours: Sequence[tuple[int, float, Image]], order: Sequence[int], total: int
) -> None:
    """Upright BGR pictures, near FFmpeg's."""
    worst = _worst_bgr(found, ours, order, total)
    if worst > NEAR:
        result.disagree(f"BGR is {worst:.1f} of 255 away on average in the worst frame")


def _worst_bgr(found: Probe, ours: Sequence[tuple[int, float, Image]], order: Sequence[int], total: int) -> float:
    """The largest mean difference of a frame; infinite where FFmpeg's pictures have another size."""
    width, height = found.info.width, found.info.height
    decode = ["ffmpeg", "-v", "error", "-nostdin", "-i", found.path, "-map", f"0:{found.stream_index}"]
    form = ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "bgr24", "-"]
    raw = subprocess.run([*decode, *form], capture_output=True, check=False).stdout
    size = width * height * 3
    if len(raw) != size * total:
        return float("inf")
    worst = 0.0
    for (_, _, image), place in zip(ours, order, strict=True):
        other = np.frombuffer(raw, np.uint8, size, place * size).reshape(height, width, 3)
        if image.shape != other.shape:  # the command gives all pictures the size of the first one
            continue
        worst = max(worst, float(np.abs(image.astype(np.int16) - other).mean()))
    return worst
