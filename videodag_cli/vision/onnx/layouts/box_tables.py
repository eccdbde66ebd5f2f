"""One table with a row for each box: its corners or centre, one score, one class number.

Sources: YOLOv10 and Ultralytics exports with `nms=True` or `end2end` (`x1 y1 x2 y2 score class`); the exporters of DeepStream-Yolo (the
same six numbers for every cell, before suppression); Ultralytics' RT-DETR (`cx cy w h` as shares, then a score for each class, or since
its head chooses the best, score and class); YOLOv7's export with ONNX Runtime's suppression (`picture x1 y1 x2 y2 class score`);
YOLO-NAS by super-gradients, flat format (`picture x1 y1 x2 y2 score class`); PaddleDetection (`class score x1 y1 x2 y2`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from videodag_cli.data import Floats
from videodag_cli.vision.onnx.layouts.base import (
    BoxForm,
    Candidates,
    Layout,
    best_class,
    from_centers,
    to_pixels,
    within_unit,
)
from videodag_cli.vision.onnx.layouts.evidence import (
    Evidence,
    LayoutKind,
    Shaped,
    all_whole,
    best,
    boxes_inside,
    doubled,
    ordered,
    seen,
    shares,
)
from videodag_cli.vision.onnx.layouts.extras import Outputs
from videodag_cli.vision.onnx.model_facts import Size
from videodag_cli.vision.onnx.preprocessing import InputFormat

_LETTERBOX = InputFormat()
_STRETCHED = InputFormat(fit="stretch")
_MOST_FINAL = 1000
"""No exporter keeps more boxes than this after suppression, unless it is told to."""


@dataclass(frozen=True, kw_only=True)
class BoxTable(Layout):
    """Rows of box, score and class, in the order that `columns` gives (box, score, class as column numbers)."""

    tells_rows = True
    output: str
    columns: tuple[int, int, int]
    boxes: BoxForm = "corners"
    picture_column: int | None = None
    """Where the rows of all pictures are in one table: the column with the picture's number."""

    def decode(self, outputs: Outputs, row: int, size: Size, threshold: float) -> Candidates:
        table = np.asarray(outputs[self.output], np.float64)
        if table.ndim == 3:
            table = table[row]
        elif self.picture_column is not None:
            table = table[table[:, self.picture_column] == row]
        box, score, kind = self.columns
        chosen = (table[:, score] > threshold) & (table[:, kind] >= 0)
        table = table[chosen]
        xyxy = table[:, box : box + 4]
        xyxy = from_centers(xyxy) if self.boxes == "center" else xyxy
        return Candidates.of(to_pixels(xyxy, size), table[:, score], np.rint(table[:, kind]), chosen)


@dataclass(frozen=True, kw_only=True)
class Queries(Layout):
    """Rows of centre, size, and a score for each class, as Ultralytics exports RT-DETR; boxes are shares of the picture."""

    tells_rows = True
    output: str
    boxes: BoxForm = "center"

    def decode(self, outputs: Outputs, row: int, size: Size, threshold: float) -> Candidates:
        table = np.asarray(outputs[self.output][row], np.float64)
        best, class_ids = best_class(table[:, 4:])
        chosen = best > threshold
        boxes = table[chosen, :4]
        xyxy = from_centers(boxes) if self.boxes == "center" else boxes
        return Candidates.of(to_pixels(xyxy, size), best[chosen], class_ids[chosen], chosen)


def _six(
    name: str, reason: str, *, form: InputFormat = _LETTERBOX, boxes: BoxForm = "corners", suppressed: bool = True
) -> Shaped:
    def shaped(evidence: Evidence) -> Layout | None:
        output = evidence.table()
        if output is None or evidence.outputs[output].shape[2] != 6:
            return None
        return BoxTable(
            name=name,
            form=form,
            class_count=None,
            suppressed=suppressed,
            output=output,
            columns=(0, 4, 5),
            boxes=boxes,
            reasons=(f"{evidence.outputs[output].shape[1]} rows of six numbers", reason),
        )

    return shaped


def _doubled(evidence: Evidence, layout: BoxTable) -> bool:
    _, score, kind = layout.columns
    return any(doubled(rows, rows[:, score], rows[:, kind]) for rows in evidence.each(layout.output))


def _numbered(evidence: Evidence, kinds: Floats, scores: Floats) -> str | None:
    """What speaks against two columns as class numbers and scores."""
    if not all_whole(kinds):
        return "there are no whole numbers where class numbers should be"
    if evidence.label_count is not None and len(kinds) and kinds.max() >= evidence.label_count:
        return f"class numbers up to {int(kinds.max())}, but {evidence.label_count} labels"
    return None if within_unit(np.maximum(scores, 0)) else "numbers outside 0..1 where scores should be"


