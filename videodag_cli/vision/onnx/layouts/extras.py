"""What a model puts out for each box beside the box: key points, a mask, or how the box is turned.

The rows of boxes are read as those of a detector, by the same layouts; an `Extra` takes its own columns or outputs away before, and reads
them for the boxes that remain.

Sources: Ultralytics' YOLO models for pose (`x, y[, visibility]` of each point behind the scores), segmentation (coefficients of
prototypes behind the scores; Bolya et al., "YOLACT", 2019) and oriented boxes (an angle behind the scores); RF-DETR by Roboflow (a map of
logits for each query); MMDetection's RTMDet-Ins and Mask R-CNN by mmdeploy, and torchvision's Mask R-CNN (a mask for each box, on the
picture or, 28x28, on the box).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Affine, Floats, Ints
from videodag_cli.vision.onnx.model_facts import Size
from videodag_cli.vision.onnx.scores import ModelError

Task = Literal["detect", "pose", "segment", "obb"]
"""What comes out of a model: boxes; boxes with key points, with masks, or turned."""
MaskGrid = Literal["picture", "box"]
"""What the cells of a mask cover."""
Outputs = Mapping[str, NDArray[Any]]
"""A run's outputs by name."""
MaskCells = tuple[NDArray[np.float32], Affine]
"""Cells of which those of at least 0.5 belong to an object, and the map from cells to pixels."""
_FAR = 60.0


class Details(NamedTuple):
    """What N boxes have beside them, in pixels."""

    points: Floats | None = None
    """(N, K, 2)"""
    visibility: Floats | None = None
    """(N, K)"""
    corners: Floats | None = None
    """(N, 4, 2)"""
    masks: tuple[MaskCells, ...] | None = None
    in_box: bool = False
    """What is outside a mask's box does not belong to it."""

    def chosen(self, rows: NDArray[Any]) -> Details:
        return self._replace(
            points=None if self.points is None else self.points[rows],
            visibility=None if self.visibility is None else self.visibility[rows],
            corners=None if self.corners is None else self.corners[rows],
            masks=None if self.masks is None else tuple(self.masks[i] for i in np.arange(len(self.masks))[rows]),
        )

    def mapped(self, back: Affine) -> Details:
        return self._replace(
            points=None if self.points is None else back.points(self.points),
            corners=None if self.corners is None else back.points(self.corners),
            masks=None if self.masks is None else tuple((values, place.then(back)) for values, place in self.masks),
        )


@dataclass(frozen=True, kw_only=True)
class Extra(ABC):
    """One way in which a model says more of a box than where it is."""

    task: Task
    reason: str

    @abstractmethod
    def trimmed(self, outputs: Any) -> Outputs:
        """The outputs of the detector that remains."""

    @abstractmethod
    def details(self, outputs: Any, row: int, rows: Ints, xyxy: Floats, size: Size) -> Details:
        """What picture `row` says of the boxes in these rows; `xyxy` are their places in the network's pixels."""


@dataclass(frozen=True, kw_only=True)
class Columns(Extra):
    """Further numbers at the end of each row of the table of boxes."""

    table: str
    across: bool
    """Candidates are columns."""
    width: int
    """How many numbers belong to it."""

    def trimmed(self, outputs: Any) -> Outputs:
        table = outputs[self.table]
        return {**outputs, self.table: table[:, : -self.width] if self.across else table[:, :, : -self.width]}

    def numbers(self, outputs: Any, row: int, rows: Ints) -> Floats:
        """(N, width) the numbers of these rows."""
        table = outputs[self.table][row]
        found = np.asarray((table.T if self.across else table)[rows][:, -self.width :], np.float64)
        return _finite(found, self.task)


