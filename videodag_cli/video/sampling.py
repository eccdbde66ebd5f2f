"""Which frames are looked at: decided on the packet index, before anything is decoded."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from videodag_cli.errors import RequestError
from videodag_cli.times import WRITTEN, parse_seconds
from videodag_cli.video.index import INT64_MAX, PacketIndex

_FRAME = re.compile(r"(?P<frame>\d{1,15})f", re.ASCII)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the video: a time on the axis of `time_s`, or a frame index."""

    time_s: Fraction | None = None
    frame_index: int | None = None

    def __str__(self) -> str:
        """The shortest form that `parse_position` reads back."""
        return f"{self.frame_index}f" if self.time_s is None else decimal(self.time_s)


@dataclass(frozen=True, slots=True)
class Sampling:
    """Without any option every frame is taken. `stride`, `every_s`, `keyframes` and `num_frames` exclude each other."""

    stride: int | None = None
    """Take the frames whose index is a multiple of this."""
    every_s: Fraction | None = None
    """For each multiple of this many seconds, take the first frame at or after it."""
    keyframes: bool = False
    """Take the container's keyframes."""
    num_frames: int | None = None
    """Take this many frames, evenly spaced by index: the first, the last, and those between; all where there are no more."""
    start: Position | None = None
    """Drop what comes before; never shifts the phase of the sampling."""
    end: Position | None = None
    """Drop this and what comes after."""
    max_frames: int | None = None
    """Keep at most this many of the sampled frames."""

    def __post_init__(self) -> None:
        given = [
            name
            for name, value in (
                ("--frame-stride", self.stride is not None),
                ("--every", self.every_s is not None),
                ("--keyframes", self.keyframes),
                ("--num-frames", self.num_frames is not None),
            )
            if value
        ]
        if len(given) > 1:
            raise RequestError(f"{' and '.join(given)} contradict each other; give one of them")
        if self.stride is not None and self.stride < 1:
            raise RequestError(f"--frame-stride {self.stride}: must be 1 or more")
        if self.every_s is not None and self.every_s <= 0:
            raise RequestError(f"--every {decimal(self.every_s)}: must be more than 0 seconds")
        if self.num_frames is not None:
            if self.num_frames < 1:
                raise RequestError(f"--num-frames {self.num_frames}: must be 1 or more")
            if self.start is not None or self.end is not None:
                raise RequestError(
                    "--num-frames spreads over the whole video; give it without --start and --end, or take --every"
                )
        if self.max_frames is not None and self.max_frames < 1:
            raise RequestError(f"--max-frames {self.max_frames}: must be 1 or more")
        if self.start is not None and self.end is not None:
            for low, high in (
                (self.start.time_s, self.end.time_s),
                (self.start.frame_index, self.end.frame_index),
            ):
                if low is not None and high is not None and high <= low:
                    raise RequestError(f"--end {self.end} is not after --start {self.start}")

    @classmethod
    def from_text(
        cls,
        *,
        frame_stride: int | None = None,
        every: str | None = None,
        keyframes: bool = False,
        num_frames: int | None = None,
        start: str | None = None,
        end: str | None = None,
        max_frames: int | None = None,
    ) -> Sampling:
        """As the options of `run`, and as in a suite. Raises RequestError."""
        return cls(
            stride=frame_stride,
            every_s=None if every is None else parse_seconds(every, what="--every"),
            keyframes=keyframes,
            num_frames=num_frames,
            start=None if start is None else parse_position(start),
            end=None if end is None else parse_position(end),
            max_frames=max_frames,
        )

    def as_json(self) -> dict[str, Any]:
        """The form in the run record: only what was given; exact values as text."""
        values: dict[str, Any] = {
            "frame_stride": self.stride,
            "every": None if self.every_s is None else decimal(self.every_s),
            "keyframes": self.keyframes or None,
            "num_frames": self.num_frames,
            "start": None if self.start is None else str(self.start),
            "end": None if self.end is None else str(self.end),
            "max_frames": self.max_frames,
        }
        return {name: value for name, value in values.items() if value is not None}

    def describe(self) -> str:
        """In words: `every 5th frame from 10 s`."""
        if self.stride is not None and self.stride > 1:
            text = f"every {_ordinal(self.stride)} frame"
        elif self.every_s is not None:
            text = f"one frame every {decimal(self.every_s)} s"
        else:
            text = "keyframes" if self.keyframes else "every frame"
            if self.num_frames is not None:
                text = f"{self.num_frames} frames evenly spaced"
        for word, place in (("from", self.start), ("until", self.end)):
            if place is not None:
                text += f" {word} " + (f"frame {place.frame_index}" if place.time_s is None else f"{place} s")
        return text if self.max_frames is None else f"{text}, at most {self.max_frames}"


