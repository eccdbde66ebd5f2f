"""From frame to frame: smaller, cut out, or partly hidden. What later tools find is mapped back to the source frame.

Coordinates in params are pixels of the frame the tool gets; where all of them lie between 0 and 1 they are fractions of its width and
height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import AfterValidator, Field

from videodag_cli.data import Floats, Frame, Image
from videodag_cli.errors import ParamError, printable
from videodag_cli.tool import tool

MAX_SIDE = 16384

Coordinate = Annotated[float, Field(ge=0, le=MAX_SIDE, allow_inf_nan=False)]
Side = Annotated[int | None, Field(ge=1, le=MAX_SIDE)]


class Region(NamedTuple):
    """A rectangle from (x1, y1) up to, not including, (x2, y2)."""

    x1: Coordinate
    y1: Coordinate
    x2: Coordinate
    y2: Coordinate


class Point(NamedTuple):
    x: Coordinate
    y: Coordinate


def _check_region(region: Region) -> Region:
    if region.x1 >= region.x2 or region.y1 >= region.y2:
        raise ValueError("a region is [x1, y1, x2, y2] with x1 < x2 and y1 < y2")
    return region


def _check_polygon(polygon: tuple[Point, ...]) -> tuple[Point, ...]:
    x, y = np.array(polygon).T
    area = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    if area == 0:
        raise ValueError("a polygon needs an area, its points lie on one line")
    return polygon


Polygon = Annotated[tuple[Point, ...], Field(min_length=3, max_length=1000), AfterValidator(_check_polygon)]


@tool(version=1, stateless=True)
class Resize:
    """The frame at another size. One of width and height keeps the aspect, both give exactly that size; max_side only shrinks."""

    def __init__(
        self,
        *,
        width: Annotated[Side, Field(description="new width in pixels")] = None,
        height: Annotated[Side, Field(description="new height in pixels")] = None,
        max_side: Annotated[Side, Field(description="shrink until no side is longer than this, in pixels")] = None,
    ) -> None:
        if (max_side is None) == (width is None and height is None):
            raise ParamError("image.resize needs width and/or height, or else max_side")
        self._width, self._height, self._max_side = width, height, max_side

    def __call__(self, frame: Frame) -> Frame:
        if self._max_side is not None:
            return frame.scaled(self._max_side)
        width = self._width or max(1, round(frame.width * (self._height or 1) / frame.height))
        height = self._height or max(1, round(frame.height * width / frame.width))
        if max(width, height) > MAX_SIDE:
            raise ValueError(
                f"a {frame.width}x{frame.height} frame would become {width}x{height}; {MAX_SIDE} is the limit"
            )
        if (width, height) == (frame.width, frame.height):
            return frame
        return frame.view(("resized", width, height), lambda: frame.resized(width, height))


@tool(version=1)
def crop(
    frame: Frame,
    *,
    region: Annotated[
        Region,
        AfterValidator(_check_region),
        Field(description="[x1, y1, x2, y2] in pixels, or as fractions of the frame"),
    ],
) -> Frame:
    """A rectangle of the frame; a region that reaches beyond the frame is an error."""
    (x1, y1), (x2, y2) = _in_pixels((region[:2], region[2:]), frame)
    left, top, right, bottom = round(x1), round(y1), round(x2), round(y2)
    if right > frame.width or bottom > frame.height:
        raise ValueError(f"region {_shown(region)} reaches beyond the {frame.width}x{frame.height} frame")
    if left >= right or top >= bottom:
        raise ValueError(f"region {_shown(region)} covers no pixel of the {frame.width}x{frame.height} frame")
    return frame.cropped(left, top, right, bottom)


@tool(version=1, stateless=True)
class Mask:
    """The frame with polygons blacked out, or with everything else blacked out. A pixel belongs to a polygon that holds its centre."""

    def __init__(
        self,
        *,
        polygons: Annotated[
            tuple[Polygon, ...],
            Field(
                min_length=1,
                max_length=1000,
                description="[[[x, y], ...], ...] in pixels, or as fractions of the frame",
            ),
        ],
        keep: Annotated[
            bool, Field(description="keep what is inside and hide the rest, instead of hiding the inside")
        ] = False,
    ) -> None:
        self._polygons = polygons
        self._keep = keep
        self._visible: Image | None = None

    def __call__(self, frame: Frame) -> Frame:
        import cv2

        if self._visible is None or self._visible.shape != frame.image.shape[:2]:
            self._visible = self._draw(frame)
        return frame.derived(np.asarray(cv2.bitwise_and(frame.image, frame.image, mask=self._visible), np.uint8))

    def _draw(self, frame: Frame) -> Image:
        inside = np.zeros(frame.image.shape[:2], np.uint8)
        for polygon in self._polygons:
            points = np.array(_in_pixels(polygon, frame))
            if np.any(points > (frame.width, frame.height)):
                raise ValueError(f"polygon {_shown(polygon)} reaches beyond the {frame.width}x{frame.height} frame")
            inside |= _filled(points, (frame.height, frame.width))
        return inside if self._keep else np.asarray(~inside, np.uint8)


def _filled(points: Floats, shape: tuple[int, int]) -> Image:
    """255 where a pixel's centre lies in the polygon, by the even-odd rule; unlike OpenCV's filling it does not add the outline."""
    height, width = shape
    crossings = np.zeros((height, width + 1), np.uint8)
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
        rows = np.arange(math.ceil(min(y1, y2) - 0.5), math.ceil(max(y1, y2) - 0.5))
        if rows.size:
            x = x1 + (rows + 0.5 - y1) * (x2 - x1) / (y2 - y1)
            crossings[rows, np.ceil(np.clip(x, 0, width) - 0.5).astype(np.int64)] ^= 1
    return np.asarray(np.bitwise_xor.accumulate(crossings[:, :width], axis=1) * 255, np.uint8)


def _in_pixels(points: Sequence[Sequence[float]], frame: Frame) -> list[tuple[float, float]]:
    """Fractions, known by all coordinates lying between 0 and 1, become pixels."""
    are_fractions = all(value <= 1 for point in points for value in point)
    scale_x, scale_y = (frame.width, frame.height) if are_fractions else (1, 1)
    return [(x * scale_x, y * scale_y) for x, y in points]


def _shown(coordinates: Sequence[object]) -> str:
    values = [list(c) if isinstance(c, tuple) else c for c in coordinates]
    return printable(values, limit=120)
