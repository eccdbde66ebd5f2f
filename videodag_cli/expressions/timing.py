"""Expressions over time: `for`, `within`, and the time ranges where an expression is satisfied.

What is seen on a sampled frame is taken to hold until the next line's time; the last frame holds as long as the one before it, a
single frame for no time at all. So a frame is judged when the next line is known. Times are whole microseconds; since `time_s` is
rounded to one, two times are compared with one microsecond of grace. Memory does not grow with the video: `for 3s` keeps the frames of
3 seconds at most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from videodag_cli.errors import RequestError, printable
from videodag_cli.expressions import tree
from videodag_cli.expressions.conditions import Judge, Known, every, opposite, some
from videodag_cli.expressions.syntax import parse_expression
from videodag_cli.results.reading import JsonLine

GRACE_US = 1


@dataclass(frozen=True, slots=True)
class Moment:
    """A line's place in time: from its own time to the next line's."""

    frame_index: int
    start_us: int
    end_us: int


Judged = tuple[Moment, Known]


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Consecutive frames on which something is so; `end_s` is the end of the last one's time, `end_frame` its index."""

    start_s: float
    end_s: float
    start_frame: int
    end_frame: int
    frames: int

    def __str__(self) -> str:
        if self.frames == 1:
            return f"{self.start_s:.2f} s (frame {self.start_frame})"
        return f"{self.start_s:.2f}-{self.end_s:.2f} s (frames {self.start_frame}-{self.end_frame})"

    @property
    def duration_us(self) -> int:
        return round((self.end_s - self.start_s) * 1_000_000)


class _Part(Protocol):
    """A part of an expression: takes lines in order, gives values in the same order, maybe later."""

    def push(self, line: JsonLine, moment: Moment) -> list[Judged]: ...
    def finish(self) -> list[Judged]: ...


class _Timeless:
    """A condition without time words."""

    def __init__(self, condition: tree.Condition, judge: Judge) -> None:
        self._condition = condition
        self._judge = judge

    def push(self, line: JsonLine, moment: Moment) -> list[Judged]:
        return [(moment, self._judge.judge(self._condition, line))]

    def finish(self) -> list[Judged]:
        return []


class _Not:
    def __init__(self, term: _Part) -> None:
        self._term = term

    def push(self, line: JsonLine, moment: Moment) -> list[Judged]:
        return [(at, opposite(value)) for at, value in self._term.push(line, moment)]

    def finish(self) -> list[Judged]:
        return [(at, opposite(value)) for at, value in self._term.finish()]


class _Joined:
    """`and`, `or`: waits until all terms have judged a frame."""

    def __init__(self, terms: list[_Part], *, is_and: bool) -> None:
        self._terms = terms
        self._join = every if is_and else some
        self._waiting: list[deque[Judged]] = [deque() for _ in terms]

    def push(self, line: JsonLine, moment: Moment) -> list[Judged]:
        return self._given([term.push(line, moment) for term in self._terms])

    def finish(self) -> list[Judged]:
        return self._given([term.finish() for term in self._terms])

    def _given(self, news: list[list[Judged]]) -> list[Judged]:
        for queue, new in zip(self._waiting, news, strict=True):
            queue.extend(new)
        decided: list[Judged] = []
        while all(self._waiting):
            heads = [queue.popleft() for queue in self._waiting]
            decided.append((heads[0][0], self._join(value for _, value in heads)))
        return decided


class _For:
    """True on all frames of a stretch that lasts long enough; a stretch's frames wait until that is known."""

    def __init__(self, term: _Part, duration_us: int) -> None:
        self._term = term
        self._duration_us = duration_us
        self._start_us: int | None = None
        self._undecided: list[Moment] = []

    def push(self, line: JsonLine, moment: Moment) -> list[Judged]:
        return [judged for at, value in self._term.push(line, moment) for judged in self._next(at, value)]

    def finish(self) -> list[Judged]:
        decided = [judged for at, value in self._term.finish() for judged in self._next(at, value)]
        return decided + self._release(False)

    def _next(self, at: Moment, value: Known) -> list[Judged]:
        if value is not True:
            self._start_us = None
            return [*self._release(False), (at, None if value is None else False)]
        if self._start_us is None:
            self._start_us = at.start_us
        self._undecided.append(at)
        return self._release(True) if at.end_us - self._start_us + GRACE_US >= self._duration_us else []

    def _release(self, value: bool) -> list[Judged]:
        released: list[Judged] = [(at, value) for at in self._undecided]
        self._undecided.clear()
        return released


class _Within:
    """True unless the term has been missing for longer than allowed, counted from its last end or the first frame."""

    def __init__(self, term: _Part, duration_us: int) -> None:
        self._term = term
        self._duration_us = duration_us
        self._since_us: int | None = None

    def push(self, line: JsonLine, moment: Moment) -> list[Judged]:
        return [self._next(at, value) for at, value in self._term.push(line, moment)]

    def finish(self) -> list[Judged]:
        return [self._next(at, value) for at, value in self._term.finish()]

    def _next(self, at: Moment, value: Known) -> Judged:
        if value is True:
            self._since_us = at.end_us
            return at, True
        if self._since_us is None:
            self._since_us = at.start_us
        missing_us = at.end_us - self._since_us
        return at, None if value is None else missing_us <= self._duration_us + GRACE_US


