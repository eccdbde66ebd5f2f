"""When something was so: runs of lines in which a flag was true, a text was seen, an event was reported.

A span starts with the time of its first line and ends with the time of the first line after it. At the end of the file that line is
missing; then the last step between two lines stands in for it. A failed frame ends every span.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from videodag_cli.results import leaves

FLAG, TEXT, EVENT = "flag", "text", "event"
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Span:
    output: str
    """Path of the output, `node` or `node.field`."""
    kind: str
    """`flag` (an output that is true), `text` (a text seen), `event` (a row without a box, such as a crossing)."""
    label: str
    """The text, or the event's fields, or the path of the flag."""
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


class Spans:
    """Feed it lines in their order; `feed` and `finish` give the spans that ended, in the order of their start.

    Memory grows with what is true at one moment only.
    """

    def __init__(self) -> None:
        self._open: dict[Key, _Open] = {}
        self._last_s: float | None = None
        self._step_s = 0.0

    def feed(self, line: Mapping[str, Any]) -> Iterator[Span]:
        time_s, index = float(line["time_s"]), line["frame_index"]
        now = dict.fromkeys(_facts(line["result"])) if line["result"] is not None else {}
        for key in [key for key in self._open if key not in now]:
            yield _closed(key, self._open.pop(key), time_s)
        for key in now:
            if key in self._open:
                span = self._open[key]
                span.last_frame, span.frames = index, span.frames + 1
            else:
                self._open[key] = _Open(time_s, index, index)
        if self._last_s is not None and time_s > self._last_s:
            self._step_s = time_s - self._last_s
        self._last_s = time_s

    def finish(self) -> Iterator[Span]:
        """The spans that last until the end of the file."""
        end_s = (self._last_s or 0.0) + self._step_s
        for key, span in self._open.items():
            yield _closed(key, span, end_s)
        self._open.clear()


def _closed(key: Key, span: _Open, end_s: float) -> Span:
    output, kind, label = key
    return Span(output, kind, label, span.start_s, round(end_s, 6), span.first_frame, span.last_frame, span.frames)


def _facts(result: Mapping[str, Any]) -> Iterator[Key]:
    for path, value in leaves(result):
        if value is True:
            yield path, FLAG, path
        elif isinstance(value, str):
            if value:
                yield path, TEXT, value
        elif isinstance(value, list):
            for row in value:
                if not isinstance(row, dict):
                    continue
                if isinstance(text := row.get("text"), str):
                    if text:
                        yield path, TEXT, text
                elif "xyxy" not in row:
                    yield path, EVENT, event_label(row)


def event_label(row: Mapping[str, Any]) -> str:
    """`direction in, tracker_id 3`: the plain fields of a row without a box."""
    return ", ".join(f"{name} {value}" for name, value in row.items() if isinstance(value, str | int | float))
