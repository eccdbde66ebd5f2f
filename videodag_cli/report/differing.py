"""Where a case differs from what is expected, and the frames that show it: all of the moments, a bounded number of the frames."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from videodag_cli.check.check import CaseOutcome
from videodag_cli.check.suite import Case
from videodag_cli.compare.comparison import Difference, compare_files
from videodag_cli.compare.rows import overlaps, pair_boxes
from videodag_cli.compare.tolerance import Tolerances
from videodag_cli.report.case_shapes import shapes_of
from videodag_cli.results.reading import JsonLine, corners, is_boxes, leaves, read_lines

MAX_FRAMES = 12
"""Frames that are shown; the others are counted."""
MAX_WORDS = 12
"""Differences of one frame that are listed."""


@dataclass(frozen=True)
class DrawnBox:
    xyxy: tuple[float, float, float, float]
    label: str
    alone: bool
    """Nothing in the other result goes with it."""
    shapes: Mapping[str, Any] = field(default_factory=dict)
    """Its mask, corners and key points, as the row has them."""


@dataclass
class ShownFrame:
    """A frame that differs, as it was expected and as it was found; None where one of the two has no such line."""

    frame_index: int
    time_s: float
    words: list[str]
    omitted: int
    """Differences of this frame that are not among `words`."""
    expected: JsonLine | None
    found: JsonLine | None
    values: list[tuple[str, str, str]]
    """Path, expected and found value of what differs and is no box."""
    expected_boxes: list[DrawnBox]
    found_boxes: list[DrawnBox]


@dataclass
class Differing:
    """Everything that a page about a case shows of its lines."""

    moments: dict[str, array[float]] = field(default_factory=dict)
    """Output -> times at which it differs; the empty name stands for whole frames."""
    broken: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Assertion -> from when to when it goes wrong."""
    extent_s: tuple[float, float] = (0.0, 0.0)
    frame_count: int = 0
    """Frames that differ."""
    frames: list[ShownFrame] = field(default_factory=list)
    one_sided: bool = False
    """There is nothing to compare with; frames are those where assertions do not hold."""


def differing(case: Case, outcome: CaseOutcome, result: Path) -> Differing:
    """Read a case's two results again, twice: to find out where they differ, and to fetch the frames that are shown."""
    found = Differing()
    for each in outcome.assertions:
        if not each.holds and each.ranges:
            found.broken[each.text] = [(item.start_s, item.end_s) for item in each.ranges]
    compared = case.expected if outcome.comparison is not None else None
    if compared is not None and outcome.comparison is not None and not outcome.comparison.is_equal:
        chosen = _compared(found, compared, result, case.tolerances)
    else:
        found.one_sided = True
        ranges = [item for broken in outcome.assertions if not broken.holds for item in broken.ranges]
        chosen = {item.start_frame: [] for item in sorted(ranges, key=lambda item: item.start_frame)[:MAX_FRAMES]}
        found.frame_count = len({item.start_frame for item in ranges})
    _fetch(found, compared, result, chosen, case.tolerances)
    return found


def _compared(found: Differing, expected: Path, result: Path, tolerances: Tolerances) -> dict[int, list[Difference]]:
    """Take note of every difference; frame index -> those of it, for the frames that are shown."""
    frames = array("Q")
    firsts: dict[tuple[str, str], int] = {}

    def note(each: Difference) -> None:
        found.moments.setdefault(each.output, array("d")).append(each.time_s)
        if not frames or frames[-1] != each.frame_index:
            frames.append(each.frame_index)
        firsts.setdefault((each.output, each.kind), each.frame_index)

    compare_files(expected, result, tolerances=tolerances, told=note)
    found.frame_count = len(frames)
    chosen: dict[int, list[Difference]] = {index: [] for index in _chosen(frames, list(firsts.values()))}

    def keep(each: Difference) -> None:
        if each.frame_index in chosen:
            chosen[each.frame_index].append(each)

    compare_files(expected, result, tolerances=tolerances, told=keep)
    return chosen


