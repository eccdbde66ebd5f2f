"""From frame to frame: smaller, cut out, or partly hidden. What later tools find is mapped back to the source frame.

Regions and zones are given in pixels or fractions of the upright source picture, also behind a resize or another crop.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import AfterValidator, Field

from videodag_cli.data import Affine, Floats, Frame, Image, Ints, VideoInfo
from videodag_cli.errors import ParamError
from videodag_cli.tools.params import NotNegative
from videodag_cli.tools.place_params import UnitsParam
from videodag_cli.toolspec import tool
from videodag_cli.vision.regions import Zones, regions_in_pixels

MAX_SIDE = 16384

Side = Annotated[int | None, Field(ge=1, le=MAX_SIDE)]


class Rectangle(NamedTuple):
    x1: NotNegative
    y1: NotNegative
    x2: NotNegative
    y2: NotNegative


def _checked(region: Rectangle) -> Rectangle:
    if region.x1 >= region.x2 or region.y1 >= region.y2:
        raise ValueError("a region is [x1, y1, x2, y2] with x1 < x2 and y1 < y2")
    return region


@tool(version=1, stateless=True)
class Resize:
    """The frame at another size.

    One of width and height keeps the aspect, both give exactly that size, max_side only shrinks.
    """

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
                f"a {frame.width}x{frame.height} frame would become {width}x{height}, the limit is {MAX_SIDE}"
            )
        if (width, height) == (frame.width, frame.height):
            return frame
        return frame.view(("resized", width, height), lambda: frame.resized(width, height))


@tool(version=1, stateless=True)
class Crop:
    """A rectangle of the frame, to whole pixels; shares the frame's memory."""

    def __init__(
        self,
        video: VideoInfo,
        *,
        region: Annotated[
            Rectangle,
            AfterValidator(_checked),
            Field(
                description="left, top, right and bottom as [x1, y1, x2, y2]; the right and bottom edges are not part of it"
            ),
        ],
        units: UnitsParam = "pixel",
    ) -> None:
        corners = np.array(region).reshape(2, 2)
        size = (video.width, video.height)
        if np.any(corners > (1 if units == "fraction" else size)):
            room = "0 to 1" if units == "fraction" else f"{video.width}x{video.height}"
            shown = ", ".join(f"{value:g}" for value in region)
            raise ParamError(f"the region [{shown}] extends beyond the picture, {room}")
        if units == "pixel" and corners.max() <= 1:
            raise ParamError("the region is one pixel; with units=fraction, numbers are fractions of the picture")
        self._corners: Floats = corners * size if units == "fraction" else corners

    def __call__(self, frame: Frame) -> Frame:
        corners = _rounded(frame.to_source.inverse().points(self._corners))
        (left, top), (right, bottom) = np.clip(corners, 0, (frame.width, frame.height)).tolist()
        if left >= right or top >= bottom:
            raise ValueError(f"the region covers no pixel of this {frame.width}x{frame.height} frame")
        return frame.cropped(left, top, right, bottom)


@tool(version=1, stateless=True)
class Mask:
    """The frame with zones blacked out, or with everything else blacked out. A pixel belongs to a zone that holds its centre."""

    def __init__(
        self,
        video: VideoInfo,
        *,
        zones: Annotated[
            Zones, Field(description='[{"name": "clock", "polygon": [[x, y], ...]}, ...], or a JSON file of that')
        ],
        units: UnitsParam = "pixel",
        keep: Annotated[bool, Field(description="keep what is inside the zones and hide the rest")] = False,
    ) -> None:
        self._polygons = [region.polygon for region in regions_in_pixels(zones, units, video)]
        self._keep = keep
        self._drawn: tuple[tuple[int, int, Affine], Image] | None = None

    def __call__(self, frame: Frame) -> Frame:
        import cv2

        place = (frame.width, frame.height, frame.to_source)
        if self._drawn is None or self._drawn[0] != place:
            self._drawn = (place, self._visible(frame))
        return frame.derived(np.asarray(cv2.bitwise_and(frame.image, frame.image, mask=self._drawn[1]), np.uint8))

    def _visible(self, frame: Frame) -> Image:
        to_frame = frame.to_source.inverse()
        inside = np.zeros((frame.height, frame.width), np.uint8)
        for polygon in self._polygons:
            inside |= _filled(to_frame.points(polygon), frame.height, frame.width)
        return inside if self._keep else np.asarray(~inside, np.uint8)


def _filled(points: Floats, height: int, width: int) -> Image:
    """255 where a pixel's centre lies in the polygon, by the even-odd rule; OpenCV's filling would add the outline."""
    crossings = np.zeros((height, width + 1), np.uint8)
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
        first, end = math.ceil(min(y1, y2) - 0.5), math.ceil(max(y1, y2) - 0.5)
        rows = np.arange(max(0, first), min(height, end))
        if rows.size:
            x = x1 + (rows + 0.5 - y1) * (x2 - x1) / (y2 - y1)
            crossings[rows, np.ceil(np.clip(x, 0, width) - 0.5).astype(np.int64)] ^= 1
    return np.asarray(np.bitwise_xor.accumulate(crossings[:, :width], axis=1) * 255, np.uint8)


def _rounded(points: Floats) -> Ints:
    """To whole pixels, halves up, so that regions that touch keep touching."""
    return np.floor(points + 0.5 + 1e-9).astype(np.int64)
