"""What differs between two run records, in a person's words; records are read as plain data, and what they lack is left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from videodag_cli.results.reading import JsonRecord
from videodag_cli.run.record import changed_facts, request_facts


@dataclass(frozen=True, slots=True)
class Change:
    """`what` (`track.objects`, `detect.confidence`, `onnxruntime`) as it was and as it is."""

    what: str
    before: str
    after: str


def changes(golden: JsonRecord | None, now: JsonRecord | None) -> list[Change]:
    """What changed in request, input and packages; the most important first. Empty where one record is missing."""
    if golden is None or now is None:
        return []
    return [Change(*changed) for changed in changed_facts(_facts(golden), _facts(now))]


def changes_text(found: Iterable[Change]) -> str:
    """One line: `golden: track.objects v2, onnxruntime 1.31; now: v3, 1.32`."""
    listed = list(found)
    if not listed:
        return ""
    before = ", ".join(f"{change.what} {change.before}" for change in listed)
    return f"golden: {before}; now: {', '.join(change.after for change in listed)}"


def thresholds(record: JsonRecord | None) -> tuple[float, ...]:
    """Where a run's detectors cut off: the params called `confidence`."""
    return tuple(sorted({float(value) for value in _confidences(record) if _is_number(value)}))


def has_own_threshold(record: JsonRecord | None) -> bool:
    """Whether a detector chose its threshold itself, so that the record does not say."""
    return any(value is None for value in _confidences(record))


def same_thresholds(before: JsonRecord | None, after: JsonRecord | None) -> bool:
    """Whether two runs were asked to cut off at the same confidences, as far as their records say."""
    return after is None or _confidences(before) == _confidences(after)


def _confidences(record: JsonRecord | None) -> list[Any]:
    params = _mapping(_mapping((record or {}).get("request")).get("params"))
    return [_mapping(values)["confidence"] for values in params.values() if "confidence" in _mapping(values)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _facts(record: JsonRecord) -> Iterator[tuple[str, Any]]:
    """The request, then what else may make a difference."""
    request = _mapping(record.get("request"))
    yield from request_facts(request)
    clip = _mapping(record.get("input"))
    others = {
        "pipeline": _mapping(request.get("pipeline")).get("id"),
        "clip": clip.get("sha256"),
        "decoder used": _mapping(clip.get("decoder")).get("name"),
    }
    yield from ((name, value) for name, value in others.items() if value is not None)
    yield from _mapping(record.get("packages")).items()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
