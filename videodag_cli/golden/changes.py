"""What differs between two run records, in a person's words; records are read as plain data, and what they lack is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from videodag_cli.errors import printable

Record = Mapping[str, Any]
ABSENT = "none"


@dataclass(frozen=True, slots=True)
class Change:
    """`what` (`track.objects`, `detect.confidence`, `onnxruntime`) as it was and as it is."""

    what: str
    before: str
    after: str


def changes(golden: Record | None, now: Record | None) -> list[Change]:
    """What changed in request, input and packages; the most telling first. Empty where one record is missing."""
    if golden is None or now is None:
        return []
    before, after = dict(_facts(golden)), dict(_facts(now))
    order = dict.fromkeys((*before, *after))
    found = [Change(what, before.get(what, ABSENT), after.get(what, ABSENT)) for what in order]
    return [change for change in found if change.before != change.after]


def told(found: Iterable[Change]) -> str:
    """One line: `golden: track.objects v2, onnxruntime 1.31; now: v3, 1.32`."""
    listed = list(found)
    if not listed:
        return ""
    before = ", ".join(f"{change.what} {change.before}" for change in listed)
    return f"golden: {before}; now: {', '.join(change.after for change in listed)}"


def thresholds(record: Record | None) -> tuple[float, ...]:
    """Where a run's detectors cut off: the params called `confidence`."""
    return tuple(sorted({float(value) for value in _confidences(record) if _is_number(value)}))


def has_own_threshold(record: Record | None) -> bool:
    """Whether a detector chose its threshold itself, so that the record does not tell it."""
    return any(value is None for value in _confidences(record))


def same_thresholds(before: Record | None, after: Record | None) -> bool:
    """Whether two runs were asked to cut off at the same confidences, as far as their records tell."""
    return after is None or _confidences(before) == _confidences(after)


def _confidences(record: Record | None) -> list[Any]:
    params = _mapping(_mapping((record or {}).get("request")).get("params"))
    return [_mapping(values)["confidence"] for values in params.values() if "confidence" in _mapping(values)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _facts(record: Record) -> Iterable[tuple[str, str]]:
    """Named facts, each in a few words."""
    request = _mapping(record.get("request"))
    for node, tool in _mapping(request.get("tools")).items():
        name = _mapping(tool).get("tool", node)
        yield str(name), f"v{_mapping(tool).get('version', '?')}"
    files = _mapping(request.get("files"))
    for node, params in _mapping(request.get("params")).items():
        for name, value in _mapping(params).items():
            if f"{node}.{name}" not in files:
                yield f"{node}.{name}", _short(value)
    for name, digest in files.items():
        yield f"file {name}", _digest(digest)
    for name, digest in _mapping(request.get("plugins")).items():
        yield f"plugin {str(name).rpartition('/')[2]}", _digest(digest)
    pipeline = _mapping(request.get("pipeline"))
    definition = _mapping(pipeline.get("definition"))
    if definition:
        yield "pipeline", str(pipeline.get("id", "?"))
        yield "nodes", _short(sorted(str(_mapping(node).get("id")) for node in definition.get("nodes") or ()))
        edges = [f"{_mapping(e).get('from_node')}-{_mapping(e).get('to_node')}" for e in definition.get("edges") or ()]
        yield "edges", _short(sorted(edges))
    for name, value in _mapping(request.get("sampling")).items():
        yield f"sampling {name}", _short(value)
    for name in ("stream", "decoder", "strict"):
        if name in request:
            yield name, _short(request[name])
    digest = _mapping(record.get("input")).get("sha256")
    if digest:
        yield "clip", _digest(digest)
    decoder = _mapping(_mapping(record.get("input")).get("decoder")).get("name")
    if decoder:
        yield "decoder used", str(decoder)
    for name, version in _mapping(record.get("packages")).items():
        yield str(name), str(version)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _digest(digest: object) -> str:
    return str(digest).removeprefix("sha256:")[:12]


def _short(value: object) -> str:
    if isinstance(value, str):
        return printable(value, limit=60)
    return printable(orjson.dumps(value, default=str).decode(), limit=60)
