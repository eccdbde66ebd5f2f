"""Times as frame numbers of an edit: what EDL and OTIO count in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import PurePath
from typing import Any

from videodag_cli.convert.results_files import ResultsFile, chosen
from videodag_cli.errors import InputError, RequestError, printable
from videodag_cli.results.reading import JsonLine, leaves
from videodag_cli.run.timecode import Timecode

EXACT = {
    text: Fraction(whole * 1000, 1001)
    for whole, texts in {24: ("23.976", "23.98"), 30: ("29.97",), 60: ("59.94",), 120: ("119.88",)}.items()
    for text in texts
}
"""What people write for rates that are no round numbers."""
TOLERANCE_FRAMES = 0.1
"""How far a time may lie from a frame of a constant rate; times are rounded to microseconds."""


@dataclass(frozen=True, slots=True)
class EditedClip:
    """Frames `start` to before `end` of the video, counted from its first one."""

    start: int
    end: int
    name: str
    axis: FrameAxis


@dataclass(frozen=True)
class FrameAxis:
    """The frames of a video at a rate."""

    media: str
    """File name of the video."""
    rate: Fraction
    first_us: int
    timecode: Timecode
    """Of the first frame."""
    frame_count: int | None
    exact: bool
    """Every time must lie on a frame."""

    def number(self, time_us: int) -> int:
        """The frame at this time; raises InputError where it is none."""
        place = (time_us - self.first_us) * self.rate / 1_000_000
        number = round(place)
        if self.exact and abs(place - number) > TOLERANCE_FRAMES:
            raise InputError(
                f"{printable(self.media)}: {time_us / 1_000_000} s is not the time of a frame at {self.rate} frames per second; "
                "--rate gives the rate of the edit, and takes the nearest frame",
                word="input.unsupported",
            )
        return max(0, number)

    def clip(self, start_us: int, end_us: int, name: str) -> EditedClip:
        start = self.number(start_us)
        return EditedClip(start, max(start + 1, self.number(end_us)), name, self)


@dataclass(frozen=True)
class Edit:
    """Clips that follow each other, of one video or several, at one rate."""

    clips: Sequence[EditedClip]
    rate: Fraction
    title: str
    zero: Timecode
    """Of its first frame."""

    @classmethod
    def of(cls, clips: Sequence[EditedClip], axes: Sequence[FrameAxis]) -> Edit:
        """axes: of the videos, also of those that no clip is from. Raises `RequestError` where their rates differ."""
        first, *others = axes
        for other in others:
            if other.rate != first.rate:
                raise RequestError(
                    f"{printable(first.media)} has {first.rate} frames per second and {printable(other.media)} {other.rate}, "
                    "but an edit has one rate; --rate gives it"
                )
        title = f"{first.media} and {len(others)} more" if others else first.media
        return cls(clips, first.rate, title, Timecode(0, first.timecode.rate, first.timecode.drop))


def frame_axis(record: Mapping[str, Any] | None, shown: str, *, rate: str | None) -> FrameAxis:
    """From what the run record says of the video. Raises RequestError where the rate is not known or varies, and is not given."""
    found = (record or {}).get("input") or {}
    video = found.get("video") or {}
    media = PurePath(str(found.get("path") or shown)).name
    written = video.get("frame_rate")
    if rate is not None:
        used = parse_rate(rate)
    elif not written:
        raise RequestError(f"{shown}: no run record says what the frame rate is; give --rate, such as --rate 25")
    elif video.get("variable_frame_rate"):
        raise RequestError(
            f"{shown}: the frame rate of {printable(media)} varies, so its times are no frame numbers; "
            "--rate 30 makes an edit of 30 frames per second with the nearest frames"
        )
    else:
        used = Fraction(str(written))
    try:
        start = Timecode.parse("00:00:00:00", used)
        if video.get("timecode"):
            start = Timecode.parse(str(video["timecode"]), used)
    except ValueError as error:
        raise RequestError(f"{shown}: {error}; --rate gives the rate of the edit") from error
    first_us = round(float(video.get("first_time_s") or 0.0) * 1_000_000)
    count = video.get("frame_count")
    return FrameAxis(
        media, used, first_us, start, count if rate is None and isinstance(count, int) else None, rate is None
    )


def parse_rate(text: str) -> Fraction:
    """`25`, `29.97` (which means 30000/1001) or `30000/1001`."""
    try:
        found = EXACT.get(text) or Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise RequestError(f"--rate {printable(text)!r}: give frames per second: 25, 29.97 or 30000/1001") from error
    if not 1 <= found <= 1000:
        raise RequestError(f"--rate {printable(text)!r}: must be 1 to 1000 frames per second")
    return found


def scenes(source: ResultsFile, axis: FrameAxis, nodes: Sequence[str]) -> Iterator[EditedClip]:
    """One clip from each cut to the next; the first one begins with the first line, the last one ends after the last line."""
    cuts: dict[str, list[int]] = {}
    first_us = last_us = None
    step_us = 0
    for line in source.lines():
        time_us = round(line["time_s"] * 1_000_000)
        first_us = time_us if first_us is None else first_us
        step_us = step_us if last_us is None else time_us - last_us
        last_us = time_us
        for path, value in _flags(line, nodes):
            cuts.setdefault(path, [])
            if value:
                cuts[path].append(time_us)
    if not cuts or first_us is None or last_us is None:
        raise RequestError(
            f"{printable(source.name)}: has no cuts; run the pipeline scenes, or print an edit of time ranges: "
            "videodag ranges --where EXPR --format edl"
        )
    if len(cuts) > 1:
        raise RequestError(
            f"{printable(source.name)}: several outputs have cuts ({', '.join(map(printable, sorted(cuts)))}); choose with --node"
        )
    (times,) = cuts.values()
    end_us = last_us + (step_us or round(1_000_000 / axis.rate))
    starts = [first_us, *(time_us for time_us in times if time_us != first_us)]
    for rank, (start, end) in enumerate(zip(starts, [*starts[1:], end_us], strict=True), 1):
        yield axis.clip(start, end, f"scene {rank}")


def _flags(line: JsonLine, nodes: Sequence[str]) -> Iterable[tuple[str, bool]]:
    return (
        (path, value)
        for path, value in leaves(line["result"] or {})
        if isinstance(value, bool) and path.endswith(".cut") and chosen(path, nodes)
    )