@dataclass(frozen=True, kw_only=True)
class PointColumns(Columns):
    """`x, y` or `x, y, visibility` of each key point, in the network's pixels."""

    each: int

    def details(self, outputs: Any, row: int, rows: Ints, xyxy: Floats, size: Size) -> Details:
        numbers = self.numbers(outputs, row, rows).reshape(len(rows), self.width // self.each, self.each)
        visibility = None
        if self.each == 3:
            visibility = numbers[:, :, 2]
            if visibility.size and not (visibility.min() >= -1e-3 and visibility.max() <= 1 + 1e-3):
                raise ModelError("the visibility of a key point is not within 0..1: its outputs mean something else")
            visibility = np.clip(visibility, 0, 1)
        return Details(points=numbers[:, :, :2], visibility=visibility)


@dataclass(frozen=True, kw_only=True)
class AngleColumn(Columns):
    """The angle by which a box is turned about its centre, clockwise as one sees it, in radians."""

    final: bool = False
    """Rows are `cx, cy, w, h, score, class, angle`, chosen already."""

    def trimmed(self, outputs: Any) -> Outputs:
        found = super().trimmed(outputs)
        if not self.final:
            return found
        table = np.array(found[self.table], np.float64)
        half = table[:, :, 2:4] / 2
        table[:, :, 2:4] = table[:, :, :2] + half
        table[:, :, :2] -= half
        return {**found, self.table: table}

    def details(self, outputs: Any, row: int, rows: Ints, xyxy: Floats, size: Size) -> Details:
        angle = self.numbers(outputs, row, rows)[:, 0]
        center, half = (xyxy[:, :2] + xyxy[:, 2:]) / 2, (xyxy[:, 2:] - xyxy[:, :2]) / 2
        cos, sin = np.cos(angle), np.sin(angle)
        along = np.stack([half[:, 0] * cos, half[:, 0] * sin], axis=1)
        down = np.stack([-half[:, 1] * sin, half[:, 1] * cos], axis=1)
        corners = [center - along - down, center + along - down, center + along + down, center - along + down]
        return Details(corners=np.stack(corners, axis=1))


@dataclass(frozen=True, kw_only=True)
class Prototypes(Columns):
    """Coefficients of pictures that the network puts out once for all boxes; a mask is their sum, where it is above 0 inside the box."""

    prototypes: str

    def trimmed(self, outputs: Any) -> Outputs:
        found = super().trimmed(outputs)
        return {name: value for name, value in found.items() if name != self.prototypes}

    def details(self, outputs: Any, row: int, rows: Ints, xyxy: Floats, size: Size) -> Details:
        pictures = outputs[self.prototypes][row]
        coefficients = self.numbers(outputs, row, rows)
        height, width = pictures.shape[1:]
        scale = np.array((size[0] / width, size[1] / height))
        masks: list[MaskCells] = []
        for weights, box in zip(coefficients, xyxy, strict=True):
            low = np.clip(np.floor(box[:2] / scale).astype(int) - 1, 0, (width - 1, height - 1))
            high = np.clip(np.ceil(box[2:] / scale).astype(int) + 1, low + 1, (width, height))
            part = np.asarray(pictures[:, low[1] : high[1], low[0] : high[0]], np.float64)
            sums = _finite(np.tensordot(weights, part, axes=1), self.task)
            masks.append((_from_logits(sums), Affine(*scale.tolist(), *(low * scale).tolist())))
        return Details(masks=tuple(masks), in_box=True)


@dataclass(frozen=True, kw_only=True)
class RowMasks(Extra):
    """A mask for each box in an output of its own."""

    masks: str
    grid: MaskGrid
    logits: bool
    count_axis: int = field(default=1)
    """The axis of the boxes: 1, or 0 where there is none for the batch."""

    def trimmed(self, outputs: Any) -> Outputs:
        return {name: value for name, value in outputs.items() if name != self.masks}

    def details(self, outputs: Any, row: int, rows: Ints, xyxy: Floats, size: Size) -> Details:
        found = outputs[self.masks]
        found = found[:, 0] if self.count_axis == 0 else found[row]
        masks: list[MaskCells] = []
        for number, box in zip(rows.tolist(), xyxy, strict=True):
            values = _finite(np.asarray(found[number], np.float64), self.task)
            left, top, right, bottom = box.tolist() if self.grid == "box" else (0.0, 0.0, *size)
            height, width = values.shape
            place = Affine((right - left) / width, (bottom - top) / height, left, top)
            masks.append((_from_logits(values) if self.logits else values.astype(np.float32), place))
        return Details(masks=tuple(masks), in_box=self.grid == "box")


def _from_logits(values: Floats) -> NDArray[np.float32]:
    """Logits moved so that 0 becomes 0.5: interpolation between them stays the network's own."""
    return np.asarray(np.clip(values, -_FAR, _FAR) + 0.5, np.float32)


def _finite(values: Floats, task: Task) -> Floats:
    if not np.isfinite(values).all():
        what = {"pose": "a key point", "segment": "a mask", "obb": "an angle"}[task]
        raise ModelError(f"the model outputs {what} with infinite or undefined numbers: its conversion went wrong")
    return values