def select(index: PacketIndex, sampling: Sampling) -> NDArray[np.int64]:
    """Indices of the sampled frames, ascending.

    Times are compared as they are printed, in whole microseconds, so that a `time_s` read from a result and given as
    `--start` takes exactly that frame.
    """
    count = len(index)
    ranks = np.arange(count, dtype=np.int64)
    if sampling.stride is not None:
        ranks = ranks[:: sampling.stride]
    elif sampling.keyframes:
        ranks = np.flatnonzero(index.keyframe).astype(np.int64)
    elif sampling.num_frames is not None and sampling.num_frames < count:
        # Equal steps of (count - 1) / (N - 1) frames, each rounded down; exact, and never the same frame twice.
        ranks = ranks[: sampling.num_frames] * (count - 1) // max(1, sampling.num_frames - 1)
    elif sampling.every_s is not None and count:
        # A frame answers every multiple in (time before it, its own time]; the first one all those before it.
        steps = _floor_divided(index.times_us(), sampling.every_s * 1_000_000)
        ranks = np.flatnonzero(np.concatenate(([True], np.asarray(steps[1:] != steps[:-1], bool)))).astype(np.int64)
    first = 0 if sampling.start is None else _first_at_or_after(index, sampling.start)
    last = count if sampling.end is None else _first_at_or_after(index, sampling.end)
    chosen = ranks[np.searchsorted(ranks, first) : np.searchsorted(ranks, last)]
    return chosen[: sampling.max_frames]


def _first_at_or_after(index: PacketIndex, place: Position) -> int:
    if place.time_s is None:
        return min(place.frame_index or 0, len(index))
    wanted = math.ceil(place.time_s * 1_000_000)
    return int(np.searchsorted(index.times_us(), wanted))


def _floor_divided(values: NDArray[Any], divisor: Fraction) -> NDArray[Any]:
    top = max((abs(int(v)) for v in (values[0], values[-1])), default=0)
    if top * divisor.denominator > INT64_MAX or divisor.numerator > INT64_MAX:
        values = values.astype(object)
    return np.asarray(values * divisor.denominator // divisor.numerator)


def parse_position(text: str) -> Position:
    """Read a time, as `parse_seconds` does and with a sign, or a frame index: `3.5`, `90s`, `1:40.5`, `-2`, `120f`; raises RequestError."""
    text = text.strip()
    if frame := _FRAME.fullmatch(text):
        return Position(frame_index=int(frame["frame"]))
    time_s = parse_seconds(text.removeprefix("-"), what="time", written=f"{WRITTEN}, or a frame index (120f)")
    return Position(time_s=-time_s if text.startswith("-") else time_s)


def decimal(value: Fraction) -> str:
    """A number as the shortest exact decimal text, or as `1/3` where there is none."""
    for digits in range(31):
        if 10**digits % value.denominator == 0:
            whole, rest = divmod(abs(value.numerator) * 10**digits // value.denominator, 10**digits)
            sign = "-" if value < 0 else ""
            return f"{sign}{whole}.{rest:0{digits}d}" if digits else f"{sign}{whole}"
    return f"{value.numerator}/{value.denominator}"


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ ({1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')) }"
