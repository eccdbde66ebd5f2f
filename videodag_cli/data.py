"""The values that travel between tools: frames, detections, tracks, and their geometry.

Coordinates are pixels, x to the right and y down, measured from the top left corner of the picture a value belongs to; a pixel's
area is the unit square from its index to its index + 1. Everything here is immutable: arrays are read-only, because branches of a
pipeline share them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any, NewType, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Affine:
    """An axis-aligned affine map of the plane: `x * scale_x + offset_x`, `y * scale_y + offset_y`."""

    scale_x: float = 1.0
    scale_y: float = 1.0
    offset_x: float = 0.0
    offset_y: float = 0.0

    @property
    def is_identity(self) -> bool:
        return self is IDENTITY or self == IDENTITY

    def inverse(self) -> Affine:
        return Affine(1 / self.scale_x, 1 / self.scale_y, -self.offset_x / self.scale_x, -self.offset_y / self.scale_y)

    def then(self, outer: Affine) -> Affine:
        """The map that applies this one first and `outer` to its result."""
        return Affine(
            self.scale_x * outer.scale_x,
            self.scale_y * outer.scale_y,
            self.offset_x * outer.scale_x + outer.offset_x,
            self.offset_y * outer.scale_y + outer.offset_y,
        )

    def points(self, xy: ArrayLike) -> Floats:
        """Map points; `xy` is (..., 2)."""
        scale: Floats = np.array((self.scale_x, self.scale_y))
        return np.asarray(np.asarray(xy, np.float64) * scale + np.array((self.offset_x, self.offset_y)))

    def boxes(self, xyxy: ArrayLike) -> Floats:
        """Map boxes; `xyxy` is (..., 4)."""
        scale: Floats = np.array((self.scale_x, self.scale_y) * 2)
        return np.asarray(np.asarray(xyxy, np.float64) * scale + np.array((self.offset_x, self.offset_y) * 2))

    @property
    def area_scale(self) -> float:
        return abs(self.scale_x * self.scale_y)


IDENTITY = Affine()


@runtime_checkable
class Geometric(Protocol):
    """A value with coordinates: the engine maps it into the frame of the tool that reads it, and out again."""

    def mapped(self, transform: Affine) -> Self: ...


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Facts about the video, given to a tool's `__init__(self, video, ...)`."""

    width: int
    """Width of the upright picture in pixels."""
    height: int
    """Height of the upright picture in pixels."""
    frame_rate: Fraction | None = None
    """Average frames per second, exact; None when the container says nothing usable."""
    frame_count: int = 0
    """Presented frames in the packet index, before sampling."""
    sampled_count: int = 0
    """Frames this run is going to hand out (those that can be decoded)."""
    duration_s: float = 0.0
    """From the first frame's time to the end of the last frame."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Frame:
    """One picture, upright, HxWx3 uint8 BGR, read-only and shared by all branches.

    `gray`, `scaled()` and everything made through `view()` is computed once per frame and kept with it.
    """

    image: Image
    index: int = 0
    """Rank of the presentation time in the video, 0-based, before sampling."""
    time_s: float = 0.0
    """Presentation time in seconds."""
    to_source: Affine = IDENTITY
    """Maps this picture's pixels to the upright source frame's."""
    source_size: tuple[int, int] = (0, 0)
    """Width and height of the upright source frame; this picture's own where nothing else is said."""
    _views: dict[object, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Frame({self.width}x{self.height}, index={self.index}, time_s={self.time_s})"

    def __post_init__(self) -> None:
        image = self.image
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"a frame's image is HxWx3 uint8 BGR and not empty, got {image.dtype} {image.shape}")
        if image.flags.writeable:
            image = image.view()
            image.flags.writeable = False
            object.__setattr__(self, "image", image)
        if self.source_size == (0, 0):
            object.__setattr__(self, "source_size", (self.width, self.height))

    @classmethod
    def from_image(cls, image: Image, *, index: int = 0, time_s: float = 0.0) -> Frame:
        """A frame around a BGR picture, for trying a tool by calling it."""
        return cls(image, index, time_s)

    @property
    def width(self) -> int:
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        return int(self.image.shape[0])

    def view(self, key: object, make: Callable[[], V]) -> V:
        """The value of `make()`, computed once per frame and key. Arrays are made read-only."""
        try:
            return self._views[key]  # type: ignore[no-any-return]
        except KeyError:
            value = make()
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            return self._views.setdefault(key, value)  # type: ignore[no-any-return]

    @property
    def gray(self) -> Image:
        """HxW uint8 luma (`cv2.COLOR_BGR2GRAY`)."""
        import cv2

        return self.view("gray", lambda: _uint8(cv2.cvtColor(self.image, cv2.COLOR_BGR2GRAY)))

    def scaled(self, max_side: int) -> Frame:
        """This frame shrunk by area averaging so that its longer side is at most `max_side`; itself if it fits."""
        longer = max(self.width, self.height)
        if longer <= max_side:
            return self
        width = max(1, round(self.width * max_side / longer))
        height = max(1, round(self.height * max_side / longer))
        return self.view(("scaled", width, height), lambda: self.resized(width, height))

    def resized(self, width: int, height: int) -> Frame:
        """This frame at another size: area averaging to shrink, linear to enlarge."""
        import cv2

        shrinks = width * height < self.width * self.height
        image = cv2.resize(self.image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return self.derived(_uint8(image), Affine(self.width / width, self.height / height))

    def cropped(self, x1: int, y1: int, x2: int, y2: int) -> Frame:
        """The part from (x1, y1) up to, not including, (x2, y2); shares the pixels."""
        return self.derived(self.image[y1:y2, x1:x2], Affine(offset_x=x1, offset_y=y1))

    def derived(self, image: Image, to_this: Affine = IDENTITY) -> Frame:
        """A frame of the same moment with another picture; `to_this` maps its pixels to this frame's."""
        return Frame(image, self.index, self.time_s, to_this.then(self.to_source), self.source_size)

    def unseen(self) -> Frame:
        """This frame without its picture."""
        return Unseen((self.width, self.height), self.index, self.time_s, self.to_source, self.source_size)


class Unseen(Frame):
    """A frame without its picture: its moment, its size and its place."""

    __slots__ = ("_size",)
    _size: tuple[int, int]

    def __init__(
        self,
        size: tuple[int, int],
        index: int,
        time_s: float,
        to_source: Affine = IDENTITY,
        source_size: tuple[int, int] | None = None,
    ) -> None:
        """size: width and height in pixels."""
        put = object.__setattr__
        put(self, "_size", size)
        put(self, "index", index)
        put(self, "time_s", time_s)
        put(self, "to_source", to_source)
        put(self, "source_size", source_size or size)
        put(self, "_views", {})

    @property
    def image(self) -> Image:
        raise RuntimeError("this frame has no picture, because its tool says pixels=False")

    @property
    def width(self) -> int:
        return self._size[0]

    @property
    def height(self) -> int:
        return self._size[1]

    def unseen(self) -> Frame:
        return self


def _uint8(image: Any) -> Image:
    """OpenCV's result as the array type used here (its stubs say less than they could)."""
    return np.asarray(image, np.uint8)


def _frozen(values: ArrayLike, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    array = np.array(values, dtype=dtype).reshape(shape)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Points:
    """Points of one row, such as the corners of a turned box: a value for a further column of `Detections`."""

    xy: Floats
    """(K, 2) in pixels."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "xy", _frozen(self.xy, np.float64, (-1, 2)))

    def mapped(self, transform: Affine) -> Points:
        return Points(transform.points(self.xy))

    def to_json(self) -> list[list[float]]:
        rows: list[list[float]] = self.xy.tolist()
        return rows


@dataclass(frozen=True, eq=False)
class Detections:
    """N boxes found in one frame: arrays in memory, rows in JSON. Field names follow supervision."""

    xyxy: Floats
    """(N, 4) left, top, right, bottom in pixels."""
    confidence: Floats | None = None
    """(N,) in [0, 1], or None where the method has no such notion."""
    class_id: Ints | None = None
    """(N,), or None when there are no classes."""
    class_name: tuple[str, ...] | None = None
    """N names."""
    keypoints: Floats | None = None
    """(N, K, 2) points in pixels; NaN throughout in a row whose points are unknown, null in JSON."""
    area: Floats | None = None
    """(N,) area in pixels where it is not the box's."""
    data: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Further columns: name -> N plain values, or values with a geometry (`mapped()`). They appear in each row under their name."""
    visibility: Floats | None = None
    """(N, K) how likely each key point is to be seen, in [0, 1]; a third number of each point in JSON."""

    def __post_init__(self) -> None:
        count = np.asarray(self.xyxy).size // 4
        put = object.__setattr__
        put(self, "xyxy", _frozen(self.xyxy, np.float64, (count, 4)))
        if self.confidence is not None:
            put(self, "confidence", _frozen(self.confidence, np.float64, (count,)))
        if self.class_id is not None:
            put(self, "class_id", _frozen(self.class_id, np.int64, (count,)))
        if self.keypoints is not None:
            per_box = np.asarray(self.keypoints).size // (2 * count) if count else 0
            put(self, "keypoints", _frozen(self.keypoints, np.float64, (count, per_box, 2)))
        if self.visibility is not None:
            if self.keypoints is None:
                raise ValueError("visibility needs key points")
            put(self, "visibility", _frozen(self.visibility, np.float64, self.keypoints.shape[:2]))
        if self.area is not None:
            put(self, "area", _frozen(self.area, np.float64, (count,)))
        if self.class_name is not None:
            put(self, "class_name", tuple(self.class_name))
            if len(self.class_name) != count:
                raise ValueError(f"{count} boxes but {len(self.class_name)} class names")
        put(self, "data", {name: tuple(column) for name, column in self.data.items()})
        for name, column in self.data.items():
            if len(column) != count:
                raise ValueError(f"{count} boxes but {len(column)} values of {name!r}")

    @classmethod
    def empty(cls) -> Self:
        return cls(xyxy=np.empty((0, 4)))

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, rows: ArrayLike | slice) -> Self:
        """The rows chosen by a mask, indices or a slice, as a value of the same type."""
        index = rows if isinstance(rows, slice) else np.atleast_1d(np.asarray(rows))
        if not isinstance(index, slice) and index.size == 0:
            index = index.astype(np.int64)
        chosen = np.arange(len(self))[index]
        changes: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                changes[item.name] = value[chosen]
            elif isinstance(value, tuple):
                changes[item.name] = tuple(value[i] for i in chosen)
        changes["data"] = {name: tuple(column[i] for i in chosen) for name, column in self.data.items()}
        return replace(self, **changes)

    def mapped(self, transform: Affine) -> Self:
        """The same boxes in another picture's coordinates."""
        if transform.is_identity:
            return self
        return replace(
            self,
            xyxy=transform.boxes(self.xyxy),
            keypoints=None if self.keypoints is None else transform.points(self.keypoints),
            area=None if self.area is None else self.area * transform.area_scale,
            data={name: tuple(_mapped(v, transform) for v in column) for name, column in self.data.items()},
        )

    @property
    def box_area(self) -> Floats:
        """(N,) area of the boxes in square pixels."""
        sides = np.maximum(self.xyxy[:, 2:] - self.xyxy[:, :2], 0)
        return np.asarray(sides[:, 0] * sides[:, 1])

    def rows(self) -> list[dict[str, Any]]:
        """One plain mapping per box, in the order of the arrays; values are not rounded yet."""
        columns: dict[str, Sequence[Any]] = {"xyxy": self.xyxy.tolist()}
        if self.confidence is not None:
            columns["confidence"] = self.confidence.tolist()
        if self.class_id is not None:
            columns["class_id"] = self.class_id.tolist()
        if self.class_name is not None:
            columns["class_name"] = self.class_name
        columns.update(self._own_columns())
        if self.keypoints is not None:
            columns[self.keypoints_name] = self._points()
        if self.area is not None:
            columns["area"] = self.area.tolist()
        columns.update(self.data)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    @property
    def keypoints_name(self) -> str:
        """What the key points are called in a row."""
        return "keypoints"

    def _points(self) -> list[list[list[float]] | None]:
        """The key points of each row as `[x, y]` or `[x, y, visibility]`; None where they are unknown."""
        assert self.keypoints is not None
        unknown = np.isnan(self.keypoints).all(axis=(1, 2)) & (self.keypoints.shape[1] > 0)
        points = self.keypoints
        if self.visibility is not None:
            points = np.concatenate([points, self.visibility[..., None]], axis=2)
        return [None if gone else row for gone, row in zip(unknown.tolist(), points.tolist(), strict=True)]

    def _own_columns(self) -> dict[str, Sequence[Any]]:
        """Columns that a subclass adds after the class name."""
        return {}


@dataclass(frozen=True, eq=False)
class Tracks(Detections):
    """Detections that carry an identity through the video; ids start at 1 in each video."""

    tracker_id: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    """(N,) identity of each box."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "tracker_id", _frozen(self.tracker_id, np.int64, (len(self),)))

    def _own_columns(self) -> dict[str, Sequence[Any]]:
        return {"tracker_id": self.tracker_id.tolist()}


@dataclass(frozen=True, eq=False)
class Codes(Detections):
    """QR and bar codes: `data` holds `text` and `format`; `keypoints` are the four corners."""

    @property
    def keypoints_name(self) -> str:
        return "corners"


@dataclass(frozen=True, eq=False)
class TextLines(Detections):
    """Lines of text: `data` holds `text` and, when read inside boxes, `detection` (row of the box); `keypoints` are the corners."""

    @property
    def keypoints_name(self) -> str:
        return "corners"


Faces = NewType("Faces", Detections)
"""Detections of faces, with key points."""

Poses = NewType("Poses", Detections)
"""People with the key points of their bodies; tracks stay tracks."""


def _mapped(value: Any, transform: Affine) -> Any:
    return value.mapped(transform) if isinstance(value, Geometric) else value


def concatenated(parts: Iterable[Detections]) -> Detections:
    """All boxes of `parts` in their order; a column that one part lacks is filled with zeros, empty text or None."""
    found = [part for part in parts if len(part)]
    if not found:
        return Detections.empty()
    if len(found) == 1 and type(found[0]) is Detections:
        return found[0]

    def join(name: str, fill: float) -> NDArray[Any] | None:
        columns = [getattr(part, name) for part in found]
        if all(column is None for column in columns):
            return None
        return np.concatenate([np.full(len(p), fill) if c is None else c for p, c in zip(found, columns, strict=True)])

    names: tuple[str, ...] | None = None
    if any(part.class_name is not None for part in found):
        names = tuple(n for part in found for n in (part.class_name or ("",) * len(part)))
    counts = {part.keypoints.shape[1] for part in found if part.keypoints is not None}
    if len(counts) > 1:
        listed = " and ".join(str(count) for count in sorted(counts))
        raise ValueError(f"boxes with {listed} key points cannot be combined; keep them in separate outputs")
    points = counts.pop() if counts else 0
    keypoints = visibility = None
    if points:
        unknown = [np.full((len(part), points), np.nan) for part in found]
        keypoints = np.concatenate(
            [np.stack([u, u], 2) if p.keypoints is None else p.keypoints for p, u in zip(found, unknown, strict=True)]
        )
    if any(part.visibility is not None for part in found):
        visibility = np.concatenate(
            [u if p.visibility is None else p.visibility for p, u in zip(found, unknown, strict=True)]
        )
    extra = {name: None for part in found for name in part.data}
    return Detections(
        xyxy=np.concatenate([part.xyxy for part in found]),
        confidence=join("confidence", 0.0),
        class_id=join("class_id", -1),
        class_name=names,
        keypoints=keypoints,
        visibility=visibility,
        area=join("area", 0.0),
        data={name: tuple(v for part in found for v in part.data.get(name, (None,) * len(part))) for name in extra},
    )
