"""Which frames deserve a picture in a report, and why."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence

from videodag_cli.report.collect import Collected
from videodag_cli.results.spans import FLAG

MAX_PICTURES = 24
MIN_PICTURES = 12
PER_OUTPUT = 4


def lines_at(moments: Sequence[str], found: Collected) -> list[int]:
    """The lines nearest to these moments: `812f` is a frame index, `27s` or `1:02.5` a time. Raises `RequestError` for anything else."""
    from videodag_cli.video.sampling import parse_position

    places = [parse_position(part) for moment in moments for part in moment.split(",")]
    if not len(found):
        return []
    return [
        _nearest(found.time_s, float(place.time_s))
        if place.time_s is not None
        else _nearest(found.frame_index, place.frame_index or 0)
        for place in places
    ]


def _nearest(values: Sequence[float], wanted: float) -> int:
    after = bisect.bisect_left(values, wanted)
    if after == len(values) or (after > 0 and wanted - values[after - 1] <= values[after] - wanted):
        return after - 1
    return after


def pick(found: Collected, *, asked: Sequence[int] = ()) -> dict[int, list[str]]:
    """Line -> reasons, in the order of the lines: all that were `asked` for and up to `MAX_PICTURES` more."""
    reasons: dict[int, list[str]] = {}
    for line in asked:
        reasons.setdefault(line, []).append("asked for")
    limit = len(reasons) + MAX_PICTURES
    for line, reason in _candidates(found):
        if line in reasons:
            if reason not in reasons[line] and len(reasons[line]) < 4:
                reasons[line].append(reason)
        elif len(reasons) < limit:
            reasons[line] = [reason]
    for line in _spread(len(found)):
        if len(reasons) >= MIN_PICTURES:
            break
        reasons.setdefault(line, ["in between"])
    return dict(sorted(reasons.items()))


def _candidates(found: Collected) -> Iterator[tuple[int, str]]:
    """Lines worth a picture, the most important first."""
    count = len(found)
    if not count:
        return
    yield 0, "first"
    yield count - 1, "last"
    for failure in found.failures[:PER_OUTPUT]:
        yield failure["line"], f"{failure['node']} failed"
    for path, boxes in found.boxes.items():
        most = max(range(count), key=lambda line: boxes.count(line))
        if boxes.count(most):
            yield most, f"most in {path}"
    seen: dict[str, int] = {}
    for span in found.spans:
        seen[span.output] = seen.get(span.output, 0) + 1
        if seen[span.output] <= PER_OUTPUT:
            line = bisect.bisect_left(found.frame_index, span.first_frame)
            yield line, span.output if span.kind == FLAG else span.label[:40]
    yield from _long_tracks(found)
    for path, values in found.numbers.items():
        finite = [line for line in range(count) if math.isfinite(values[line])]
        if finite:
            low, high = min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)
            if values[low] < values[high]:
                yield high, f"highest {path}"
                yield low, f"lowest {path}"


def _long_tracks(found: Collected) -> Iterator[tuple[int, str]]:
    """The middle of the longest tracks of each output."""
    for path, boxes in found.boxes.items():
        lines: dict[int, list[int]] = {}
        for line in range(len(found)):
            for box in range(boxes.starts[line], boxes.starts[line + 1]):
                if boxes.tracker_id[box] >= 0:
                    lines.setdefault(boxes.tracker_id[box], []).append(line)
        longest = sorted(lines, key=lambda track: -len(lines[track]))[:PER_OUTPUT]
        for track in longest:
            yield lines[track][len(lines[track]) // 2], f"{path} id {track}"


def _spread(count: int) -> Iterator[int]:
    """Evenly spread lines, coarse to fine."""
    for parts in (2, 4, 8, 16) if count else ():
        for part in range(1, parts):
            yield (count - 1) * part // parts
