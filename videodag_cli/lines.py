"""What one frame looks like as a line of JSON: the only place that rounds, orders and encodes.

Coordinates have 2 decimals, confidences 4, times and all other numbers 6. NaN and infinity are null. Keys keep their order.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from videodag_cli.toolspec import type_name

COORDINATE_DECIMALS = 2
CONFIDENCE_DECIMALS = 4
OTHER_DECIMALS = 6
MAX_DEPTH = 64
_DECIMALS = {
    "xyxy": COORDINATE_DECIMALS,
    "keypoints": COORDINATE_DECIMALS,
    "corners": COORDINATE_DECIMALS,
    "area": COORDINATE_DECIMALS,
    "confidence": CONFIDENCE_DECIMALS,
    "presence": CONFIDENCE_DECIMALS,
}


@dataclass(frozen=True)
class NodeFailure:
    """Why a frame has no result."""

    node: str
    tool: str
    type: str
    """Name of the exception's class."""
    message: str
    """One line, at most 500 characters, without addresses and absolute paths."""


@dataclass(frozen=True)
class FrameResult:
    """What the pipeline says of one frame. `values` is plain JSON data, or None when a node failed."""

    frame_index: int
    time_s: float
    values: dict[str, Any] | None
    failure: NodeFailure | None = None
    size: tuple[int, int] | None = None
    """Width and height of the frame where they are not the video's."""
    time: str | None = None
    """The instant of the frame, RFC 3339, where a clock was asked for."""
    timecode: str | None = None
    """SMPTE timecode, where it was asked for."""

    def as_json(self, tags: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The line as a mapping, in its fixed order."""
        line: dict[str, Any] = dict(tags or {})
        line["frame_index"] = self.frame_index
        line["time_s"] = self.time_s
        if self.time is not None:
            line["time"] = self.time
        if self.timecode is not None:
            line["timecode"] = self.timecode
        if self.size is not None:
            line["size"] = list(self.size)
        line["result"] = self.values
        if self.failure is not None:
            line["error"] = dataclasses.asdict(self.failure)
        return line

    def line(self, tags: Mapping[str, str] | None = None) -> bytes:
        """The line as UTF-8 with its newline."""
        return orjson.dumps(self.as_json(tags), option=orjson.OPT_APPEND_NEWLINE)


def frame_line(data: bytes) -> dict[str, Any] | None:
    """The parsed line of a frame that `FrameResult.line` gave; None for anything else."""
    try:
        found = orjson.loads(data)
    except ValueError:
        return None
    if not isinstance(found, dict) or type(found.get("frame_index")) is not int or "time_s" not in found:
        return None
    if found.get("result") is None and not isinstance(found.get("error"), dict):
        return None
    return found


RESERVED_TAGS = frozenset({"frame_index", "time_s", "time", "timecode", "size", "result", "error"})
"""The keys of a line that are not tags."""


def plain(value: object, *, decimals: int = OTHER_DECIMALS, _depth: int = 0, _above: tuple[int, ...] = ()) -> Any:
    """`value` as plain JSON data, rounded.

    Takes None, bool, int, float, str, numpy scalars and arrays, lists, tuples, mappings with text keys, dataclasses, pydantic
    models, enumerations and objects with `rows()` (detections) or `to_json()`. Anything else, cycles, nesting deeper than
    64, integers beyond 64 bits and text that is not valid Unicode raise `TypeError` or `ValueError`: nothing is guessed.
    """
    kind = type(value)
    if kind is float:
        return _rounded(value, decimals)  # type: ignore[arg-type]
    if value is None or kind is bool:
        return value
    if isinstance(value, str):
        return _text(str.__str__(value))
    if isinstance(value, enum.Enum):
        return plain(value.value, decimals=decimals, _depth=_depth + 1)
    if isinstance(value, bool | int):
        return _integer(int(value))
    if isinstance(value, float):
        return _rounded(float(value), decimals)
    if isinstance(value, type):
        raise TypeError("a class has no JSON form")
    if _depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if id(value) in _above:
        raise ValueError("contains itself")
    nested: Any = {"_depth": _depth + 1, "_above": (*_above, id(value))}
    if isinstance(value, list | tuple):
        return [plain(item, decimals=decimals, **nested) for item in value]
    if isinstance(value, Mapping):
        return _mapping(value, decimals, nested)
    if kind.__module__.partition(".")[0] == "numpy":
        return _numpy(value, decimals, nested)
    rows = getattr(value, "rows", None)
    if callable(rows):
        return plain(rows(), decimals=decimals, **nested)
    to_json = getattr(value, "to_json", None)
    if callable(to_json):
        return plain(to_json(), decimals=decimals, **nested)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        columns = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _mapping(columns, decimals, nested)
    model_dump = getattr(value, "model_dump", None)
    if callable(model_dump):
        return plain(model_dump(), decimals=decimals, **nested)
    raise TypeError(f"a value of type {kind.__name__} has no JSON form")


def _mapping(value: Mapping[Any, Any], decimals: int, nested: Any) -> dict[str, Any]:
    plain_items: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise TypeError(f"a key of type {type(key).__name__} has no JSON form; keys are text")
        plain_items[_text(key)] = plain(item, decimals=_DECIMALS.get(key, decimals), **nested)
    return plain_items


def _numpy(value: Any, decimals: int, nested: Any) -> Any:
    if value.dtype.kind not in "biufUO":
        raise TypeError(f"a numpy value of type {value.dtype} has no JSON form")
    return plain(value.tolist(), decimals=decimals, **nested)


def _rounded(number: float, decimals: int) -> float | None:
    if not math.isfinite(number):
        return None
    return round(number, decimals) + 0.0  # adding zero turns -0.0 into 0.0


def _integer(number: int) -> int:
    if not -(2**63) <= number < 2**64:
        raise ValueError("an integer does not fit into 64 bits")
    return number


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("text holds a lone surrogate, which is not valid Unicode") from error
    return text


def json_form(kind: Any) -> bool:
    """Whether values of this output type can be written; frames cannot."""
    from videodag_cli.data import Frame

    while isinstance(kind, typing.NewType):
        kind = kind.__supertype__
    kind = typing.get_origin(kind) or kind
    if typing.is_typeddict(kind) or kind is Any:
        return True
    if not isinstance(kind, type) or issubclass(kind, Frame):
        return False
    if issubclass(kind, bool | int | float | str | list | tuple | Mapping | enum.Enum):
        return True
    if kind.__module__.partition(".")[0] == "numpy":
        return True
    return dataclasses.is_dataclass(kind) or any(hasattr(kind, name) for name in ("rows", "to_json", "model_dump"))


def output_key(kind: Any) -> str:
    """The key of one output where a node has several."""
    return type_name(kind)
