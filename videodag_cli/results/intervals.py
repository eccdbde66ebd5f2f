"""Lines gathered by intervals of time: how many frames, and for each output its mean, least and greatest, classes, ids, crossings, visits.

Interval k is [k x every, (k + 1) x every) on the axis of `time_s`. Intervals without a line are there too, between the first and the
last, so that a gap never looks like a quiet hour. Times are compared in whole microseconds, as they are printed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from videodag_cli.errors import RequestError
from videodag_cli.results.reading import JsonLine, leaves
from videodag_cli.times import parse_seconds

MAX_GAP = 1_000_000
"""Intervals without a line in a row; more are refused."""
DIRECTIONS = ("in", "out")


@dataclass(slots=True)
class Traits:
    """What an output has in any line of its file; what it does not have is null in every interval, not 0."""

    lists: bool = False
    classes: bool = False
    tracked: bool = False
    crossings: bool = False
    visits: bool = False

    def note(self, value: list[Any]) -> None:
        self.lists = True
        for row in value:
            if not isinstance(row, Mapping):
                self.classes = self.classes or isinstance(row, str)
                continue
            self.classes = self.classes or _class(row) is not None
            self.tracked = self.tracked or type(row.get("tracker_id")) is int
            self.crossings = self.crossings or row.get("direction") in DIRECTIONS
            self.visits = self.visits or _visit_s(row) is not None


@dataclass(slots=True)
class Gathered:
    """One output in one interval. Of a list its length counts, of a flag 1 for true and 0 for false."""

    values: int = 0
    """Lines in which the output had a value."""
    nulls: int = 0
    numbers: int = 0
    """Values that count for mean, min and max: all but text."""
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    rows: int = 0
    """Rows of all lists."""
    classes: Counter[str] = field(default_factory=Counter)
    """Rows of each class; of a list of words, of each word."""
    ids: set[int] = field(default_factory=set)
    crossings: Counter[str] = field(default_factory=Counter)
    visits: int = 0
    """Visits known to be over in the interval."""
    dwell_s: float = 0.0
    """How long these lasted together."""

    def add(self, value: Any) -> None:
        if value is None:
            self.nulls += 1
            return
        self.values += 1
        if isinstance(value, list):
            self._rows(value)
            value = len(value)
        if isinstance(value, int | float):
            self.numbers += 1
            self.total += value
            self.low, self.high = min(self.low, value), max(self.high, value)

    def _rows(self, rows: list[Any]) -> None:
        self.rows += len(rows)
        for row in rows:
            if isinstance(row, str):
                self.classes[row] += 1
            if not isinstance(row, Mapping):
                continue
            if (name := _class(row)) is not None:
                self.classes[name] += 1
            if type(track := row.get("tracker_id")) is int:
                self.ids.add(track)
            if (direction := row.get("direction")) in DIRECTIONS:
                self.crossings[direction] += 1
            if (visit_s := _visit_s(row)) is not None:
                self.visits += 1
                self.dwell_s += visit_s

    @property
    def mean(self) -> float | None:
        return round(self.total / self.numbers, 6) if self.numbers else None


@dataclass(slots=True)
class Interval:
    start_us: int
    end_us: int
    """Belongs to the next interval."""
    frames: int = 0
    """Lines."""
    failed: int = 0
    outputs: dict[str, Gathered] = field(default_factory=dict)


def parse_every(text: str) -> int:
    """The length of intervals in microseconds. Raises RequestError."""
    every: Fraction = parse_seconds(text, what="--every") * 1_000_000
    if every <= 0 or every.denominator != 1:
        raise RequestError(f"--every {text!r}: must be whole microseconds, more than 0")
    return int(every)


def traits(lines: Iterable[JsonLine]) -> dict[str, Traits]:
    """Every output of a file with what it ever has, in the order in which they are first seen."""
    found: dict[str, Traits] = {}
    for line in lines:
        for path, value in leaves(line["result"] or {}):
            known = found.setdefault(path, Traits())
            if isinstance(value, list):
                known.note(value)
    return found


def intervals(
    lines: Iterable[JsonLine], every_us: int, *, also_us: Sequence[int] = (), zero_us: int = 0
) -> Iterator[Interval]:
    """The intervals from that of the first line to that of the last, each as soon as it is over.

    also_us: further times, ascending, that the intervals have to reach.
    zero_us: the instant at which `time_s` is 0, in microseconds since 1970; intervals begin at multiples of their length on that clock.
    Raises RequestError where the lines are not in order, and for more than `MAX_GAP` intervals without a line in a row.
    """
    open_: Interval | None = None
    if also_us:
        open_ = _interval(also_us[0], every_us, zero_us)
    last = (-1, -math.inf)
    for line in lines:
        index, time_us = line["frame_index"], round(line["time_s"] * 1_000_000)
        if index <= last[0] or time_us < last[1]:
            raise RequestError(f"the lines are out of order: frame {index} comes after frame {last[0]}")
        if open_ is None or (last[0] < 0 and time_us < open_.start_us):
            open_ = _interval(time_us, every_us, zero_us)
        last = (index, time_us)
        for ended, following in _until(open_, time_us, every_us):
            yield ended
            open_ = following
        open_.frames += 1
        if line["result"] is None:
            open_.failed += 1
            continue
        for path, value in leaves(line["result"]):
            open_.outputs.setdefault(path, Gathered()).add(value)
    if open_ is not None:
        for ended, following in _until(open_, also_us[-1] if also_us else open_.start_us, every_us):
            yield ended
            open_ = following
        yield open_


def _interval(time_us: int, every_us: int, zero_us: int) -> Interval:
    start_us = (time_us + zero_us) // every_us * every_us - zero_us
    return Interval(start_us, start_us + every_us)


def _until(interval: Interval, time_us: int, every_us: int) -> Iterator[tuple[Interval, Interval]]:
    """The intervals that end before the one of this time, each with the next."""
    empty = (time_us - interval.end_us) // every_us
    if empty > MAX_GAP:
        raise RequestError(
            f"{empty} intervals without a line come before {time_us / 1_000_000:g} s; give a longer --every"
        )
    while interval.end_us <= time_us:
        following = Interval(interval.end_us, interval.end_us + every_us)
        yield interval, following
        interval = following


def _class(row: Mapping[str, Any]) -> str | None:
    name, number = row.get("class_name"), row.get("class_id")
    if isinstance(name, str):
        return name
    return str(number) if type(number) is int else None


def _visit_s(row: Mapping[str, Any]) -> float | None:
    """How long a visit was that is over; None for other rows."""
    over = type(row.get("left_s")) in (int, float)
    visit_s = row.get("visit_s")
    return visit_s if over and isinstance(visit_s, int | float) and not isinstance(visit_s, bool) else None
