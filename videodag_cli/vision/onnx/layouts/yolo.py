"""The YOLO family's raw outputs: one row (or column) for each cell or anchor, holding a box and class scores.

Sources: Ultralytics YOLOv5 and YOLOv7 (three anchors for each cell, `cx, cy, w, h, objectness, classes` in pixels); YOLOv8, v9, 11
(one for each cell, `4 + classes` down and cells across, in pixels); YOLOv6 by Meituan (objectness always 1); YOLOX by Megvii (Ge et
al., 2021), whose boxes are relative to their cells and whose sizes are logarithms unless exported with `decode_in_inference`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from videodag_cli.data import Floats
from videodag_cli.vision.onnx.layouts.base import (
    Candidates,
    Layout,
    activated,
    best_class,
    cells,
    from_centers,
    mostly_within_unit,
    to_pixels,
)
from videodag_cli.vision.onnx.layouts.evidence import (
    Evidence,
    LayoutKind,
    Shaped,
    all_whole,
    best,
    ordered,
    seen,
    shares,
)
from videodag_cli.vision.onnx.layouts.extras import Outputs
from videodag_cli.vision.onnx.model_facts import Size
from videodag_cli.vision.onnx.preprocessing import InputFormat

_ULTRALYTICS = InputFormat()
_YOLOX = InputFormat(fit="corner", channels="bgr", values="byte")
_COCO_CLASSES = 80
_FARTHEST_SLIP = 4.0
"""Half of all predictions are less far from their cells, in cells."""
_SAME_SCORE = 1e-3
_FAULTY = 0.1
"""So large a share of the rows may hold what they should not."""


@dataclass(frozen=True, kw_only=True)
class Yolo(Layout):
    """`cx, cy, w, h [, objectness], scores...` for each candidate."""

    activates = True
    tells_rows = True
    output: str
    objectness: bool
    one_score: bool = False
    """The objectness alone is the score: the column of the only class was never trained."""
    across: bool = False
    """Candidates are columns: (batch, 4 + classes, N)."""
    grid: tuple[int, ...] = ()
    """Strides of the cells that boxes are relative to; empty where they are in pixels."""

    def decode(self, outputs: Outputs, row: int, size: Size, threshold: float) -> Candidates:
        table = outputs[self.output][row]
        table = table.T if self.across else table
        scores = table[:, 4:]
        if self.activation != "none":
            scores = activated(np.asarray(scores, np.float64), self.activation)
        best, class_ids = best_class(scores[:, int(self.objectness) :])
        if self.objectness:
            best = scores[:, 0] if self.one_score else best * scores[:, 0]
        chosen = np.flatnonzero(best > threshold)
        boxes = table[chosen, :4].astype(np.float64)
        if self.grid:
            places, steps = cells(size, self.grid)
            boxes[:, :2] = (boxes[:, :2] + places[chosen]) * steps[chosen, None]
            boxes[:, 2:] = np.exp(np.minimum(boxes[:, 2:], 30.0)) * steps[chosen, None]
        xyxy = from_centers(boxes)
        if not self.grid:
            xyxy = to_pixels(xyxy, size)
        return Candidates.of(xyxy, best[chosen], class_ids[chosen], chosen)


def _shaped(name: str, *, objectness: bool, across: bool = False, form: InputFormat, relative: bool = False) -> Shaped:
    def shaped(evidence: Evidence) -> Layout | None:
        output = evidence.table()
        if output is None:
            return None
        _, rows, columns = evidence.outputs[output].shape
        if across:
            rows, columns = columns, rows
        count = columns - (5 if objectness else 4)
        grid = evidence.grid_of(rows)
        if count < 1 or rows < 1 or (relative and grid is None):
            return None
        return Yolo(
            name=name,
            form=form,
            class_count=count,
            output=output,
            objectness=objectness,
            across=across,
            grid=grid or () if relative else (),
            reasons=(
                _counted(evidence, rows),
                f"{columns} numbers each: a box, {'objectness, ' * objectness}{count} classes",
            ),
        )

    return shaped


def _shaped_of_one_class(evidence: Evidence) -> Layout | None:
    layout = _shaped("yolov7-one-class", objectness=True, form=_ULTRALYTICS)(evidence)
    if not isinstance(layout, Yolo) or layout.class_count != 1:
        return None
    return replace(layout, one_score=True, reasons=(*layout.reasons, "the score is the objectness alone"))


def _yolov7_one_class(evidence: Evidence, layout: Layout) -> str | None:
    """Trained with one class, YOLOv5 and YOLOv7 learn nothing in its column: YOLOv5 multiplies by it all the same, where it is nearly 1."""
    assert isinstance(layout, Yolo)
    if {"names", "stride"} & evidence.facts.metadata.keys():
        return "the metadata is that of YOLOv5, which multiplies objectness and class"
    rows = evidence.rows(layout.output)
    if len(rows) and (rows[:, 5] > 1 - _SAME_SCORE).all():
        return "the score of the only class is always 1, so it makes no difference"
    return _yolov5(evidence, layout)


def _counted(evidence: Evidence, rows: int) -> str:
    width, height = evidence.size
    for each, words in ((1, "one for each cell"), (3, "three for each cell")):
        strides = evidence.grid_of(rows, each=each)
        if strides is not None:
            return f"{rows} candidates: {words} of strides {', '.join(map(str, strides))} at {width}x{height}"
    return f"{rows} candidates: the cells of no known set of strides at {width}x{height}"


def _yolov5(evidence: Evidence, layout: Layout) -> str | None:
    assert isinstance(layout, Yolo)
    rows = evidence.rows(layout.output)
    count = evidence.outputs[layout.output].shape[1]
    if evidence.grid_of(count) is not None:
        return f"{count} rows are one for each cell, not three"
    if evidence.grid_of(count, each=3) is None and not (_told(evidence, layout) and count > rows.shape[1]):
        return f"{count} rows are not three for each cell"
    if evidence.grid_of(count, each=3) is None and seen(rows).size and shares(rows):
        return "the boxes are fractions of the picture, not pixels"
    return _scored(evidence, layout, rows) or _final(evidence, rows)


def _yolov8(evidence: Evidence, layout: Layout) -> str | None:
    assert isinstance(layout, Yolo)
    rows = evidence.rows(layout.output, across=layout.across)
    shape = evidence.outputs[layout.output].shape
    count, columns = (shape[2], shape[1]) if layout.across else (shape[1], shape[2])
    if not layout.across and evidence.graph.has("Exp") and not evidence.graph.has("Softmax"):
        return "the graph takes exponentials, as YOLOX does for its sizes"
    if evidence.grid_of(count) is None:
        flipped = evidence.on_a_grid(columns)
        if evidence.grid_of(count, each=3) is not None or flipped or not (_told(evidence, layout) and count > columns):
            return f"{count} candidates are not one for each cell"
        if seen(rows).size and shares(rows):
            return "the boxes are fractions of the picture, not pixels"
    if why := _scored(evidence, layout, rows):
        return why
    raw_by_metadata = evidence.finished_by_metadata is False and evidence.head and _told(evidence, layout)
    if not raw_by_metadata and (why := _negative(rows)):
        return why
    if layout.across:
        return None
    if columns > 5:
        if len(rows) and (rows[:, 4] == 1).all():
            return "the fifth number is always 1, as objectness is in YOLOv6"
        if why := _final(evidence, rows):
            return why
        if not _told(evidence, layout):
            if columns == 5 + _COCO_CLASSES:
                return "85 numbers are COCO's 80 classes with objectness"
            return None if _in_pixels(rows) else "the boxes are relative to cells, not in pixels"
    return None


def _yolov6(evidence: Evidence, layout: Layout) -> str | None:
    assert isinstance(layout, Yolo)
    rows = evidence.rows(layout.output)
    if why := _objects_of_one_cell(evidence, layout):
        return why
    if not len(rows) or not (rows[:, 4] == 1).all():
        return "its objectness, the fifth number, is not always 1"
    return _scored(evidence, layout, rows) or _negative(rows)


def _yolox(evidence: Evidence, layout: Layout) -> str | None:
    assert isinstance(layout, Yolo)
    rows = evidence.rows(layout.output)
    if why := _objects_of_one_cell(evidence, layout):
        return why
    if layout.class_count != _COCO_CLASSES and not _told(evidence, layout) and layout.class_count == _COCO_CLASSES - 1:
        return "84 numbers are COCO's 80 classes without objectness"
    if len(rows) and (rows[:, 4] == 1).all():
        return "the fifth number is always 1, as objectness is in YOLOv6"
    if why := _scored(evidence, layout, rows):
        return why
    if layout.grid:
        pixels = _in_pixels(rows)
        return "the boxes are in pixels, not relative to cells" if pixels else _final(evidence, rows)
    if not _in_pixels(rows):
        return "the boxes are relative to cells, not in pixels"
    return _negative(rows) or _final(evidence, rows)


def _objects_of_one_cell(evidence: Evidence, layout: Yolo) -> str | None:
    count = evidence.outputs[layout.output].shape[1]
    return None if evidence.grid_of(count) is not None else f"{count} rows are not one for each cell"


def _told(evidence: Evidence, layout: Layout) -> bool:
    """Whether labels are known and are as many as this layout's classes."""
    return evidence.label_count is not None and evidence.label_count == layout.class_count


