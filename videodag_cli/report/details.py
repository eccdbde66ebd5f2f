"""What is drawn of a line besides its boxes: key points, masks, corners, and the classes of a picture.

They are kept as JSON, one text per line with the structure of the line's result, because few lines of few results have them; the scripts
take them from there, or from a line itself, with the same code.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

MAX_BYTES = 24 << 20
"""What a page can hold; lines after that are drawn with their boxes alone."""
_SHAPES = ("keypoints", "mask", "corners", "presence")
_CLASS_KEYS = ("detection", "class_name", "confidence", "name", "similarity")
_MOST_CLASSES = 200


@dataclass
class BoxDetails:
    """The details of all lines; those of line i are from `starts[i]` to `starts[i + 1]`."""

    starts: array[int] = field(default_factory=lambda: array("I"))
    content: bytearray = field(default_factory=bytearray)
    omitted: int = 0
    """Lines whose details found no room."""

    def add(self, result: Mapping[str, Any] | None) -> None:
        """The result of the next line."""
        self.starts.append(len(self.content))
        thin = None if result is None else _thin(result)
        if not thin:
            return
        text = orjson.dumps(thin)
        if self.omitted or len(self.content) + len(text) > MAX_BYTES:
            self.omitted += 1
        else:
            self.content += text


def _thin(value: Mapping[str, Any]) -> dict[str, Any]:
    """Only what is drawn, under the same keys."""
    found = {}
    for key, item in value.items():
        kept = _thin(item) if isinstance(item, dict) else _rows(item) if isinstance(item, list) else None
        if kept:
            found[key] = kept
    return found


def _rows(rows: list[Any]) -> list[Any] | None:
    """Rows of boxes with something to draw, or of classes; their places in the list stay."""
    plain = [row for row in rows if isinstance(row, dict)]
    if any(row.get(name) is not None for row in plain if "xyxy" in row for name in _SHAPES):
        return [_kept(row, ("xyxy", *_SHAPES)) for row in rows]
    if plain and all(is_class(row) for row in plain):
        return [_kept(row, _CLASS_KEYS) for row in rows[:_MOST_CLASSES]]
    return None


def is_class(row: Mapping[str, Any]) -> bool:
    """Whether a row says what a picture or a box shows, as `classify.image` and `match.embeddings` do."""
    pairs = (("class_name", "confidence"), ("name", "similarity"))
    return "xyxy" not in row and any(
        isinstance(row.get(name), str) and isinstance(row.get(score), int | float) for name, score in pairs
    )


def _kept(row: Any, names: tuple[str, ...]) -> dict[str, Any] | None:
    return {name: row[name] for name in names if row.get(name) is not None} if isinstance(row, dict) else None
