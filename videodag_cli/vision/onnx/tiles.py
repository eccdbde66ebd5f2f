"""Looking at a picture in overlapping tiles, so that small objects are larger for the network, and joining what the tiles found.

A box at a tile's inner edge may be a part of an object. Parts give way to the whole box that a neighbouring tile has of the same
object, and parts on both sides of a seam become one box. The idea of slicing is that of Akyon et al., "Slicing Aided Hyper Inference",
2022; the treatment of cut boxes is this module's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Floats, Ints
from videodag_cli.errors import ParamError
from videodag_cli.vision.boxes import box_areas, intersection_matrix, nms
from videodag_cli.vision.onnx.layouts.base import Candidates

MAX_TILES = 64
_EDGE = 0.02
"""A box closer to an inner edge than this share of the tile's side counts as cut."""
_COVERED = 0.6
"""A part gives way to whole boxes that cover this share of it."""
_ALIGNED = 0.6
"""Two parts belong together when they overlap by this much (intersection over union) along the seam."""
_GONE = -2
"""Tile number of a part that went into another."""

TileBounds = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, right and bottom not included."""


@dataclass(frozen=True)
class Grid:
    """Rows and columns of tiles; neighbours share `overlap` of a tile's side."""

    rows: int = 1
    columns: int = 1
    overlap: float = 0.2

    @property
    def count(self) -> int:
        return self.rows * self.columns

    def tiles(self, width: int, height: int) -> list[TileBounds]:
        """The tiles of a picture, row by row; together they cover it."""
        across = _spans(width, self.columns, self.overlap)
        down = _spans(height, self.rows, self.overlap)
        return [(left, top, right, bottom) for top, bottom in down for left, right in across]


def parse_grid(text: str, overlap: float) -> Grid:
    """`2x1` -> two rows, one column."""
    match = re.fullmatch(r"\s*([0-9]{1,2})\s*[xX×]\s*([0-9]{1,2})\s*", text)
    rows, columns = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= rows * columns <= MAX_TILES:
        raise ParamError(f"tiles are rows x columns such as '1x2', at most {MAX_TILES} in all; got {text[:40]!r}")
    return Grid(rows, columns, overlap)


def _spans(length: int, count: int, overlap: float) -> list[tuple[int, int]]:
    """`count` equal spans that cover `length`, each sharing `overlap` of itself with the next."""
    if count == 1:
        return [(0, length)]
    side = min(length, ceil(length / (count - (count - 1) * overlap)))
    starts = [round(i * (length - side) / (count - 1)) for i in range(count)]
    return [(start, start + side) for start in starts]


def cut_sides(xyxy: Floats, tile: TileBounds, width: int, height: int) -> NDArray[np.bool_]:
    """(N, 4) whether each box touches its tile's left, top, right, bottom where the picture goes on beyond."""
    left, top, right, bottom = tile
    near_x, near_y = _EDGE * (right - left), _EDGE * (bottom - top)
    goes_on = np.array((left > 0, top > 0, right < width, bottom < height))
    touches = np.stack(
        [
            xyxy[:, 0] <= left + near_x,
            xyxy[:, 1] <= top + near_y,
            xyxy[:, 2] >= right - near_x,
            xyxy[:, 3] >= bottom - near_y,
        ],
        axis=1,
    )
    return np.asarray(touches & goes_on)


@dataclass(frozen=True)
class Parts:
    """N boxes of one picture with the tile each was seen in and where that tile cut it."""

    boxes: Candidates
    tile_of: Ints
    """(N,) number of the tile; -1 for a box made of two parts."""
    cut: NDArray[np.bool_]
    """(N, 4) left, top, right, bottom."""
    groups: Ints
    """(N,) boxes of different groups leave each other alone."""

    def chosen(self, rows: NDArray[Any]) -> Parts:
        return Parts(self.boxes.chosen(rows), self.tile_of[rows], self.cut[rows], self.groups[rows])

    @property
    def is_part(self) -> NDArray[np.bool_]:
        return np.asarray(self.cut.any(axis=1))


def joined(parts: Parts, *, iou: float) -> Candidates:
    """One set of boxes from those of all tiles, best first.

    Parts that a whole box of another tile covers go first; what remains on both sides of a seam becomes one box; then the usual
    suppression, in which whole boxes win over parts and better over worse.
    """
    parts = _sewn(_without_covered(parts))
    parts = _without_covered(parts)
    rows = nms(parts.boxes.xyxy, parts.boxes.scores - 2.0 * parts.is_part, iou=iou, groups=parts.groups)
    boxes = parts.boxes.chosen(rows)
    return boxes.chosen(np.argsort(-boxes.scores, kind="stable"))


def _without_covered(parts: Parts) -> Parts:
    """Without the parts of which whole boxes of other tiles, together, cover most."""
    shared = intersection_matrix(parts.boxes.xyxy, parts.boxes.xyxy)
    counts = parts.is_part[:, None] & ~parts.is_part[None, :]
    counts &= parts.tile_of[:, None] != parts.tile_of[None, :]
    counts &= parts.groups[:, None] == parts.groups[None, :]
    covered = np.where(counts, shared, 0.0).sum(axis=1) > _COVERED * box_areas(parts.boxes.xyxy)
    return parts.chosen(np.flatnonzero(~covered))


def _sewn(parts: Parts) -> Parts:
    """Pairs of parts on two sides of a seam become their union; each part is used once, the best aligned pairs first."""
    found = parts.boxes
    xyxy, scores, class_ids = found.xyxy.copy(), found.scores.copy(), found.class_ids.copy()
    tile_of, cut = parts.tile_of.copy(), parts.cut.copy()
    pairs: list[tuple[float, int, int, int]] = []
    for axis in (0, 1):
        low, high = axis, axis + 2  # columns of the near and the far side along this axis
        for i in np.flatnonzero(cut[:, high]).tolist():
            beyond = cut[:, low] & (tile_of != tile_of[i]) & (parts.groups == parts.groups[i])
            beyond &= (xyxy[:, low] <= xyxy[i, high]) & (xyxy[:, high] > xyxy[i, high]) & (xyxy[:, low] > xyxy[i, low])
            for k in np.flatnonzero(beyond).tolist():
                aligned = _interval_iou(xyxy[i], xyxy[k], 1 - axis)
                if aligned >= _ALIGNED:
                    pairs.append((-aligned, i, k, axis))
    used: set[int] = set()
    for _, i, k, axis in sorted(pairs):
        if i in used or k in used:
            continue
        used |= {i, k}
        best = i if scores[i] >= scores[k] else k
        xyxy[i] = (*np.minimum(xyxy[i, :2], xyxy[k, :2]), *np.maximum(xyxy[i, 2:], xyxy[k, 2:]))
        scores[i], class_ids[i] = scores[best], class_ids[best]
        both = cut[i] | cut[k]
        both[[axis, axis + 2]] = cut[i, axis], cut[k, axis + 2]
        cut[i], tile_of[i] = both, -1
        tile_of[k] = _GONE
    sewn = Parts(Candidates(xyxy, scores, class_ids), tile_of, cut, parts.groups)
    return sewn.chosen(np.flatnonzero(tile_of != _GONE))


def _interval_iou(a: Floats, b: Floats, axis: int) -> float:
    shared = min(a[axis + 2], b[axis + 2]) - max(a[axis], b[axis])
    total = max(a[axis + 2], b[axis + 2]) - min(a[axis], b[axis])
    return float(shared / total) if total > 0 else 0.0
