"""Which pixels belong to an object, and how COCO writes them down.

A mask is kept as the network gave it, on its own grid, together with where that grid lies; it becomes pixels of the upright source
frame only when it is written, in one step. The compressed run lengths are those of COCO's `maskApi.c`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Affine, Floats, Frame, Ints

MaskBits = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class InstanceMask:
    """The pixels of one object, in the coordinates of a picture."""

    values: NDArray[np.float32]
    """(h, w) cells; at least 0.5 means that the cell belongs to the object. Between their middles values are interpolated."""
    place: Affine
    """From the grid of cells to the picture's pixels."""
    source_size: tuple[int, int]
    """Width and height of the upright source frame."""
    limits: Floats
    """Left, top, right, bottom of what can belong to the object, in the picture's pixels."""

    @classmethod
    def on(cls, frame: Frame, values: NDArray[Any], place: Affine, limits: Floats | None = None) -> InstanceMask:
        """A mask in the pixels of `frame`."""
        inside = np.array((0, 0, frame.width, frame.height), np.float64)
        if limits is not None:
            inside = np.concatenate([np.maximum(inside[:2], limits[:2]), np.minimum(inside[2:], limits[2:])])
        return cls(np.asarray(values, np.float32), place, frame.source_size, inside)

    def mapped(self, transform: Affine) -> InstanceMask:
        return replace(self, place=self.place.then(transform), limits=transform.boxes(self.limits))

    def window(self) -> tuple[MaskBits, int, int]:
        """The part of the source frame that can hold the object, and its left and top; the mask is in source coordinates by then."""
        height, width = self.values.shape
        covered = self.place.boxes((0, 0, width, height))
        low = np.maximum(np.maximum(covered[:2], self.limits[:2]), 0)
        high = np.minimum(np.minimum(covered[2:], self.limits[2:]), self.source_size)
        left, top, right, bottom = (ceil(v - 0.5) for v in (*low, *high))  # pixels whose middle is inside
        if left >= right or top >= bottom:
            return np.zeros((0, 0), np.bool_), 0, 0
        back = self.place.inverse()
        x = (np.arange(left, right) + 0.5) * back.scale_x + back.offset_x - 0.5
        y = (np.arange(top, bottom) + 0.5) * back.scale_y + back.offset_y - 0.5
        return _sampled(self.values, x, y) >= 0.5, left, top

    def pixels(self) -> MaskBits:
        """(height, width) of the upright source frame."""
        bits, left, top = self.window()
        whole = np.zeros(self.source_size[::-1], np.bool_)
        whole[top : top + bits.shape[0], left : left + bits.shape[1]] = bits
        return whole

    def to_json(self) -> dict[str, Any]:
        """COCO's compressed run lengths: `size` (height, width) and `counts`."""
        bits, left, top = self.window()
        width, height = self.source_size
        return {"size": [height, width], "counts": packed_counts(_runs(bits, left, top, width, height))}


def _sampled(values: NDArray[np.float32], x: Floats, y: Floats) -> Floats:
    """Values between cells, linearly; beyond the outer ones they stay."""
    height, width = values.shape
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    share_x, share_y = x - left, (y - top)[:, None]
    table = values.astype(np.float64)
    across = table[:, left] * (1 - share_x) + table[:, right] * share_x
    return np.asarray(across[top] * (1 - share_y) + across[bottom] * share_y)


def _runs(bits: MaskBits, left: int, top: int, width: int, height: int) -> list[int]:
    """Lengths of runs down the columns of a whole picture, of pixels outside and inside in turn; the first is outside."""
    columns = np.zeros((bits.shape[1], bits.shape[0] + 2), np.int8)
    columns[:, 1:-1] = bits.T
    column, row = np.nonzero(np.diff(columns, axis=1))
    edges = (column + left) * height + row + top
    touching = np.flatnonzero(edges[1:] == edges[:-1])  # a run that goes on at the top of the next column
    edges = np.delete(edges, np.concatenate([touching, touching + 1]))
    lengths = np.diff(np.concatenate([[0], edges, [width * height]])).tolist()
    return [int(n) for n in (lengths[:-1] if len(lengths) > 1 and lengths[-1] == 0 else lengths)]


def packed_counts(lengths: list[int]) -> str:
    """Run lengths as COCO's text: from the fourth on as differences to the one before last, five bits to a character."""
    packed = []
    for place, length in enumerate(lengths):
        number = length - lengths[place - 2] if place > 2 else length
        more = True
        while more:
            part, number = number & 31, number >> 5
            more = number != (-1 if part & 16 else 0)
            packed.append(chr(48 + (part | 32 if more else part)))
    return "".join(packed)


def read_counts(text: str) -> list[int]:
    """COCO's text as run lengths. Raises `ValueError` for what is none."""
    lengths: list[int] = []
    number = shift = 0
    for character in text:
        part = ord(character) - 48
        if not 0 <= part < 64 or shift > 40:
            raise ValueError("not run lengths as text")
        number |= (part & 31) << shift
        shift += 5
        if part & 32:
            continue
        if part & 16:
            number -= 1 << shift
        lengths.append(number + lengths[-2] if len(lengths) > 2 else number)
        if lengths[-1] < 0:
            raise ValueError("a run of negative length")
        number = shift = 0
    if shift:
        raise ValueError("the run lengths end within a number")
    return lengths


def is_mask(value: object) -> bool:
    """Whether a value read from a line is a mask in COCO's compressed form."""
    return isinstance(value, Mapping) and value.keys() == {"size", "counts"} and isinstance(value["counts"], str)


def mask_edges(mask: Mapping[str, Any]) -> Ints:
    """Places, down the columns, at which a mask read from a line begins and ends in turn. Raises `ValueError` for what is none."""
    height, width = mask["size"]
    edges = np.cumsum(read_counts(mask["counts"]))
    if not len(edges) or edges[-1] != height * width:
        raise ValueError("run lengths that do not add up to the picture's size")
    return edges[: 2 * (len(edges) // 2)].astype(np.int64)


def mask_area(mask: Mapping[str, Any]) -> int:
    """The number of pixels that belong to the object."""
    edges = mask_edges(mask)
    return int((edges[1::2] - edges[::2]).sum())


def mask_iou(before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """Intersection over union of two masks read from lines; 1 where both are empty, 0 where their sizes differ."""
    if list(before["size"]) != list(after["size"]):
        return 0.0
    first, second = mask_edges(before), mask_edges(after)
    places = np.unique(np.concatenate([first, second, np.zeros(1, np.int64)]))
    inside = [np.searchsorted(edges, places, side="right") % 2 == 1 for edges in (first, second)]
    lengths = np.diff(np.concatenate([places, places[-1:]]))
    union = int(lengths[inside[0] | inside[1]].sum())
    return 1.0 if not union else int(lengths[inside[0] & inside[1]].sum()) / union
