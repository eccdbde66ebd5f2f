"""Zones and lines as users write them, inline or in a JSON file, and as pixels of the upright picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError

from videodag_cli.data import Detections, Floats, VideoInfo
from videodag_cli.errors import ParamError, printable
from videodag_cli.vision.polygons import polygon_problem

MAX_FILE_BYTES = 10_000_000
Units = Literal["pixel", "fraction"]
"""Pixels of the upright picture, or shares of its width and height."""
Anchor = Literal[
    "top_left",
    "top_center",
    "top_right",
    "center_left",
    "center",
    "center_right",
    "bottom_left",
    "bottom_center",
    "bottom_right",
]
_ACROSS = {"left": 0.0, "center": 0.5, "right": 1.0}
_DOWN = {"top": 0.0, "center": 0.5, "bottom": 1.0}
_Coordinate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Point = tuple[_Coordinate, _Coordinate]
_Name = Annotated[str, Field(min_length=1, max_length=200)]


class Zone(BaseModel):
    """`{"name": "door", "polygon": [[0.1, 0.2], [0.5, 0.2], [0.5, 0.9]]}`; a repeated last corner is dropped."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    name: _Name
    polygon: Annotated[tuple[_Point, ...], AfterValidator(lambda corners: _simple(corners))]


class Line(BaseModel):
    """`{"name": "gate", "start": [0.5, 1.0], "end": [0.5, 0.0]}`."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    name: _Name
    start: _Point
    end: Annotated[_Point, Field(description="the way from start to end gives the line its left and right")]


def _simple(corners: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    if len(corners) > 3 and corners[0] == corners[-1]:
        corners = corners[:-1]
    problem = polygon_problem(np.array(corners, np.float64).reshape(-1, 2))
    if problem:
        raise ValueError(problem)
    return corners


def _distinct(shapes: list[Any]) -> list[Any]:
    names = [shape.name for shape in shapes]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"duplicate name {printable(name, limit=80)!r}")
    for shape in shapes:
        if isinstance(shape, Line) and shape.start == shape.end:
            raise ValueError(f"line {printable(shape.name, limit=80)!r} starts where it ends")
    return shapes


def _form(value: Any) -> str:
    """Which of the two forms a parameter has; text that is JSON is not taken for a file name."""
    is_text = isinstance(value, str | Path)
    return "file" if is_text and not str(value).lstrip().startswith(("[", "{")) else "list"


_ZoneList = Annotated[list[Zone], Field(min_length=1), AfterValidator(_distinct)]
_LineList = Annotated[list[Line], Field(min_length=1), AfterValidator(_distinct)]
_ZoneFile = Annotated[Path, AfterValidator(lambda path: _checked(path, _ZoneList))]
_LineFile = Annotated[Path, AfterValidator(lambda path: _checked(path, _LineList))]
Zones = Annotated[Annotated[_ZoneList, Tag("list")] | Annotated[_ZoneFile, Tag("file")], Discriminator(_form)]
"""Zones with names of their own, or a JSON file of such; either is checked when the parameter is."""
Lines = Annotated[Annotated[_LineList, Tag("list")] | Annotated[_LineFile, Tag("file")], Discriminator(_form)]
"""Lines with names of their own, or a JSON file of such; either is checked when the parameter is."""


def _checked(path: Path, kind: Any) -> Path:
    """The path, once its content is known to be good."""
    try:
        read_regions(path, kind)
    except ParamError as error:
        raise ValueError(error.message) from error
    return path


def read_regions(path: Path, kind: Any) -> list[Any]:
    """The zones or lines in a JSON file, which holds what the parameter would."""
    shown = printable(path)
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ParamError(f"{shown} cannot be read: {error.strerror}", word="param.file") from error
    if len(content) > MAX_FILE_BYTES:
        raise ParamError(f"{shown} is larger than {MAX_FILE_BYTES} bytes", word="param.file")
    adapter: TypeAdapter[list[Any]] = TypeAdapter(kind)
    try:
        return adapter.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ParamError(f"{shown}: {place + ': ' if place else ''}{printable(message)}", word="param.file") from error


@dataclass(frozen=True, slots=True)
class Region:
    """A named polygon in pixels."""

    name: str
    polygon: Floats


@dataclass(frozen=True, slots=True)
class Gate:
    """A named line from `start` to `end`, in pixels."""

    name: str
    start: Floats
    end: Floats


S = TypeVar("S")


def regions_in_pixels(zones: list[Zone] | Path, units: Units, video: VideoInfo) -> list[Region]:
    """Zones in pixels of the picture; `ParamError` where one does not fit in."""
    given = read_regions(zones, _ZoneList) if isinstance(zones, Path) else zones
    return [Region(zone.name, _pixels("zone", zone.name, zone.polygon, units, video)) for zone in given]


def gates_in_pixels(lines: list[Line] | Path, units: Units, video: VideoInfo) -> list[Gate]:
    """Lines in pixels of the picture; `ParamError` where one does not fit in."""
    given = read_regions(lines, _LineList) if isinstance(lines, Path) else lines
    ends = [(line.name, _pixels("line", line.name, (line.start, line.end), units, video)) for line in given]
    return [Gate(name, points[0], points[1]) for name, points in ends]


def _pixels(what: str, name: str, points: Sequence[tuple[float, float]], units: Units, video: VideoInfo) -> Floats:
    given = np.array(points, np.float64)
    where = f"{what} {printable(name, limit=80)!r}"
    size = np.array((video.width, video.height), np.float64)
    limit = np.ones(2) if units == "fraction" else size
    outside = given[np.any(given > limit, axis=1)]
    if len(outside):
        hint = "; with units=pixel, numbers are pixels" if units == "fraction" else ""
        room = "0 to 1" if units == "fraction" else f"{video.width}x{video.height}"
        raise ParamError(
            f"{where}: the point ({outside[0][0]:g}, {outside[0][1]:g}) is outside the picture, {room}{hint}"
        )
    if units == "pixel" and given.max() <= 1:
        raise ParamError(
            f"{where}: it lies entirely within one pixel; with units=fraction, numbers are fractions of the picture"
        )
    pixels: Floats = given * size if units == "fraction" else given
    return pixels


def anchor_points(detections: Detections, anchor: Anchor, video: VideoInfo) -> Floats:
    """(N, 2) the anchor points of the boxes, moved into the picture where a box reaches out of it."""
    down, _, across = anchor.partition("_")
    share = np.array((_ACROSS[across or "center"], _DOWN[down]))
    low, high = detections.xyxy[:, :2], detections.xyxy[:, 2:]
    points: Floats = np.clip(low + (high - low) * share, 0.0, (video.width, video.height))
    return points