def _scored(evidence: Evidence, layout: Yolo, rows: Floats) -> str | None:
    if evidence.label_count is not None and evidence.label_count != layout.class_count:
        return f"{layout.class_count} classes, but {evidence.label_count} labels"
    return None if mostly_within_unit(rows[:, 4:]) else "numbers outside 0..1 where class scores should be"


def _negative(rows: Floats) -> str | None:
    """YOLO26 has no floor under its distances: a few cells of the background may have a side below 0."""
    below = (rows[:, 2:4] < -1e-3).any(axis=1)
    return "widths or heights below 0" if len(rows) and below.mean() > _FAULTY else None


def _in_pixels(rows: Floats) -> bool:
    """Whether centres are in pixels, all over the picture, and not slips from the corner of their own cells."""
    return bool(np.median(np.abs(rows[:, :2])) > _FARTHEST_SLIP) if len(rows) else True


def _final(evidence: Evidence, rows: Floats) -> str | None:
    """Six columns that are corners, score and class number."""
    if rows.shape[1] != 6:
        return None
    top = best(rows, rows[:, 4])
    return (
        "the rows are corners, score and class number" if len(top) and all_whole(rows[:, 5]) and ordered(top) else None
    )


KINDS = (
    LayoutKind(
        "yolov5",
        "YOLOv5, YOLOv7: cx cy w h, objectness, classes; three for each cell",
        _shaped("yolov5", objectness=True, form=_ULTRALYTICS),
        _yolov5,
    ),
    LayoutKind(
        "yolov7-one-class",
        "YOLOv7 with one class: cx cy w h, the score, a column without meaning; three for each cell",
        _shaped_of_one_class,
        _yolov7_one_class,
    ),
    LayoutKind(
        "yolov6",
        "YOLOv6: cx cy w h, 1, classes; one for each cell",
        _shaped("yolov6", objectness=True, form=_ULTRALYTICS),
        _yolov6,
    ),
    LayoutKind(
        "yolov8",
        "YOLOv8, v9, 11: cx cy w h, classes down, cells across",
        _shaped("yolov8", objectness=False, across=True, form=_ULTRALYTICS),
        _yolov8,
    ),
    LayoutKind(
        "yolov8-rows",
        "YOLOv8 transposed: cx cy w h, classes; one row for each cell",
        _shaped("yolov8-rows", objectness=False, form=_ULTRALYTICS),
        _yolov8,
    ),
    LayoutKind(
        "yolox",
        "YOLOX as its network outputs it, relative to cells",
        _shaped("yolox", objectness=True, form=_YOLOX, relative=True),
        _yolox,
    ),
    LayoutKind(
        "yolox-decoded", "YOLOX with boxes in pixels", _shaped("yolox-decoded", objectness=True, form=_YOLOX), _yolox
    ),
)
