"""What a person wants to know about a results file in one screen: a streaming accumulator over its lines.

Memory does not grow with the number of lines: of tracks the distinct ids are kept, of texts at most `MAX_DISTINCT`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from videodag_cli.results.reading import JsonLine, leaves

SCHEMA = "videodag.summary/1"
MAX_DISTINCT = 1000
"""Distinct texts and error messages that are told apart in one output; more are counted, not listed."""
MAX_STARTS = 20


@dataclass(slots=True)
class Numbers:
    """Statistics of a number per frame."""

    count: int = 0
    nulls: int = 0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    last: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.low = min(self.low, value)
        self.high = max(self.high, value)
        self.last = value

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": "number",
            "frames": self.count,
            "null": self.nulls,
            "min": self.low,
            "mean": round(self.total / self.count, 6),
            "max": self.high,
            "last": self.last,
        }


@dataclass(slots=True)
class Flags:
    """How often a yes-or-no output was true, and when it became true."""

    count: int = 0
    true: int = 0
    ranges: int = 0
    starts_s: list[float] = field(default_factory=list)
    was_true: bool = False

    def add(self, value: bool, time_s: float) -> None:
        self.count += 1
        self.true += value
        if value and not self.was_true:
            self.ranges += 1
            if len(self.starts_s) < MAX_STARTS:
                self.starts_s.append(time_s)
        self.was_true = value

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": "boolean",
            "frames": self.count,
            "true": self.true,
            "ranges": self.ranges,
            "starts_s": self.starts_s,
        }


@dataclass(slots=True)
class Texts:
    """Distinct texts and how often each was seen."""

    count: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    more: bool = False

    def add(self, text: str) -> None:
        self.count += 1
        if text in self.seen or len(self.seen) < MAX_DISTINCT:
            self.seen[text] += 1
        else:
            self.more = True

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": "text",
            "frames": self.count,
            "distinct": len(self.seen),
            "distinct_is_minimum": self.more,
            "most_common": dict(self.seen.most_common(10)),
        }


@dataclass(slots=True)
class ListSummary:
    """Lists: detections, tracks, codes, text lines, events."""

    frames: int = 0
    frames_with_any: int = 0
    total: int = 0
    most: int = 0
    boxes: bool = False
    classes: Counter[str] = field(default_factory=Counter)
    tracks: set[int] = field(default_factory=set)
    tracked: bool = False
    texts: Texts = field(default_factory=Texts)
    labels: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, rows: list[Any]) -> None:
        self.frames += 1
        self.frames_with_any += bool(rows)
        self.total += len(rows)
        self.most = max(self.most, len(rows))
        for row in rows:
            if isinstance(row, Mapping):
                self._row(row)
            elif isinstance(row, str):
                self._label("value", row)

    def _row(self, row: Mapping[str, Any]) -> None:
        self.boxes = self.boxes or "xyxy" in row
        if isinstance(name := row.get("class_name"), str):
            self.classes[name] += 1
        elif type(row.get("class_id")) is int:
            self.classes[str(row["class_id"])] += 1
        if type(track := row.get("tracker_id")) is int:
            self.tracked = True
            self.tracks.add(track)
        if isinstance(text := row.get("text"), str):
            self.texts.add(text)
        if "xyxy" not in row:
            for name, value in row.items():
                if isinstance(value, str) and name not in ("class_name", "text"):
                    self._label(name, value)

    def _label(self, name: str, value: str) -> None:
        counts = self.labels.setdefault(name, Counter())
        if value in counts or len(counts) < MAX_DISTINCT:
            counts[value] += 1

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "kind": "detections" if self.boxes else "rows",
            "frames": self.frames,
            "frames_with_any": self.frames_with_any,
            "total": self.total,
            "max_per_frame": self.most,
        }
        if self.classes:
            found["classes"] = dict(self.classes.most_common())
        if self.tracked:
            found["tracks"] = len(self.tracks)
        if self.texts.count:
            found["texts"] = {k: v for k, v in self.texts.as_json().items() if k not in ("kind", "frames")}
        for name, counts in self.labels.items():
            found.setdefault("labels", {})[name] = dict(counts.most_common())
        return found


Statistic = Numbers | Flags | Texts | ListSummary
S = TypeVar("S", Numbers, Flags, Texts, ListSummary)


class Summary:
    """Feed it lines in their order; ask for `as_json()` at any time."""

    def __init__(self) -> None:
        self.frames = 0
        self.failed = 0
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None
        self._errors: Counter[tuple[str, str, str]] = Counter()
        self._messages: dict[tuple[str, str, str], str] = {}
        self._outputs: dict[str, dict[type, Statistic]] = {}
        self._nulls: Counter[str] = Counter()

    @classmethod
    def of(cls, lines: Iterable[JsonLine]) -> Summary:
        summary = cls()
        for line in lines:
            summary.feed(line)
        return summary

    def feed(self, line: Mapping[str, Any]) -> None:
        """Take one line, as it is in the file."""
        self.frames += 1
        moment = (line["frame_index"], line["time_s"])
        self._first = self._first or moment
        self._last = moment
        result = line["result"]
        if result is None:
            self._failure(line["error"])
            return
        for path, value in leaves(result):
            known = self._outputs.setdefault(path, {})
            if value is None:
                self._nulls[path] += 1
            elif isinstance(value, bool):
                _statistic(known, Flags).add(value, line["time_s"])
            elif isinstance(value, int | float):
                _statistic(known, Numbers).add(value)
            elif isinstance(value, str):
                _statistic(known, Texts).add(value)
            else:
                _statistic(known, ListSummary).add(value)

    def _failure(self, error: Mapping[str, Any]) -> None:
        self.failed += 1
        key = (str(error.get("node", "")), str(error.get("tool", "")), str(error.get("type", "")))
        if key in self._errors or len(self._errors) < MAX_DISTINCT:
            self._errors[key] += 1
            self._messages.setdefault(key, str(error.get("message", "")))

    def as_json(self) -> dict[str, Any]:
        """The summary as plain JSON values; `outputs` is keyed by path and says its `kind`."""
        first, last = self._first or (None, None), self._last or (None, None)
        return {
            "schema": SCHEMA,
            "frames": self.frames,
            "ok": self.frames - self.failed,
            "failed": self.failed,
            "first_frame": first[0],
            "last_frame": last[0],
            "start_s": first[1],
            "end_s": last[1],
            "outputs": {path: self._output(path) for path in self._outputs},
            "errors": [
                {
                    "node": node,
                    "tool": tool,
                    "type": kind,
                    "frames": count,
                    "message": self._messages[(node, tool, kind)],
                }
                for (node, tool, kind), count in self._errors.most_common()
            ],
        }

    def _output(self, path: str) -> dict[str, Any]:
        """One output; where its values were of several kinds, the kind seen most often."""
        known = list(self._outputs[path].values())
        if not known:
            return {"kind": "null", "frames": 0, "null": self._nulls[path]}
        chosen = max(known, key=lambda s: s.frames if isinstance(s, ListSummary) else s.count)
        if isinstance(chosen, Numbers):
            chosen.nulls = self._nulls[path]
        return chosen.as_json()


def _statistic(known: dict[type, Any], kind: type[S]) -> S:
    found: S | None = known.get(kind)
    if found is None:
        found = known[kind] = kind()
    return found
