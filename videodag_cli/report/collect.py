"""The lines of a results file as columns: compact enough to fit in one page at 100,000 frames.

Numbers become one float per line, boxes flat arrays with an offset per line. Coordinates are kept in fixed point (a quarter of a pixel, or
coarser on huge pictures), which a drawing cannot tell from the exact value.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from videodag_cli.report.details import BoxDetails
from videodag_cli.results.reading import JsonLine, corners, leaves, path_part, tags_of
from videodag_cli.results.spans import Span, Spans

MISSING_FLAG = 2
MAX_SPANS = 5000
MAX_FAILURES = 1000
MAX_TEXT = 200
MAX_COORDINATE = 16383.0
"""Boxes that reach farther out of the picture are cut there."""


@dataclass
class BoxColumns:
    """All boxes of one output; box k of line i is at `starts[i] + k`."""

    path: str
    node: str
    starts: array[int] = field(default_factory=lambda: array("I"))
    xyxy: array[float] = field(default_factory=lambda: array("f"))
    confidence: array[float] = field(default_factory=lambda: array("f"))
    """NaN where a row has none."""
    class_rank: array[int] = field(default_factory=lambda: array("H"))
    tracker_id: array[int] = field(default_factory=lambda: array("i"))
    """-1 where a row has none."""
    text_rank: array[int] = field(default_factory=lambda: array("I"))
    """0 where a row has none, else the rank in `texts` + 1."""
    classes: dict[str, int] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        box = corners(row)
        if box is None:
            return
        self.xyxy.extend(max(-MAX_COORDINATE, min(MAX_COORDINATE, value)) for value in box)
        confidence, track, text = row.get("confidence"), row.get("tracker_id"), row.get("text")
        self.confidence.append(_float32(confidence) if isinstance(confidence, int | float) else math.nan)
        self.tracker_id.append(track if type(track) is int and 0 <= track < 2**31 else -1)
        name = row.get("class_name")
        if not isinstance(name, str):
            name = str(row["class_id"]) if type(row.get("class_id")) is int else ""
        rank = self.classes.setdefault(name[:MAX_TEXT], len(self.classes))
        self.class_rank.append(min(rank, 0xFFFF))
        rank = 0
        if isinstance(text, str):
            rank = self.texts.setdefault(text[:MAX_TEXT], len(self.texts)) + 1
        self.text_rank.append(rank)

    def __len__(self) -> int:
        return len(self.class_rank)

    def count(self, line: int) -> int:
        end = self.starts[line + 1] if line + 1 < len(self.starts) else len(self)
        return end - self.starts[line]


@dataclass
class Collected:
    """What a report shows of a results file."""

    frame_index: array[int] = field(default_factory=lambda: array("I"))
    time_s: array[float] = field(default_factory=lambda: array("d"))
    ok: array[int] = field(default_factory=lambda: array("B"))
    numbers: dict[str, array[float]] = field(default_factory=dict)
    """path -> one value per line; NaN where there is none."""
    flags: dict[str, array[int]] = field(default_factory=dict)
    """path -> 0 or 1 per line; `MISSING_FLAG` where there is none."""
    boxes: dict[str, BoxColumns] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    spans_omitted: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)
    failures_by_node: Counter[str] = field(default_factory=Counter)
    details: BoxDetails = field(default_factory=BoxDetails)
    tags: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame_index)


def collect(lines: Iterable[JsonLine], *, details: bool = True) -> Collected:
    """Read all lines once; details only for a page that cannot ask for the lines themselves."""
    found = Collected()
    spans = Spans()
    for line in lines:
        _line(found, line)
        if details:
            found.details.add(line["result"])
        _keep(found, spans.feed(line))
    _keep(found, spans.finish())
    found.spans.sort(key=lambda span: span.start_s)
    found.details.starts.append(len(found.details.content))
    count = len(found)
    for numbers in found.numbers.values():
        numbers.extend([math.nan] * (count - len(numbers)))
    for flags in found.flags.values():
        flags.extend([MISSING_FLAG] * (count - len(flags)))
    for boxes in found.boxes.values():
        boxes.starts.extend([len(boxes)] * (count - len(boxes.starts) + 1))
    return found


def _keep(found: Collected, spans: Iterable[Span]) -> None:
    for span in spans:
        if len(found.spans) < MAX_SPANS:
            found.spans.append(span)
        else:
            found.spans_omitted += 1


def _line(found: Collected, line: JsonLine) -> None:
    rank = len(found)
    if rank == 0:
        found.tags = tags_of(line)
    found.frame_index.append(line["frame_index"])
    found.time_s.append(line["time_s"])
    result = line["result"]
    found.ok.append(result is not None)
    if result is None:
        error = line["error"]
        found.failures_by_node[str(error.get("node", ""))] += 1
        if len(found.failures) < MAX_FAILURES:
            texts = {name: str(error.get(name, ""))[:500] for name in ("node", "tool", "type", "message")}
            found.failures.append({"line": rank, **texts})
        return
    for node, value in result.items():
        part = path_part(node)
        for path, leaf in leaves({node: value}):
            _leaf(found, rank, part, path, leaf)


def _leaf(found: Collected, rank: int, node: str, path: str, value: Any) -> None:
    if isinstance(value, bool):
        flags = found.flags.setdefault(path, array("B"))
        flags.extend([MISSING_FLAG] * (rank - len(flags)))
        flags.append(value)
    elif isinstance(value, int | float):
        numbers = found.numbers.setdefault(path, array("f"))
        numbers.extend([math.nan] * (rank - len(numbers)))
        numbers.append(_float32(value))
    elif isinstance(value, list) and value and any(isinstance(row, dict) and "xyxy" in row for row in value):
        boxes = found.boxes.setdefault(path, BoxColumns(path, node))
        boxes.starts.extend([len(boxes)] * (rank + 1 - len(boxes.starts)))
        for row in value:
            if isinstance(row, dict):
                boxes.add(row)


def _float32(value: float) -> float:
    """A number that fits a 32-bit float; larger ones become NaN."""
    return float(value) if abs(value) < 3.4e38 else math.nan