def _chosen(frames: Sequence[int], firsts: Sequence[int]) -> list[int]:
    """The first frame of each kind of difference, then frames spread evenly over all that differ."""
    chosen = dict.fromkeys(sorted(set(firsts))[:MAX_FRAMES])
    left = MAX_FRAMES - len(chosen)
    others = [index for index in frames if index not in chosen] if left else []
    step = max(1, -(-len(others) // left)) if left else 1
    return sorted([*chosen, *others[::step][:left]])


def _fetch(
    found: Differing,
    expected: Path | None,
    result: Path,
    chosen: Mapping[int, list[Difference]],
    tolerances: Tolerances,
) -> None:
    before, first, last = _lines(expected, chosen) if expected is not None else ({}, None, None)
    after, its_first, its_last = _lines(result, chosen)
    times = [time_s for time_s in (first, last, its_first, its_last) if time_s is not None]
    found.extent_s = (min(times, default=0.0), max(times, default=0.0))
    for index, differences in sorted(chosen.items()):
        old, new = before.get(index), after.get(index)
        line = new or old
        if line is None:
            continue
        found.frames.append(
            ShownFrame(
                index,
                line["time_s"],
                [_words(each) for each in differences[:MAX_WORDS]],
                max(0, len(differences) - MAX_WORDS),
                old,
                new,
                _values(old, new, [] if found.one_sided else [each.output for each in differences]),
                *_boxes(old, new, tolerances, one_sided=found.one_sided),
            )
        )


def _words(each: Difference) -> str:
    return f"{each.output}: {each.words}" if each.output else each.words


def _lines(path: Path, wanted: Mapping[int, object]) -> tuple[dict[int, JsonLine], float | None, float | None]:
    """Those lines, and the times of the first and the last line of all."""
    lines: dict[int, JsonLine] = {}
    first = last = None
    for line in read_lines(path):
        first = line["time_s"] if first is None else first
        last = line["time_s"]
        if line["frame_index"] in wanted:
            lines[line["frame_index"]] = line
    return lines, first, last


def _values(old: JsonLine | None, new: JsonLine | None, outputs: Sequence[str]) -> list[tuple[str, str, str]]:
    """What the differing outputs say apart from boxes."""
    import orjson

    def leaf_texts(line: JsonLine | None) -> dict[str, str]:
        result = (line or {}).get("result") or {}
        return {
            path: orjson.dumps(value).decode()
            for name, output in result.items()
            if any(each == name or each.startswith((f"{name}.", f"{name}[")) for each in outputs)
            for path, value in leaves({name: output})
            if not is_boxes(value)
        }

    before, after = leaf_texts(old), leaf_texts(new)
    paths = dict.fromkeys((*before, *after))
    return [(path, before.get(path, ""), after.get(path, "")) for path in paths if before.get(path) != after.get(path)]


def _boxes(
    old: JsonLine | None, new: JsonLine | None, tolerances: Tolerances, *, one_sided: bool
) -> tuple[list[DrawnBox], list[DrawnBox]]:
    """All boxes of a frame in either result; which of them go with each other is decided as the comparison decides it."""
    before, after = _rows(old), _rows(new)
    drawn: tuple[list[DrawnBox], list[DrawnBox]] = ([], [])
    for path in dict.fromkeys((*before, *after)):
        ours, theirs = before.get(path, []), after.get(path, [])
        pairs: list[tuple[int, int]] = []
        if ours and theirs:
            tolerance = tolerances[path.partition(".")[0]]
            iou = overlaps(ours, theirs)
            pairs = pair_boxes(ours, theirs, iou=iou, tolerance=tolerance, is_known=lambda one, other: False)
        for rows, place, into in ((ours, 0, drawn[0]), (theirs, 1, drawn[1])):
            paired = {pair[place] for pair in pairs}
            into += [_drawn(row, path, alone=not one_sided and i not in paired) for i, row in enumerate(rows)]
    return drawn


def _rows(line: JsonLine | None) -> dict[str, list[Mapping[str, Any]]]:
    result = (line or {}).get("result") or {}
    return {
        path: [row for row in value if isinstance(row, dict) and corners(row) is not None]
        for path, value in leaves(result)
        if is_boxes(value)
    }


def _drawn(row: Mapping[str, Any], path: str, *, alone: bool) -> DrawnBox:
    box = corners(row)
    assert box is not None
    name = row.get("text") or row.get("class_name") or row.get("label") or path
    number = f" #{row['tracker_id']}" if isinstance(row.get("tracker_id"), int) else ""
    score = f" {row['confidence']:.2f}" if isinstance(row.get("confidence"), int | float) else ""
    return DrawnBox(box, f"{str(name)[:40]}{number}{score}", alone, shapes_of(row))


def extent(frames: Iterable[ShownFrame]) -> tuple[int, int]:
    """A picture that holds every box, where nothing says how large it was."""
    boxes = [box.xyxy for frame in frames for box in (*frame.expected_boxes, *frame.found_boxes)]
    return (
        int(max([640.0, *(box[2] for box in boxes)])) + 1,
        int(max([360.0, *(box[3] for box in boxes)])) + 1,
    )
