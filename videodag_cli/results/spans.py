"""When something was so: runs of lines in which a flag was true, a text was seen, an event was reported, a zone was visited.

A span starts with the time of its first line and ends with the time of the first line after it. At the end of the file that line is
missing; then the last step between two lines stands in for it. A failed frame ends every span but a visit, whose beginning and end
are in the rows themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from videodag_cli.results.reading import MAX_TIME_S, leaves

FLAG, TEXT, EVENT, VISIT = "flag", "text", "event", "visit"
UNEVENTFUL = frozenset({"good"})
"""Flags that say that nothing is wrong; what is wrong is beside them."""
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Span:
    output: str
    """Path of the output, `node` or `node.field`."""
    kind: str
    """`flag` (an output that is true), `text` (a text seen), `event` (a word in a list, or a row such as a crossing), `visit`."""
    label: str
    """The path of the flag, the text, the event in words (`person 7 in`), who visits (`person 7`)."""
    start_s: float
    end_s: float
    """Time of the first line after the span."""
    first_frame: int
    last_frame: int
    frames: int
    """Lines in the span."""


@dataclass(slots=True)
class _Open:
    start_s: float
    first_frame: int
    last_frame: int
    frames: int = 1

    def go_on(self, frame_index: int) -> None:
        self.last_frame, self.frames = frame_index, self.frames + 1


class Spans:
    """Feed it lines in their order; `feed` and `finish` give the spans that are over.

    Memory grows with what is true at one moment only.
    """

    def __init__(self) -> None:
        self._open: dict[Key, _Open] = {}
        self._visits: dict[Key, _Open] = {}
        self._last_s: float | None = None
        self._step_s = 0.0

    def feed(self, line: Mapping[str, Any]) -> Iterator[Span]:
        time_s, index = float(line["time_s"]), line["frame_index"]
        if self._last_s is not None and time_s > self._last_s:
            self._step_s = time_s - self._last_s
        self._last_s = time_s
        now: dict[Key, None] = {}
        for key, row in _facts(line["result"] or {}):
            if key[1] == VISIT:
                yield from self._visit(key, row, index)
            else:
                now[key] = None
        for key in [key for key in self._open if key not in now]:
            yield _closed(key, self._open.pop(key), time_s)
        for key in now:
            if key in self._open:
                self._open[key].go_on(index)
            else:
                self._open[key] = _Open(time_s, index, index)

    def _visit(self, key: Key, row: Mapping[str, Any], index: int) -> Iterator[Span]:
        """A visit is under way in each of its rows; the row that has `left_s` ends it."""
        left_s = row.get("left_s")
        if left_s is None:
            if key in self._visits:
                self._visits[key].go_on(index)
            else:
                self._visits[key] = _Open(float(row["entered_s"]), index, index)
        elif key in self._visits:
            yield _closed(key, self._visits.pop(key), float(left_s))

    def finish(self) -> Iterator[Span]:
        """The spans that last until the end of the file."""
        end_s = (self._last_s or 0.0) + self._step_s
        for key, span in [*self._open.items(), *self._visits.items()]:
            yield _closed(key, span, end_s)
        self._open.clear()
        self._visits.clear()


def _closed(key: Key, span: _Open, end_s: float) -> Span:
    output, kind, label = key
    return Span(output, kind, label, span.start_s, round(end_s, 6), span.first_frame, span.last_frame, span.frames)


def _facts(result: Mapping[str, Any]) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """What is true in one result, with the row that says so."""
    for path, value in leaves(result):
        if value is True:
            if path.rpartition(".")[2] not in UNEVENTFUL:
                yield (path, FLAG, path), {}
        elif isinstance(value, str):
            if value:
                yield (path, TEXT, value), {}
        elif isinstance(value, list):
            for row in value:
                if isinstance(row, dict):
                    yield from _row(path, row)
                elif isinstance(row, str):
                    yield (path, EVENT, row), {}


_CLASS_ROW = {"detection", "class_id", "class_name", "confidence", "name", "similarity"}
"""What rows of `classify.image` and `match.embeddings` hold."""


def _row(path: str, row: Mapping[str, Any]) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    if isinstance(text := row.get("text"), str):
        if text:
            yield (path, TEXT, text), row
    elif _is_time(row.get("entered_s")) and (row.get("left_s") is None or _is_time(row["left_s"])):
        # Those inside and those who have left are in two lists of one zone.
        yield (path.rpartition(".")[0] or path, VISIT, _words(_who(row))), row
    elif "xyxy" not in row:
        yield (path, EVENT, _shown(row) or _in_words(row)), row


def _shown(row: Mapping[str, Any]) -> str:
    """The class that a picture, or its box, shows; empty for other rows. Scores stay out: they differ from frame to frame."""
    name = row.get("class_name", row.get("name"))
    if not isinstance(name, str) or not {"confidence", "similarity"} & row.keys() or not row.keys() <= _CLASS_ROW:
        return ""
    return f"{name} in box {row['detection']}" if type(row.get("detection")) is int else name


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= MAX_TIME_S


def _who(row: Mapping[str, Any]) -> list[Any]:
    return [row[name] for name in ("class_name", "tracker_id") if row.get(name) not in (None, "")]


def _in_words(row: Mapping[str, Any]) -> str:
    """`person 7 in`: class and id first, then the other plain fields, but for times, which the span has."""
    rest = [
        value for name, value in row.items() if name not in ("class_name", "tracker_id") and not name.endswith("_s")
    ]
    return _words(_who(row) + rest)


def _words(values: list[Any]) -> str:
    return " ".join(str(value) for value in values if isinstance(value, str | int | float))