def _final(evidence: Evidence, layout: Layout) -> str | None:
    assert isinstance(layout, BoxTable)
    rows = evidence.rows(layout.output)
    count = evidence.outputs[layout.output].shape[1]
    if why := _numbered(evidence, rows[:, 5], rows[:, 4]):
        return why
    if evidence.finished_by_metadata is True:
        return None
    top = best(rows, rows[:, 4])
    if not ordered(top):
        return "right or bottom edges lie before left or top ones"
    if evidence.finished is True or evidence.graph.has("TopK"):
        return None
    if evidence.finished is False:
        return "the metadata says that it is not end to end"
    if evidence.on_a_grid(count):
        return f"{count} rows are one or three for each cell: nothing was dropped yet"
    if _doubled(evidence, layout):
        return "boxes of one class lie on each other"
    return None if len(top) else "no row contains a box that would decide"


def _every_cell(evidence: Evidence, layout: Layout) -> str | None:
    assert isinstance(layout, BoxTable)
    rows = evidence.rows(layout.output)
    count = evidence.outputs[layout.output].shape[1]
    if evidence.finished is True:
        return "the best are chosen inside the model"
    if why := _numbered(evidence, rows[:, 5], rows[:, 4]):
        return why
    top = best(rows, rows[:, 4])
    if not ordered(top):
        return "right or bottom edges lie before left or top ones"
    if evidence.on_a_grid(count) or _doubled(evidence, layout):
        return None
    return f"{count} rows are not those of every cell" if count <= _MOST_FINAL else None


def _best_queries(evidence: Evidence, layout: Layout) -> str | None:
    assert isinstance(layout, BoxTable)
    rows = evidence.rows(layout.output)
    if why := _numbered(evidence, rows[:, 5], rows[:, 4]):
        return why
    top = best(rows, rows[:, 4])
    if not shares(seen(rows)):
        return "the boxes are not fractions of the picture"
    if evidence.head.startswith("rtdetr"):
        return None
    if not boxes_inside(top):
        return "read as centre and size, the boxes lie outside the picture"
    if evidence.head or evidence.on_a_grid(evidence.outputs[layout.output].shape[1]):
        return "the rows or the metadata are another detector's"
    if len(top) >= 8 and ordered(top):
        return "the rows are left, top, right, bottom"
    return None if len(top) else "no row contains a box that would decide"


def _all_queries_shaped(evidence: Evidence) -> Layout | None:
    output = evidence.table()
    if output is None or evidence.outputs[output].shape[2] < 5:
        return None
    _, count, columns = evidence.outputs[output].shape
    return Queries(
        name="rt-detr-table",
        form=_STRETCHED,
        class_count=columns - 4,
        suppressed=True,
        output=output,
        reasons=(f"{count} rows of centre and size as fractions of the picture and {columns - 4} scores",),
    )


def _all_queries(evidence: Evidence, layout: Layout) -> str | None:
    assert isinstance(layout, Queries)
    rows = evidence.rows(layout.output)
    count, columns = evidence.outputs[layout.output].shape[1:]
    if evidence.label_count is not None and evidence.label_count != layout.class_count:
        return f"{layout.class_count} classes, but {evidence.label_count} labels"
    if evidence.on_a_grid(count) or (columns > count and evidence.on_a_grid(columns)):
        return "the candidates are those of every cell"
    if not within_unit(rows[:, 4:]):
        return "numbers outside 0..1 where class scores should be"
    if not shares(rows):
        return "the boxes are not fractions of the picture"
    top = best(rows, rows[:, 4:].max(axis=1))
    if not evidence.head.startswith("rtdetr") and not boxes_inside(top):
        return "read as centre and size, the boxes lie outside the picture"
    if columns == 6 and len(top) and all_whole(rows[:, 5]):
        return "the last number of each row is whole: a class number"
    if evidence.head and not evidence.head.startswith("rtdetr"):
        return "the metadata names another head"
    return None if len(top) else "no row contains a box that would decide"


def _flat_shaped(name: str, columns: tuple[int, int, int], reason: str, form: InputFormat) -> Shaped:
    def shaped(evidence: Evidence) -> Layout | None:
        outputs = [n for n in evidence.of_rank(2) if evidence.outputs[n].shape[1] == 7]
        if len(outputs) != 1 or evidence.table() is not None:
            return None
        return BoxTable(
            name=name,
            form=form,
            class_count=None,
            suppressed=True,
            output=outputs[0],
            columns=columns,
            picture_column=0,
            reasons=("rows of seven numbers", reason),
        )

    return shaped


def _flat(evidence: Evidence, layout: Layout) -> str | None:
    """Score and class are the other way round in the two layouts; class numbers are whole, and scores hardly ever."""
    assert isinstance(layout, BoxTable)
    rows = evidence.rows(layout.output)
    _, score, kind = layout.columns
    called = "flat" in layout.output.lower()
    if called and layout.name != "yolo-nas-flat":
        return "the output is called flat predictions, as in YOLO-NAS"
    if why := _numbered(evidence, rows[:, kind], rows[:, score]):
        return why
    if len(rows) and not ordered(seen(rows[:, 1:5])):
        return "right or bottom edges lie before left or top ones"
    parts = evidence.graph.whole_parts.get(layout.output, ())
    if len(parts) == 4 and parts[2] != parts[3]:
        return None if parts[kind - 3] else "the graph joins class and score the other way round"
    informative = len(rows) and not all_whole(rows[:, score])
    return None if informative or called else "no row distinguishes the score from the class"