def _part(condition: tree.Condition, judge: Judge) -> _Part:
    if not tree.is_timed(condition):
        return _Timeless(condition, judge)
    match condition:
        case tree.Not(term):
            return _Not(_part(term, judge))
        case tree.And(terms):
            return _Joined([_part(term, judge) for term in terms], is_and=True)
        case tree.Or(terms):
            return _Joined([_part(term, judge) for term in terms], is_and=False)
        case tree.For(term, duration_us):
            return _For(_part(term, judge), duration_us)
        case tree.Within(term, duration_us):
            return _Within(_part(term, judge), duration_us)
    raise RequestError(
        "'always' and 'ever' speak of the whole video, here an expression is needed that is true or not on each frame"
    )


class TimedCondition:
    """One expression over a stream of lines: `feed` and `finish` give the frames judged since, in order."""

    def __init__(self, condition: tree.Condition, judge: Judge) -> None:
        self._part = _part(condition, judge)

    def feed(self, line: JsonLine, moment: Moment) -> list[Judged]:
        return self._part.push(line, moment)

    def finish(self) -> list[Judged]:
        return self._part.finish()


class Timeline:
    """Gives each line its moment, one line late."""

    def __init__(self) -> None:
        self._last: tuple[JsonLine, int, int] | None = None
        self._step_us = 0

    def feed(self, line: JsonLine) -> tuple[JsonLine, Moment] | None:
        """The line before this one, with its moment."""
        start_us = round(line["time_s"] * 1_000_000)
        frame_index: int = line["frame_index"]
        ended = None
        if self._last is not None:
            before, index, before_us = self._last
            if frame_index <= index or start_us < before_us:
                raise RequestError(f"the lines are out of order: frame {frame_index} comes after frame {index}")
            self._step_us = start_us - before_us
            ended = before, Moment(index, before_us, start_us)
        self._last = (line, frame_index, start_us)
        return ended

    def finish(self) -> tuple[JsonLine, Moment] | None:
        """The last line."""
        if self._last is None:
            return None
        line, index, start_us = self._last
        self._last = None
        return line, Moment(index, start_us, start_us + self._step_us)


class RangeFinder:
    """Joins judged frames to ranges: a pause of up to `gap_us` is bridged, then what is shorter than `min_us` is left out."""

    def __init__(self, *, gap_us: int = 0, min_us: int = 0) -> None:
        self._gap_us = gap_us
        self._min_us = min_us
        self._first: Moment | None = None
        self._last: Moment | None = None
        self._frames = 0
        self._broken = False

    def feed(self, moment: Moment, satisfied: bool) -> TimeRange | None:
        """The range that is known to be complete now."""
        if self._first is None or self._last is None:
            if satisfied:
                self._first, self._last, self._frames, self._broken = moment, moment, 1, False
            return None
        if satisfied and not (self._broken and moment.start_us - self._last.end_us > self._gap_us):
            self._last, self._frames, self._broken = moment, self._frames + 1, False
            return None
        self._broken = True
        if not satisfied and moment.end_us - self._last.end_us <= self._gap_us:
            return None
        complete = self.finish()
        if satisfied:
            self._first, self._last, self._frames, self._broken = moment, moment, 1, False
        return complete

    def finish(self) -> TimeRange | None:
        """The range that was still open."""
        first, last, self._first, self._last = self._first, self._last, None, None
        if first is None or last is None or last.end_us - first.start_us + GRACE_US < self._min_us:
            return None
        return TimeRange(
            first.start_us / 1_000_000, last.end_us / 1_000_000, first.frame_index, last.frame_index, self._frames
        )


def parse_where(text: str) -> tree.Condition:
    """An expression that is true or not on each frame; raises RequestError, also for `always` and `ever`."""
    condition = parse_expression(text)
    _part(condition, Judge())
    return condition


def find_ranges(
    lines: Iterable[JsonLine],
    where: tree.Condition,
    *,
    gap_us: int = 0,
    min_us: int = 0,
    on_unseen: Callable[[str], None] | None = None,
) -> Iterator[TimeRange]:
    """The ranges in which `where` is satisfied, as soon as each is complete.

    `on_unseen` receives, at the end, the fields that no line had. Raises RequestError for a node that the lines do not have and for
    types that do not fit.
    """
    judge, clock = Judge(), Timeline()
    nodes = tree.node_ids(where)
    finder = RangeFinder(gap_us=gap_us, min_us=min_us)
    if isinstance(where, tree.For) and not gap_us:
        # The stretches themselves are wanted: their frames need not wait.
        finder = RangeFinder(min_us=max(min_us, where.duration_us))
        where = where.term
    watch = TimedCondition(where, judge)

    def ended(pair: tuple[JsonLine, Moment] | None) -> list[Judged]:
        return watch.feed(*pair) if pair else []

    for line in lines:
        if nodes and isinstance(line.get("result"), dict):
            check_nodes(nodes, line["result"])
            nodes = frozenset()
        yield from _found(finder, ended(clock.feed(line)))
    yield from _found(finder, [*ended(clock.finish()), *watch.finish()])
    last = finder.finish()
    if last:
        yield last
    if on_unseen:
        for why in judge.unseen():
            on_unseen(why)


def _found(finder: RangeFinder, judged: list[Judged]) -> Iterator[TimeRange]:
    for moment, value in judged:
        complete = finder.feed(moment, value is True)
        if complete:
            yield complete


def check_nodes(nodes: frozenset[str], outputs: Iterable[str]) -> None:
    """Raises RequestError where an expression speaks of a node that is not among the outputs."""
    there = list(outputs)
    for node in sorted(nodes):
        if node not in there:
            raise RequestError(
                f"{printable(node, limit=60)!r} is not an output of this pipeline; its outputs are: "
                + (", ".join(printable(name, limit=60) for name in there) or "none")
            )
