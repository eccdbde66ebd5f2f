"""Two streams of lines against each other, aligned by `frame_index`; memory does not grow with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from videodag_cli.compare.changes import has_own_threshold, same_thresholds
from videodag_cli.compare.changes import thresholds as thresholds_of
from videodag_cli.compare.tolerance import Tolerances
from videodag_cli.compare.values import FrameComparer
from videodag_cli.errors import RequestError, printable
from videodag_cli.results.clock_zero import zero_of
from videodag_cli.results.reading import JsonLine, is_boxes, read_lines, read_record

SCREENFUL = 20
KEPT_OF_A_KIND = 8
"""Differences kept per output and kind, so that one flood does not hide the others."""
TIME_GRACE_S = 1.5e-6


@dataclass(frozen=True, slots=True)
class Difference:
    frame_index: int
    time_s: float
    output: str
    """Empty where it is about the whole frame."""
    kind: str
    """One word or two, such as `lost`, `extra`, `moved`, `id`, `number`, `text`, `missing`."""
    words: str

    def __str__(self) -> str:
        where = f" {printable(self.output, limit=60)}:" if self.output else ":"
        return f"frame {self.frame_index} t={self.time_s:.2f}s{where} {self.words}"


@dataclass(slots=True)
class Comparison:
    """What came of a comparison. `differences` are the first ones of each kind, `counts` are of all."""

    frames: int = 0
    """Frames that both results have."""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Differences per output and kind."""
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was seen and is not a difference."""
    told: Callable[[Difference], None] | None = field(default=None, repr=False, compare=False)
    """Is told of every difference, also of those that are not kept."""

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def is_equal(self) -> bool:
        return not self.counts

    def add(self, difference: Difference) -> None:
        key = difference.output, difference.kind
        self.counts[key] += 1
        if self.told is not None:
            self.told(difference)
        if self.counts[key] <= KEPT_OF_A_KIND:
            self.differences.append(difference)

    def lines(self, *, limit: int = SCREENFUL) -> list[str]:
        """The differences in words, at most `limit` of them, then how many there are of which kind, then the notes."""
        shown = sorted(self.differences, key=lambda d: d.frame_index)[:limit]
        text = [str(difference) for difference in shown]
        if self.total > len(shown):
            text.append(f"… and {self.total - len(shown)} more")
        if self.total > 1:
            text.append(f"in all: {self.counted()}")
        return text + self.notes

    def counted(self) -> str:
        """The counts in words: `frames: 2 x missing; detect: 3 x lost, 1 x moved`."""
        outputs: dict[str, list[str]] = {}
        for (output, kind), count in sorted(self.counts.items()):
            outputs.setdefault(printable(output, limit=60) or "frames", []).append(f"{count} x {kind}")
        return "; ".join(f"{output}: {', '.join(kinds)}" for output, kinds in outputs.items())


def compare_files(
    expected: str | Path,
    actual: str | Path,
    *,
    tolerances: Tolerances | None = None,
    told: Callable[[Difference], None] | None = None,
) -> Comparison:
    """Two results files; `told` is told of every difference, in the order of the frames. Raises InputError for a file that is not one.

    Confidence thresholds come from the run record of the expected one; where a detector chose its own, the lowest confidence of
    that output stands in for it. Where the thresholds were changed on purpose, no row is excused for being close to one.
    """
    record = read_record(expected)
    if not same_thresholds(record, read_record(actual)):
        record = None
    return compare_lines(
        read_lines(expected),
        read_lines(actual),
        tolerances=tolerances,
        thresholds=thresholds_of(record),
        own_thresholds=_lowest_confidences(expected) if has_own_threshold(record) else {},
        told=told,
    )


def _lowest_confidences(results: str | Path) -> dict[str, float]:
    """Output -> lowest confidence of its rows with boxes."""
    lowest: dict[str, float] = {}
    for line in read_lines(results):
        for output, rows in (line["result"] or {}).items():
            for row in rows if is_boxes(rows) else ():
                confidence = row.get("confidence")
                if isinstance(confidence, float):
                    lowest[output] = min(confidence, lowest.get(output, confidence))
    return lowest


def compare_lines(
    expected: Iterable[JsonLine],
    actual: Iterable[JsonLine],
    *,
    tolerances: Tolerances | None = None,
    thresholds: Sequence[float] = (),
    own_thresholds: Mapping[str, float] | None = None,
    told: Callable[[Difference], None] | None = None,
) -> Comparison:
    """Compare two results.

    thresholds: the confidences at which a detection may come or go; own_thresholds: the same, output -> confidence.
    Raises RequestError where a result's frames are not in ascending order.
    """
    comparison = Comparison(told=told)
    comparer = FrameComparer(tolerances or Tolerances(), thresholds, own_thresholds)
    for before, after in _aligned(_ordered(expected, "expected"), _ordered(actual, "actual")):
        if before is None or after is None:
            _one_sided(comparison, before, after)
            continue
        comparison.frames += 1
        _one_frame(comparison, comparer, before, after)
    if comparer.new_outputs:
        names = ", ".join(printable(name, limit=60) for name in comparer.new_outputs)
        comparison.notes.append(f"not compared, because only the new result has it: {names}")
    if comparer.borderline:
        rows = "1 row" if comparer.borderline == 1 else f"{comparer.borderline} rows"
        comparison.notes.append(f"{rows} at a confidence threshold came or went, which is tolerated")
    comparison.told = None
    return comparison


def _one_sided(comparison: Comparison, before: JsonLine | None, after: JsonLine | None) -> None:
    if before is not None:
        comparison.add(Difference(before["frame_index"], before["time_s"], "", "missing", "the frame is missing"))
    elif after is not None:
        comparison.add(Difference(after["frame_index"], after["time_s"], "", "extra", "the frame is not expected"))


def _one_frame(comparison: Comparison, comparer: FrameComparer, before: JsonLine, after: JsonLine) -> None:
    index, time_s = after["frame_index"], after["time_s"]

    def add(output: str, kind: str, words: str) -> None:
        comparison.add(Difference(index, time_s, output, kind, words))

    if abs(time_s - before["time_s"]) > TIME_GRACE_S:
        add("", "time", f"its time was {before['time_s']:.6f} s, now it is {time_s:.6f} s")
    for name, words in _other_clocks(before, after):
        add("", name, words)
    old, new = before["result"], after["result"]
    if old is not None and new is not None:
        try:
            for found in comparer.compare(old, new):
                add(*found)
        except RecursionError as deep:
            raise RequestError(f"frame {index}: the results are nested too deeply to be compared") from deep
    elif new is None and old is not None:
        error = after.get("error") or {}
        add(str(error.get("node", "")), "failed", f"the frame failed ({_failure(error)})")
    elif new is not None:
        error = before.get("error") or {}
        add(str(error.get("node", "")), "recovered", f"the frame is expected to fail ({_failure(error)})")
    else:
        was, now = before.get("error") or {}, after.get("error") or {}
        if (was.get("node"), was.get("type")) != (now.get("node"), now.get("type")):
            add(str(now.get("node", "")), "error", f"failed with {_failure(now)}, expected {_failure(was)}")


def _other_clocks(before: JsonLine, after: JsonLine) -> Iterator[tuple[str, str]]:
    """Where the instant (`time`) or the timecode is not what was expected; a clock that only the new result has is nothing to compare."""
    if "time" in before:
        expected, found = zero_of((before,), "the expected result"), zero_of((after,), "the new result")
        if expected is None or found is None or abs(found - expected) > TIME_GRACE_S * 1_000_000:
            yield (
                "clock",
                f"its instant was {printable(before['time'], limit=40)}, now it is {printable(after.get('time'), limit=40)}",
            )
    if "timecode" in before and before["timecode"] != after.get("timecode"):
        now = printable(after.get("timecode"), limit=40)
        yield "timecode", f"its timecode was {printable(before['timecode'], limit=40)}, now it is {now}"


def _failure(error: Mapping[str, Any]) -> str:
    return printable(f"{error.get('type', 'unknown')}: {error.get('message', '')}", limit=160)


def _ordered(lines: Iterable[JsonLine], name: str) -> Iterator[JsonLine]:
    last = -1
    for line in lines:
        if line["frame_index"] <= last:
            raise RequestError(
                f"the {name} result is out of order: frame {line['frame_index']} comes after frame {last}"
            )
        last = line["frame_index"]
        yield line


def _aligned(
    expected: Iterator[JsonLine], actual: Iterator[JsonLine]
) -> Iterator[tuple[JsonLine | None, JsonLine | None]]:
    """Pairs with equal `frame_index`; None where one side has no such frame."""
    before, after = next(expected, None), next(actual, None)
    while before is not None or after is not None:
        if after is None or (before is not None and before["frame_index"] < after["frame_index"]):
            yield before, None
            before = next(expected, None)
        elif before is None or after["frame_index"] < before["frame_index"]:
            yield None, after
            after = next(actual, None)
        else:
            yield before, after
            before, after = next(expected, None), next(actual, None)
