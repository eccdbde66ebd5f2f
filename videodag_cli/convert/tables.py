"""Flat tables of results: their columns, with types that do not depend on the data, and their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from videodag_cli.convert.results_files import ResultsFile, boxes, chosen, integer_field, number
from videodag_cli.results.reading import JsonLine, JsonRow, corners, leaves, tags_of

ColumnType = Literal["text", "integer", "number", "boolean", "json"]
"""`json` is JSON as text; in JSON lines, what it says."""
CellValue = str | int | float | bool | None


@dataclass(frozen=True)
class Column:
    name: str
    kind: ColumnType


@dataclass(frozen=True)
class Table:
    columns: tuple[Column, ...]
    rows: Iterable[tuple[CellValue, ...]]


SOURCE = Column("source", "text")
_MOMENT = (Column("frame_index", "integer"), Column("time_s", "number"))
_ERROR = ("node", "tool", "type", "message")
_BOX: tuple[Column, ...] = (
    Column("confidence", "number"),
    Column("class_id", "integer"),
    Column("class_name", "text"),
    Column("tracker_id", "integer"),
    Column("area", "number"),
    Column("text", "text"),
    Column("presence", "number"),
    Column("keypoints", "json"),
    Column("corners", "json"),
    Column("mask", "json"),
)
DETECTIONS = (
    *_MOMENT,
    Column("output", "text"),
    Column("row", "integer"),
    *(Column(name, "number") for name in ("x1", "y1", "x2", "y2")),
    *_BOX,
    Column("extra", "json"),
)
"""After `source` and the tags. `extra` is a JSON object of every other field of the row."""
TRACKS = (
    Column("output", "text"),
    Column("tracker_id", "integer"),
    Column("class_id", "integer"),
    Column("class_name", "text"),
    Column("first_frame", "integer"),
    Column("last_frame", "integer"),
    Column("first_time_s", "number"),
    Column("last_time_s", "number"),
    Column("frames", "integer"),
    Column("mean_confidence", "number"),
)


def table_of(table: str, sources: Sequence[ResultsFile], nodes: Sequence[str] = ()) -> Table:
    """The table `frames`, `detections` or `tracks`."""
    if table == "frames":
        return _frames(sources, nodes)
    fixed = DETECTIONS if table == "detections" else TRACKS
    names = tag_names(sources)
    each = _detection_rows if table == "detections" else _track_rows
    rows = (row for source in sources for row in each(source, names, nodes))
    return Table((SOURCE, *tag_columns(names, fixed), *fixed), rows)


def tag_names(sources: Sequence[ResultsFile]) -> list[str]:
    """The names of the tags in all sources. Tags are the same on every line of a file: the first line gives them."""
    found: dict[str, None] = {}
    for source in sources:
        for line in source.lines():
            found.update(dict.fromkeys(tags_of(line)))
            break
    return list(found)


def tag_columns(names: Iterable[str], others: Iterable[Column]) -> list[Column]:
    taken = {"source", *(column.name for column in others)}
    return [Column(f"tag_{name}" if name in taken else name, "text") for name in names]


def tag_values(line: JsonLine, names: Sequence[str]) -> list[CellValue]:
    given = tags_of(line) if names else {}
    return [_as_text(given.get(name)) for name in names]


# -- frames ------------------------------------------------------------------------------------------------------------------------------


def _frames(sources: Sequence[ResultsFile], nodes: Sequence[str]) -> Table:
    names = tag_names(sources)
    kinds: dict[str, set[str]] = {}
    for source in sources:
        for line in source.lines():
            for path, value in leaves(line["result"] or {}):
                if chosen(path, nodes):
                    kinds.setdefault(path, set()).add(_kind(value))
    found = [(path, column) for path, seen in kinds.items() for column in _columns(path, seen)]
    errors = tuple(Column(f"error_{part}", "text") for part in _ERROR)
    fixed = (*_MOMENT, Column("ok", "boolean"), *errors)
    outputs = [column for _, column in found]
    columns = (SOURCE, *tag_columns(names, (*fixed, *outputs)), *fixed, *outputs)

    def rows() -> Iterator[tuple[CellValue, ...]]:
        for source in sources:
            for line in source.lines():
                error = line.get("error") or {}
                values = dict(leaves(line["result"] or {}))
                yield (
                    source.name,
                    *tag_values(line, names),
                    line["frame_index"],
                    float(line["time_s"]),
                    line["result"] is not None,
                    *(_as_text(error.get(part)) for part in _ERROR),
                    *(_cell(values.get(path), column) for path, column in found),
                )

    return Table(columns, rows())


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, list):
        if not value:
            return "empty"
        return "rows" if all(isinstance(row, dict) for row in value) else "values"
    return "text"


_UNCOUNTED = {"null", "empty", "rows"}
"""Kinds of values that have no column but that of their length."""


def _columns(path: str, seen: set[str]) -> list[Column]:
    """A list becomes its length, and its text where it holds plain values; what is of several kinds becomes text."""
    found = []
    if seen & {"rows", "values", "empty"}:
        found.append(Column(f"{path}.count", "integer"))
    plain = seen - _UNCOUNTED
    if plain == {"boolean"}:
        found.append(Column(path, "boolean"))
    elif plain or not found:
        found.append(Column(path, "number" if plain <= {"number", "boolean"} else "text"))
    return found


def _cell(value: Any, column: Column) -> CellValue:
    if column.kind == "integer":
        return len(value) if isinstance(value, list) else None
    if _kind(value) in _UNCOUNTED:
        return None
    if column.kind == "number":
        return float(value)
    return value if column.kind == "boolean" else _as_text(value)


def _as_text(value: Any) -> str | None:
    """Text as it is; anything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