def _paddle_shaped(evidence: Evidence) -> Layout | None:
    outputs = [n for n in evidence.of_rank(2) if evidence.outputs[n].shape[1] == 6]
    if len(outputs) != 1 or evidence.table() is not None:
        return None
    sized = evidence.input_named("im_shape")
    suppressed = "multiclass_nms" in outputs[0].lower() or evidence.graph.has("NonMaxSuppression")
    return BoxTable(
        name="paddle",
        form=InputFormat(fit="stretch", values="imagenet"),
        class_count=None,
        suppressed=True,
        output=outputs[0],
        columns=(2, 1, 0),
        asks=frozenset() if sized and suppressed else frozenset(("values",)),
        reasons=("rows of class, score and corners, as PaddleDetection writes them",),
    )


def _paddle(evidence: Evidence, layout: Layout) -> str | None:
    """Class, score, corners. PP-YOLOE+ and RT-DETR take 0..1, PicoDet and the older ones normalised pictures: only im_shape with
    suppression inside (YOLOv3, PP-YOLO, RCNN) tells which."""
    assert isinstance(layout, BoxTable)
    rows = evidence.rows(layout.output)
    told = evidence.input_named("scale_factor") or "multiclass_nms" in layout.output.lower()
    if why := _numbered(evidence, np.maximum(rows[:, 0], -1), rows[:, 1]):
        return why
    if not ordered(seen(rows[:, 2:6])):
        return "right or bottom edges lie before left or top ones"
    return None if told else "neither its inputs nor its outputs have PaddleDetection's names"


def _flat_six_shaped(evidence: Evidence) -> Layout | None:
    outputs = [n for n in evidence.of_rank(2) if evidence.outputs[n].shape[1] == 6]
    if len(outputs) != 1 or evidence.table() is not None:
        return None
    return BoxTable(
        name="end-to-end-flat",
        form=_LETTERBOX,
        class_count=None,
        suppressed=True,
        output=outputs[0],
        columns=(0, 4, 5),
        reasons=("rows of six numbers", "corners, score and class number"),
    )


def _flat_six(evidence: Evidence, layout: Layout) -> str | None:
    assert isinstance(layout, BoxTable)
    if evidence.input_named("scale_factor"):
        return "its inputs are PaddleDetection's"
    if not evidence.facts.fixed_batch:
        return "it takes several pictures, and no column says which"
    rows = evidence.rows(layout.output)
    if why := _numbered(evidence, rows[:, 5], rows[:, 4]):
        return why
    if evidence.on_a_grid(len(evidence.outputs[layout.output])) or _doubled(evidence, layout):
        return "nothing was dropped yet"
    if not ordered(seen(rows)):
        return "right or bottom edges lie before left or top ones"
    return None if len(seen(rows)) else "no row contains a box that would decide"


KINDS = (
    LayoutKind(
        "end-to-end",
        "YOLOv10, YOLO26, nms=True: x1 y1 x2 y2 score class, the best only",
        _six("end-to-end", "corners, score and class number, already chosen"),
        _final,
    ),
    LayoutKind(
        "every-cell",
        "DeepStream-Yolo: x1 y1 x2 y2 score class, before suppression",
        _six("every-cell", "corners, score and class number of every cell", suppressed=False),
        _every_cell,
    ),
    LayoutKind(
        "rt-detr-best",
        "RT-DETR by Ultralytics: cx cy w h as fractions, score, class",
        _six("rt-detr-best", "centre and size as fractions, score and class number", form=_STRETCHED, boxes="center"),
        _best_queries,
    ),
    LayoutKind(
        "rt-detr-table",
        "RT-DETR by Ultralytics: cx cy w h as fractions, a score for each class",
        _all_queries_shaped,
        _all_queries,
    ),
    LayoutKind(
        "yolov7-flat",
        "YOLOv7 end to end: picture x1 y1 x2 y2 class score",
        _flat_shaped("yolov7-flat", (1, 6, 5), "picture, corners, class number, score", _LETTERBOX),
        _flat,
    ),
    LayoutKind(
        "yolo-nas-flat",
        "YOLO-NAS: picture x1 y1 x2 y2 score class",
        _flat_shaped("yolo-nas-flat", (1, 5, 6), "picture, corners, score, class number", _LETTERBOX),
        _flat,
    ),
    LayoutKind("paddle", "PaddleDetection: class score x1 y1 x2 y2", _paddle_shaped, _paddle),
    LayoutKind("end-to-end-flat", "x1 y1 x2 y2 score class without a batch", _flat_six_shaped, _flat_six),
)
