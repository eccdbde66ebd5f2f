"""The YOLO family's raw outputs: one row (or column) for each cell or anchor, holding a box and class scores.

Sources: Ultralytics YOLOv5, YOLOv8 and YOLO11; YOLOv6 by Meituan; YOLOX by Megvii (Ge et al., 2021), whose boxes are relative to
their cells and whose sizes are logarithms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from videodag_cli.onnx.facts import Size
from videodag_cli.onnx.layouts.base import (
    Boxes,
    Layout,
    Outputs,
    Probe,
    best_class,
    cells,
    from_centers,
    to_pixels,
    within_unit,
)
from videodag_cli.onnx.picture import InputFormat

_ULTRALYTICS = InputFormat()
_YOLOX = InputFormat(fit="corner", channels="bgr", values="byte")


@dataclass(frozen=True, kw_only=True)
class Yolo(Layout):
    """`cx, cy, w, h [, objectness], scores...` for each candidate."""

    output: str
    objectness: bool
    across: bool = False
    """Candidates are columns: (batch, 4 + classes, N)."""
    grid: tuple[int, ...] = ()
    """Strides of the cells that boxes are relative to; empty where they are in pixels."""

    def decode(self, outputs: Outputs, row: int, size: Size, threshold: float) -> Boxes:
        table = outputs[self.output][row]
        table = table.T if self.across else table
        best, class_ids = best_class(table[:, 5 if self.objectness else 4 :])
        if self.objectness:
            best = best * table[:, 4]
        chosen = np.flatnonzero(best > threshold)
        boxes = table[chosen, :4].astype(np.float64)
        if self.grid:
            places, steps = cells(size, self.grid)
            boxes[:, :2] = (boxes[:, :2] + places[chosen]) * steps[chosen, None]
            boxes[:, 2:] = np.exp(np.minimum(boxes[:, 2:], 30.0)) * steps[chosen, None]
        xyxy = from_centers(boxes)
        if not self.grid:
            xyxy = to_pixels(xyxy, size)
        return Boxes.of(xyxy, best[chosen], class_ids[chosen])


def recognise(probe: Probe) -> Layout | None:
    """The layout of the model's one 3-dimensional output; None where it is not of this family."""
    names = probe.of_rank(3)
    if len(names) != 1:
        return None
    _, first, second = probe.outputs[names[0]].shape
    one = {count: strides for strides, count in probe.grids()}
    three = {3 * count for count in one}
    known = probe.label_count
    base = Yolo(name="yolov8", form=_ULTRALYTICS, class_count=second - 4, output=names[0], objectness=False)
    if first in three or (first not in one and second not in one and known == second - 5 and first > second):
        found = replace(base, name="yolov5", class_count=second - 5, objectness=True)
    elif second in one or (first not in one and known == first - 4 and second > first):
        found = replace(base, class_count=first - 4, across=True)
    elif first in one and known == second - 4:
        found = base
    elif first in one:
        found = _one_anchor(probe, replace(base, class_count=second - 5, objectness=True), one[first])
    elif known == second - 4 or (known is None and second == 84):
        found = replace(base, name="rt-detr", form=replace(_ULTRALYTICS, fit="stretch"), suppressed=True)
    else:
        return None
    assert found.class_count is not None
    return found if found.class_count >= 1 else None


def _one_anchor(probe: Probe, found: Yolo, strides: tuple[int, ...]) -> Yolo:
    """YOLOX as its network puts it out or with boxes in pixels, or YOLOv6, whose objectness is always 1."""
    values = probe.outputs[found.output]
    in_pixels = values.shape[1] > 1 and float(np.abs(values[0, :, :2]).max()) > max(probe.size) / 2
    if in_pixels and bool((values[0, :, 4] == 1).all()):
        return replace(found, name="yolov6")
    return replace(found, name="yolox", form=_YOLOX, grid=() if in_pixels else strides)


def score_columns(layout: Yolo, outputs: Outputs) -> bool:
    """Whether what should be class scores lies in 0..1; else the columns mean something else."""
    table = outputs[layout.output]
    scores = table[:, 4:, :] if layout.across else table[:, :, 4:]
    return within_unit(scores)
