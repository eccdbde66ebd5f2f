"""An expression as a statement about a whole video: it holds, or it does not and says where.

| statement | holds when |
|---|---|
| `C`, `always C` | C is satisfied on every frame, and there is a frame |
| `ever C` | C is satisfied on some frame |
| `C for 3s` | somewhere C is satisfied for 3 s without a break |
| `C within 5s` | C is first satisfied at most 5 s after the first frame |
| `always (C within 5s)` | no 5 s go by without C |

Statements with a word of time are combined by `and`, `or` and `not`; a condition without one is a single statement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from videodag_cli.errors import RequestError
from videodag_cli.expressions import tree
from videodag_cli.expressions.conditions import Judge
from videodag_cli.expressions.syntax import parse_expression
from videodag_cli.expressions.timing import (
    GRACE_US,
    Judged,
    Moment,
    RangeFinder,
    TimedCondition,
    Timeline,
    TimeRange,
    check_nodes,
)

KEPT_RANGES = 100
NAMED_RANGES = 3


@dataclass(frozen=True, slots=True)
class AssertionOutcome:
    """`ranges` are where it goes wrong, 100 at most; `message` is one line and empty when it holds."""

    holds: bool
    ranges: tuple[TimeRange, ...] = ()
    message: str = ""
    text: str = ""
    """The assertion."""

    def as_json(self) -> dict[str, Any]:
        """Plain data, as in records."""
        ranges = [asdict(found) for found in self.ranges]
        return {"assertion": self.text, "holds": self.holds, "message": self.message, "ranges": ranges}


class Assertion:
    """A statement that is fed every line of one result, in order, and then asked.

    `feed` never raises for what is in a line: types that do not fit are reported by `finish`.
    """

    def __init__(self, text: str, expression: tree.Condition) -> None:
        self.text = text
        self.nodes = tree.node_ids(expression)
        """The output nodes it speaks of."""
        self._judge = Judge()
        self._clock = Timeline()
        self._statement = _statement(expression, self._judge)
        self._problem = ""

    def require(self, outputs: Mapping[str, Any] | list[str] | tuple[str, ...]) -> None:
        """Raises RequestError where it speaks of a node that is not among these output nodes."""
        check_nodes(self.nodes, outputs)

    def feed(self, line: Mapping[str, Any]) -> None:
        """The next line: a mapping with `frame_index`, `time_s` and `result` (None on a failed frame)."""
        ended = self._clock.feed(line)
        if ended and not self._problem:
            self._judged(*ended)

    def finish(self) -> AssertionOutcome:
        last = self._clock.finish()
        if last and not self._problem:
            self._judged(*last)
        if not self._problem:
            self._statement.finish()
            unseen = self._judge.unseen()
            self._problem = unseen[0] if unseen else ""
        if self._problem:
            return AssertionOutcome(False, (), f"{self.text!r} cannot be judged: {self._problem}", self.text)
        outcome = self._statement.outcome(wanted=True)
        message = "" if outcome.holds else f"{self.text!r} does not hold: {outcome.message}"
        return AssertionOutcome(outcome.holds, outcome.ranges, message, self.text)

    def _judged(self, line: Mapping[str, Any], moment: Moment) -> None:
        try:
            self._statement.feed(line, moment)
        except RequestError as error:
            self._problem = error.message


def parse_assertion(text: str) -> Assertion:
    """Raises RequestError for text that is not an expression."""
    return Assertion(text, parse_expression(text))


class _Statement(Protocol):
    def feed(self, line: Mapping[str, Any], moment: Moment) -> None: ...
    def finish(self) -> None: ...
    def outcome(self, *, wanted: bool) -> AssertionOutcome:
        """Whether it is as `wanted`, and why not."""


def _statement(expression: tree.Condition, judge: Judge) -> _Statement:
    match expression:
        case tree.Quantified(word, term):
            return _OverFrames(word, term, judge)
        case tree.For(term, duration_us):
            return _Lasting(term, duration_us, judge)
        case tree.Within(term, duration_us):
            return _Reached(term, duration_us, judge)
        case tree.Not(term) if tree.is_timed(term):
            return _Opposite(_statement(term, judge))
        case tree.And(terms) if tree.is_timed(expression):
            return _Joined([_statement(term, judge) for term in terms], is_and=True)
        case tree.Or(terms) if tree.is_timed(expression):
            return _Joined([_statement(term, judge) for term in terms], is_and=False)
    return _OverFrames("always", expression, judge)


class _Opposite:
    def __init__(self, term: _Statement) -> None:
        self._term = term
        self.feed = term.feed
        self.finish = term.finish

    def outcome(self, *, wanted: bool) -> AssertionOutcome:
        return self._term.outcome(wanted=not wanted)


class _Joined:
    def __init__(self, terms: list[_Statement], *, is_and: bool) -> None:
        self._terms = terms
        self._is_and = is_and

    def feed(self, line: Mapping[str, Any], moment: Moment) -> None:
        for term in self._terms:
            term.feed(line, moment)

    def finish(self) -> None:
        for term in self._terms:
            term.finish()

    def outcome(self, *, wanted: bool) -> AssertionOutcome:
        outcomes = [term.outcome(wanted=wanted) for term in self._terms]
        failing = [outcome for outcome in outcomes if not outcome.holds]
        needs_all = self._is_and is wanted
        if not failing or (not needs_all and len(failing) < len(outcomes)):
            return AssertionOutcome(True)
        ranges = [found for outcome in failing for found in outcome.ranges]
        message = "; ".join(dict.fromkeys(outcome.message for outcome in failing))
        return AssertionOutcome(
            False, tuple(sorted(ranges, key=lambda r: (r.start_frame, r.end_frame))[:KEPT_RANGES]), message
        )


class _Ranges:
    """The ranges of one kind: the first ones, the longest one, and how many in all."""

    def __init__(self) -> None:
        self._finder = RangeFinder()
        self.kept: list[TimeRange] = []
        self.longest: TimeRange | None = None
        self.count = 0
        self.frames = 0

    def feed(self, moment: Moment, is_in: bool) -> None:
        self.frames += is_in
        self._add(self._finder.feed(moment, is_in))

    def finish(self) -> None:
        self._add(self._finder.finish())

    def _add(self, found: TimeRange | None) -> None:
        if found is None:
            return
        self.count += 1
        if len(self.kept) < KEPT_RANGES:
            self.kept.append(found)
        if self.longest is None or found.duration_us > self.longest.duration_us:
            self.longest = found

    def __str__(self) -> str:
        named = ", ".join(str(found) for found in self.kept[:NAMED_RANGES])
        more = self.count - min(self.count, NAMED_RANGES)
        return named + (f" and {more} more {'range' if more == 1 else 'ranges'}" if more else "")


class _Observed:
    """What the statements about one watched expression share: where it is satisfied, where not, and the whole."""

    def __init__(self, term: tree.Condition, judge: Judge) -> None:
        self._watch = TimedCondition(term, judge)
        self.satisfied = _Ranges()
        self.unsatisfied = _Ranges()
        self.whole = _Ranges()
        self.failed_frames = 0

    def feed(self, line: Mapping[str, Any], moment: Moment) -> None:
        self.failed_frames += line.get("result") is None
        self._take(self._watch.feed(line, moment))

    def finish(self) -> None:
        self._take(self._watch.finish())
        for ranges in (self.satisfied, self.unsatisfied, self.whole):
            ranges.finish()

    def _take(self, judged: list[Judged]) -> None:
        for moment, value in judged:
            self.satisfied.feed(moment, value is True)
            self.unsatisfied.feed(moment, value is not True)
            self.whole.feed(moment, True)

    @property
    def failures(self) -> str:
        count = self.failed_frames
        return f"; {count} failed {'frame satisfies' if count == 1 else 'frames satisfy'} nothing" if count else ""


class _OverFrames(_Observed):
    """`always`, `ever`."""

    def __init__(self, word: str, term: tree.Condition, judge: Judge) -> None:
        super().__init__(term, judge)
        self._is_always = word == "always"

    def outcome(self, *, wanted: bool) -> AssertionOutcome:
        total, satisfied = self.whole.frames, self.satisfied.frames
        is_true = (total > 0 and satisfied == total) if self._is_always else satisfied > 0
        if is_true is wanted:
            return AssertionOutcome(True)
        if not total:
            return AssertionOutcome(False, (), "there is no frame to judge")
        if not wanted:
            where = self.whole if self._is_always else self.satisfied
            share = "all" if satisfied == total else str(satisfied)
            return AssertionOutcome(False, tuple(where.kept), f"it is true on {share} of {total} frames: {where}")
        share = str(total - satisfied) if satisfied else "any"
        message = f"not true on {share} of {total} frames: {self.unsatisfied}{self.failures}"
        return AssertionOutcome(False, tuple(self.unsatisfied.kept), message)


class _Lasting(_Observed):
    """`for`: memory for the stretches only, not for their frames."""

    def __init__(self, term: tree.Condition, duration_us: int, judge: Judge) -> None:
        super().__init__(term, judge)
        self._duration_us = duration_us

    def outcome(self, *, wanted: bool) -> AssertionOutcome:
        longest = self.satisfied.longest
        is_true = longest is not None and longest.duration_us + GRACE_US >= self._duration_us
        if is_true is wanted:
            return AssertionOutcome(True)
        if longest is None:
            frames = self.whole.frames
            return AssertionOutcome(False, tuple(self.whole.kept), f"not true on any of {frames} frames{self.failures}")
        span = f"{longest.duration_us / 1e6:g} s, {longest}"
        message = f"the longest stretch is {span}" if wanted else f"there is a stretch of {span}"
        return AssertionOutcome(False, (longest,), message + self.failures)


class _Reached(_Observed):
    """`within`: counted from the first frame."""

    def __init__(self, term: tree.Condition, duration_us: int, judge: Judge) -> None:
        super().__init__(term, judge)
        self._duration_us = duration_us

    def outcome(self, *, wanted: bool) -> AssertionOutcome:
        first = self.satisfied.kept[0] if self.satisfied.kept else None
        whole = self.whole.kept[0] if self.whole.kept else None
        if first is None or whole is None:
            if not wanted:
                return AssertionOutcome(True)
            frames = self.whole.frames
            return AssertionOutcome(False, tuple(self.whole.kept), f"not true on any of {frames} frames{self.failures}")
        after_us = round((first.start_s - whole.start_s) * 1_000_000)
        if (after_us <= self._duration_us + GRACE_US) is wanted:
            return AssertionOutcome(True)
        return AssertionOutcome(
            False, (first,), f"first true {after_us / 1e6:g} s after the first frame, at {first}{self.failures}"
        )
