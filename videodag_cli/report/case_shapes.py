"""Key points, masks and turned boxes of a row, as drawings for the page of a case; `shapes.js` draws the same on the page of results.

Rows are read from files, so anything may stand where a shape should be; what is none is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

import numpy as np

from videodag_cli.vision.keypoints import BLAZEPOSE_BONES, BLAZEPOSE_POINTS, COCO_BONES, COCO_POINTS, SEEN
from videodag_cli.vision.masks import is_mask, mask_edges

SHAPES = ("mask", "corners", "keypoints")
_HINT = 0.2
"""A point of less visibility than this is hidden, and of less than `SEEN` faint."""
_BONES = {len(COCO_POINTS): COCO_BONES, len(BLAZEPOSE_POINTS): BLAZEPOSE_BONES}
_MOST_PIXELS, _MOST_RUNS = 1 << 26, 20_000

DrawnPoint = tuple[float, float]


def shapes_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What of a row is drawn besides its box."""
    return {name: row[name] for name in SHAPES if row.get(name) is not None}


def is_turned(shapes: Mapping[str, Any]) -> bool:
    return _corners(shapes.get("corners")) is not None


def drawn_shapes(shapes: Mapping[str, Any], unit: float) -> str:
    """SVG in pixels of the picture. unit: how many of them are a pixel of the page, about."""
    return "".join(_each(shapes, unit))


def _each(shapes: Mapping[str, Any], unit: float) -> Iterator[str]:
    if columns := _columns(shapes.get("mask")):
        yield f'<path class="mask" d="{columns}"/>'
    if (corners := _corners(shapes.get("corners"))) is not None:
        places = " ".join(f"{x:g},{y:g}" for x, y in corners)
        yield f'<polygon class="edge" points="{places}" stroke-width="{3.5 * unit:.2f}"/>'
        yield f'<polygon class="box" points="{places}" stroke-width="{1.8 * unit:.2f}"/>'
    if isinstance(shapes.get("keypoints"), list):
        yield from _skeleton(shapes["keypoints"], unit)


def _place(value: object) -> DrawnPoint | None:
    if not isinstance(value, list) or len(value) < 2:
        return None
    x, y = value[:2]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) and isfinite(v) for v in (x, y))
    return (x, y) if numbers else None


def _corners(value: object) -> list[DrawnPoint] | None:
    places = [_place(each) for each in value] if isinstance(value, list) else []
    found = [place for place in places if place is not None]
    return found if len(found) == len(places) > 2 else None


def _columns(mask: object) -> str:
    """The runs of a mask as columns one pixel wide; empty for what is none, or too much for a page."""
    if not is_mask(mask):
        return ""
    assert isinstance(mask, Mapping)
    size = mask["size"]
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        return ""
    height, width = size
    if height * width > _MOST_PIXELS:
        return ""
    try:
        edges = mask_edges(mask)
    except (ValueError, OverflowError):
        return ""
    if len(edges) > 2 * _MOST_RUNS:
        return ""
    lines = []
    for begin, end in edges.reshape(-1, 2).tolist():
        at = begin
        while at < end:
            x, y = divmod(at, height)
            stop = min(end, (x + 1) * height)
            lines.append(f"M{x},{y}v{stop - at}h1V{y}z")
            at = stop
    return "".join(lines)


def _skeleton(points: list[Any], unit: float) -> Iterator[str]:
    places = [_place(point) for point in points]
    seen = [
        0.0 if place is None else point[2] if len(point) > 2 and isinstance(point[2], int | float) else 1.0
        for place, point in zip(places, points, strict=True)
    ]
    for first, second in _BONES.get(len(points), ()):
        start, end, visibility = places[first], places[second], min(seen[first], seen[second])
        if start is None or end is None or visibility < _HINT:
            continue
        line = f'x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" y2="{end[1]:g}"'
        if visibility >= SEEN:
            yield f'<line class="edge" {line} stroke-width="{3.5 * unit:.2f}"/>'
        faint = "" if visibility >= SEEN else " faint"
        yield f'<line class="bone{faint}" {line} stroke-width="{1.8 * unit:.2f}"/>'
    known = np.array([place[1] for place in places if place is not None])
    radius = float(np.clip(np.ptp(known) / 28, 1.0 * unit, 2.4 * unit)) if len(known) else unit
    for place, visibility in zip(places, seen, strict=True):
        if place is not None and visibility >= _HINT:
            faint = "" if visibility >= SEEN else " faint"
            yield f'<circle class="point{faint}" cx="{place[0]:g}" cy="{place[1]:g}" r="{radius:.2f}" stroke-width="{0.7 * unit:.2f}"/>'
