"""One HTML file out of the collected columns, the record and the pictures.

The page loads nothing: style, scripts and data are inside, and its content security policy allows only those, by their digests.
Data enters as JSON and as one compressed block of arrays; both are read by the scripts, which put text on the page as text, never as
markup.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
import zlib
from array import array
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import orjson

from videodag_cli.report.collect import BoxColumns, Collected
from videodag_cli.vision.keypoints import BLAZEPOSE_BONES, BLAZEPOSE_POINTS, COCO_BONES, COCO_POINTS

SCRIPTS = (
    *("base.js", "facts.js", "lanes.js", "timeline.js", "boxes.js", "shapes.js", "drawing.js", "frame.js"),
    *("viewer.js", "main.js"),
)
SHARED = (
    "theme.js",
    "uPlot.iife.min.js",
    "uPlot.min.css",
    "page.css",
    "base.js",
    "lanes.js",
    "timeline.js",
    "boxes.js",
    "shapes.js",
    "drawing.js",
    "frame.js",
)
"""What the page of the service is made of, too."""
_DTYPES = {"B": "u1", "H": "u2", "I": "u4", "i": "i4", "f": "f4", "d": "f8"}
_SLOT = re.compile(r"\{\{(\w+)\}\}")
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
ALIGNMENT = 8


class Block:
    """Typed arrays in one compressed block; the page finds each by type, offset and length."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, values: array[Any] | np.ndarray[Any, Any]) -> dict[str, Any]:
        """Append an array (little-endian); returns where it is."""
        column = np.asarray(values)
        kind = _DTYPES[values.typecode] if isinstance(values, array) else column.dtype.str[1:]
        raw = column.astype(f"<{kind}").tobytes()
        place = {"type": kind, "offset": self._size, "length": len(column.ravel())}
        padded = raw + bytes(-len(raw) % ALIGNMENT)
        self._parts.append(padded)
        self._size += len(padded)
        return place

    def encoded(self) -> str:
        packer = zlib.compressobj(6)
        packed = b"".join([*(packer.compress(part) for part in self._parts), packer.flush()])
        return base64.b64encode(packed).decode("ascii")


def render_page(found: Collected, facts: Mapping[str, Any], *, title: str) -> bytes:
    """The page. `facts` is everything that is not a column: record, pictures, remarks; plain JSON values."""
    block = Block()
    details = {"starts": block.add(found.details.starts), "content": block.add(array("B", found.details.content))}
    data = {**facts, **frame_columns(found, block), "details": details}
    scripts = {
        "THEME": asset("theme.js"),
        "UPLOT": f"/*! uPlot, {_licence()} */\n{asset('uPlot.iife.min.js')}",
        "PAGE": "(() => {\n'use strict';\n" + "\n".join(asset(name) for name in SCRIPTS) + "\n})();",
    }
    style = asset("uPlot.min.css") + "\n" + asset("page.css")
    slots = {
        "TITLE": html.escape(title),
        "POLICY": html.escape(policy(scripts.values(), style), quote=True),
        "STYLE": style,
        "DATA": json_in_script(data),
        "BLOCK": block.encoded(),
        **scripts,
    }
    return filled("page.html", slots)


def policy(scripts: Iterable[str], style: str) -> str:
    """A content security policy that allows these, and pictures that are in the page."""
    allowed = " ".join(map(_digest, scripts))
    return (
        f"default-src 'none'; img-src data:; script-src {allowed}; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def filled(name: str, slots: Mapping[str, str]) -> bytes:
    """A page with its slots filled, behind the head that all pages have."""
    return _SLOT.sub(lambda slot: slots[slot[1]], asset("head.html") + asset(name)).encode()


def json_in_script(value: object) -> str:
    """JSON that cannot end the script element it is in."""
    text = orjson.dumps(value).decode()
    return "".join(_ESCAPES.get(character, character) for character in text) if _unsafe(text) else text


def _unsafe(text: str) -> bool:
    return any(character in text for character in _ESCAPES)


def asset(name: str) -> str:
    """The text of a script or style."""
    return (files(__package__) / "assets" / name).read_text("utf-8")


def _licence() -> str:
    return asset("uPlot.LICENSE").replace("*/", "* /").strip()


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def frame_columns(found: Collected, block: Block) -> dict[str, Any]:
    """What scripts need to know of the lines; where it is long, as places in the block."""
    return {
        "frames": {
            "index": block.add(found.frame_index),
            "time_s": block.add(found.time_s),
            "ok": block.add(found.ok),
        },
        "numbers": [{"path": path, "values": block.add(values)} for path, values in found.numbers.items()],
        "flags": [{"path": path, "values": block.add(values)} for path, values in found.flags.items()],
        "boxes": [_boxes(boxes, block) for boxes in found.boxes.values()],
        "spans": [[s.output, s.kind, s.label[:200], s.start_s, s.end_s, s.first_frame, s.frames] for s in found.spans],
        "spans_omitted": found.spans_omitted,
        "bones": {str(len(COCO_POINTS)): COCO_BONES, str(len(BLAZEPOSE_POINTS)): BLAZEPOSE_BONES},
        "failures": found.failures,
        "failures_by_node": dict(found.failures_by_node),
        "tags": found.tags,
    }


def _boxes(boxes: BoxColumns, block: Block) -> dict[str, Any]:
    corners = np.frombuffer(boxes.xyxy, np.float32) if len(boxes) else np.empty(0, np.float32)
    reach = float(np.abs(corners).max(initial=1.0))
    scale = 4.0
    while reach * scale > 32767:
        scale /= 2
    confidence = np.frombuffer(boxes.confidence, np.float32) if len(boxes) else np.empty(0, np.float32)
    return {
        "path": boxes.path,
        "node": boxes.node,
        "scale": scale,
        "has_confidence": bool(np.isfinite(confidence).any()),
        "has_ids": max(boxes.tracker_id, default=-1) >= 0,
        "classes": list(boxes.classes),
        "texts": list(boxes.texts),
        "starts": block.add(boxes.starts),
        "xyxy": block.add(np.round(corners * scale).astype("<i2")),
        "confidence": block.add(boxes.confidence),
        "class_rank": block.add(boxes.class_rank),
        "tracker_id": block.add(boxes.tracker_id),
        "text_rank": block.add(boxes.text_rank),
    }