# -- detections --------------------------------------------------------------------------------------------------------------------------


def _detection_rows(source: ResultsFile, names: Sequence[str], nodes: Sequence[str]) -> Iterator[tuple[CellValue, ...]]:
    for line in source.lines():
        if line["result"] is None:
            continue
        given = tag_values(line, names)
        for path, index, row in boxes(line["result"], nodes):
            taken = {column.name: _field(row, column) for column in _BOX}
            extra = {k: v for k, v in row.items() if k != "xyxy" and taken.get(k) is None and v is not None}
            yield (
                source.name,
                *given,
                line["frame_index"],
                float(line["time_s"]),
                path,
                index,
                *(float(v) for v in corners(row) or ()),
                *taken.values(),
                orjson.dumps(extra).decode() if extra else None,
            )


def _field(row: JsonRow, column: Column) -> CellValue:
    """A field of a row if it has the column's type; what has another is kept in `extra`."""
    if column.kind == "integer":
        return integer_field(row, column.name)
    if column.kind == "number":
        value = number(row, column.name)
        return None if value is None else float(value)
    if column.kind == "json":
        found = row.get(column.name)
        return orjson.dumps(found).decode() if isinstance(found, list | dict) else None
    text = row.get(column.name)
    return text if isinstance(text, str) else None


# -- tracks ------------------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Track:
    first: tuple[int, float]
    last: tuple[int, float]
    tags: list[CellValue]
    frames: int = 0
    confidences: int = 0
    confidence_sum: float = 0.0
    classes: Counter[tuple[int | None, str | None]] = field(default_factory=Counter)


def _track_rows(source: ResultsFile, names: Sequence[str], nodes: Sequence[str]) -> Iterator[tuple[CellValue, ...]]:
    tracks: dict[tuple[str, int], _Track] = {}
    for line in source.lines():
        moment = (line["frame_index"], float(line["time_s"]))
        for path, _, row in boxes(line["result"] or {}, nodes):
            if (tracker_id := integer_field(row, "tracker_id")) is None:
                continue
            track = tracks.get((path, tracker_id))
            if track is None:
                track = tracks[path, tracker_id] = _Track(moment, moment, tag_values(line, names))
            track.last = moment
            track.frames += 1
            name = row.get("class_name")
            track.classes[integer_field(row, "class_id"), name if isinstance(name, str) else None] += 1
            if (confidence := number(row, "confidence")) is not None:
                track.confidences += 1
                track.confidence_sum += confidence
    for (path, tracker_id), track in tracks.items():
        class_id, class_name = track.classes.most_common(1)[0][0]
        mean = round(track.confidence_sum / track.confidences, 6) if track.confidences else None
        yield (
            source.name,
            *track.tags,
            path,
            tracker_id,
            class_id,
            class_name,
            track.first[0],
            track.last[0],
            track.first[1],
            track.last[1],
            track.frames,
            mean,
        )
