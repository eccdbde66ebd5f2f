"""Boxes in one output and the scores of every class in another.

Sources: Carion et al., "End-to-End Object Detection with Transformers", 2020 (softmax, the last class means nothing; pictures normalised
as ImageNet); Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection", 2023, and D-FINE (sigmoid, 0..1); RF-DETR by Roboflow
(`dets` and `labels`, sigmoid, normalised as ImageNet; a model of one's own has a last column that means nothing, COCO's has 91 category
numbers); YOLO-NAS by super-gradients (corners in pixels and scores of every cell); DAMO-YOLO by Alibaba has
the same and takes its picture as bytes; YOLOv4 in PyTorch by Tianxiaomo (corners as fractions,
1xNx1x4, and scores); SSD in PyTorch by qfgaohao (corners as fractions, softmax applied, the first class means nothing).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from videodag_cli.vision.onnx.layouts.base import (
    Background,
    BoxForm,
    Candidates,
    Layout,
    activated,
    best_class,
    from_centers,
    to_pixels,
    within_unit,
)
from videodag_cli.vision.onnx.layouts.evidence import (
    Evidence,
    LayoutKind,
    Shaped,
    best,
    boxes_inside,
    doubled,
    ordered,
    shares,
)
from videodag_cli.vision.onnx.layouts.extras import Outputs
from videodag_cli.vision.onnx.model_facts import Size
from videodag_cli.vision.onnx.preprocessing import InputFormat

_COCO_CATEGORIES = 91
"""COCO's category numbers 0 to 90."""
_SHARE_OF_NOTHING = (0.1, 0.5)
_OF_LATER_KINDS = ("TopK", "GridSample")
"""Operations of RT-DETR, D-FINE, Deformable DETR and RF-DETR; DETR, YOLOS and Conditional DETR have neither."""


@dataclass(frozen=True, kw_only=True)
class BoxesAndScores(Layout):
    """(batch, N, 4) boxes and (batch, N, classes) scores."""

    activates = True
    tells_rows = True
    boxes_output: str
    scores_output: str
    boxes: BoxForm
    background: Background = "none"
    """The column that means nothing. Class numbers are those of the columns, so they begin with 1 behind the first."""

    def decode(self, outputs: Outputs, row: int, size: Size, threshold: float) -> Candidates:
        scores = activated(np.asarray(outputs[self.scores_output][row], np.float64), self.activation)
        first, last = int(self.background == "first"), -1 if self.background == "last" else None
        best, class_ids = best_class(scores[:, first:last])
        chosen = best > threshold
        boxes = np.asarray(outputs[self.boxes_output][row], np.float64).reshape(-1, 4)[chosen]
        xyxy = from_centers(boxes) if self.boxes == "center" else boxes
        return Candidates.of(to_pixels(xyxy, size), best[chosen], class_ids[chosen] + first, chosen)


class _Pair(NamedTuple):
    """The names of two outputs that belong together."""

    boxes: str
    scores: str
    rows: int
    columns: int


def _pair(evidence: Evidence) -> _Pair | None:
    outputs = evidence.outputs
    fours = [n for n in evidence.of_rank(4) if outputs[n].shape[2:] == (1, 4)]
    threes = evidence.of_rank(3)
    called = [n for n in threes if n.lower() in ("logits", "pred_logits", "pred_boxes")]
    threes = called if len(called) == 2 else threes
    if len(fours) == 1 and len(threes) == 1:
        boxes, scores = fours[0], threes[0]
    elif len(threes) == 2:
        found = [n for n in threes if outputs[n].shape[2] == 4]
        if len(found) == 2:
            found = [n for n in threes if "box" in n.lower() or n.lower() == "dets"]
        if len(found) != 1:
            found = _by_values(evidence, threes)
        if len(found) != 1:
            return None
        boxes, scores = found[0], next(n for n in threes if n != found[0])
    else:
        return None
    if outputs[boxes].shape[1] != outputs[scores].shape[1]:
        return None
    return _Pair(boxes, scores, outputs[scores].shape[1], outputs[scores].shape[2])


def _by_values(evidence: Evidence, names: list[str]) -> list[str]:
    """Which of two equal shapes holds boxes: of cells those that are not within 0..1, of queries those that are."""
    unit = [n for n in names if within_unit(evidence.rows(n))]
    cells = evidence.on_a_grid(evidence.outputs[names[0]].shape[1])
    return [n for n in names if (n in unit) != cells] if len(unit) == 1 else []


def _shaped(name: str, reason: str, form: InputFormat, read: Callable[[Evidence, _Pair], dict[str, Any]]) -> Shaped:
    """`read` gives activation, background and form of the boxes, and what else depends on the model."""

    def shaped(evidence: Evidence) -> Layout | None:
        pair = _pair(evidence)
        if pair is None:
            return None
        told: dict[str, Any] = {"form": form, "suppressed": True, "boxes": "center", "background": "none"} | read(
            evidence, pair
        )
        count = pair.columns - (told["background"] != "none")
        if count < 1:
            return None
        return BoxesAndScores(
            name=name,
            class_count=count,
            boxes_output=pair.boxes,
            scores_output=pair.scores,
            reasons=(f"{pair.rows} boxes and {pair.columns} scores for each in another output", reason),
            **told,
        )

    return shaped


def _nothing(evidence: Evidence, pair: _Pair) -> float:
    """The share of rows whose last column, read through a softmax, says that there is nothing."""
    logits = evidence.rows(pair.scores)
    if pair.columns < 2 or not len(logits):
        return 0.0
    last = activated(logits, "softmax")[:, -1]
    return float(((last > 0.5) & (logits[:, -1] > 0)).mean())


def _sums(evidence: Evidence, pair: _Pair) -> bool:
    """Whether the scores of each row add up to one: a softmax was applied."""
    scores = evidence.rows(pair.scores)
    return pair.columns > 1 and within_unit(scores) and bool(np.abs(scores.sum(axis=1) - 1).max(initial=0) < 0.02)


def _is_unit(evidence: Evidence, pair: _Pair) -> bool:
    return "logit" not in pair.scores.lower() and within_unit(evidence.rows(pair.scores))


def _rf_names(pair: _Pair) -> bool:
    return pair.boxes.lower() == "dets" and pair.scores.lower() == "labels"


def _labelled(evidence: Evidence, layout: Layout) -> str | None:
    if evidence.label_count not in (None, layout.class_count):
        return f"{layout.class_count} classes, but {evidence.label_count} labels"
    return None


def _top(evidence: Evidence, pair: _Pair) -> NDArray[Any]:
    return best(evidence.rows(pair.boxes), evidence.rows(pair.scores).max(axis=1))


def _queries(evidence: Evidence, layout: Layout) -> str | None:
    """What speaks against boxes of queries: shares of the picture, none of them for a cell."""
    pair = _pair(evidence)
    assert pair is not None
    if evidence.grid_of(pair.rows) is not None or evidence.grid_of(pair.rows, each=3) is not None:
        return f"{pair.rows} boxes are those of every cell"
    if why := _labelled(evidence, layout):
        return why
    return None if shares(evidence.rows(pair.boxes)) else "the boxes are not fractions of the picture"


def _detr(evidence: Evidence, layout: Layout) -> str | None:
    pair = _pair(evidence)
    assert pair is not None
    if _rf_names(pair):
        return "the outputs have RF-DETR's names"
    if _is_unit(evidence, pair):
        return "the scores are within 0..1 already"
    if evidence.graph.has(*_OF_LATER_KINDS):
        return "the network chooses queries or samples places of the picture, which DETR does not"
    nothing = _nothing(evidence, pair)
    known = pair.columns == _COCO_CATEGORIES + 1 or evidence.input_named("pixel_values")
    if not known and nothing < _SHARE_OF_NOTHING[0]:
        return f"the last column wins in {nothing:.0%} of the rows: it is not the background"
    return _queries(evidence, layout)


def _rt_read(evidence: Evidence, pair: _Pair) -> dict[str, Any]:
    """Of what Transformers exports (`pixel_values`), RT-DETR and D-FINE take 0..1; they choose the best queries and sample places of the
    picture, and do not begin with patches. Conditional and Deformable DETR and RF-DETR want what ImageNet has."""
    extra = evidence.label_count is not None and evidence.label_count == pair.columns - 1
    corners = (
        "pred_box" not in pair.boxes.lower()
        and ordered(_top(evidence, pair))
        and not boxes_inside(_top(evidence, pair))
    )
    normalised = pair.columns == _COCO_CATEGORIES
    chooses = evidence.graph.has("TopK") and evidence.graph.has("GridSample") and not evidence.graph.patch_side
    open_values = evidence.input_named("pixel_values") and not normalised and not chooses
    return {
        "activation": "none" if _is_unit(evidence, pair) else "sigmoid",
        "background": "last" if extra else "none",
        "boxes": "corners" if corners else "center",
        "form": InputFormat(fit="stretch", values="imagenet" if normalised else "unit"),
        "asks": frozenset(("values",)) if open_values else frozenset(),
    }


def _rt_detr(evidence: Evidence, layout: Layout) -> str | None:
    pair = _pair(evidence)
    assert pair is not None
    assert isinstance(layout, BoxesAndScores)
    if _rf_names(pair):
        return "the outputs have RF-DETR's names"
    if pair.columns == _COCO_CATEGORIES + 1:
        return "92 columns are COCO's 91 categories and one for nothing"
    if _sums(evidence, pair):
        return "the scores of a row add up to one: a softmax was applied"
    nothing = _nothing(evidence, pair)
    if layout.activation == "sigmoid" and nothing > _SHARE_OF_NOTHING[1]:
        return f"the last column wins in {nothing:.0%} of the rows: it is the background"
    if why := _queries(evidence, layout):
        return why
    runs = zip(evidence.each(pair.boxes), evidence.each(pair.scores), strict=True)
    if layout.activation == "none" and any(doubled(box, s.max(axis=1), s.argmax(axis=1)) for box, s in runs):
        return "boxes of one class lie on each other"
    return None


def _rf_read(evidence: Evidence, pair: _Pair) -> dict[str, Any]:
    """One column more than classes is the last or the first: that depends on the numbers of its training's categories."""
    extra = evidence.label_count is not None and evidence.label_count == pair.columns - 1
    return {
        "activation": "sigmoid",
        "background": "last" if extra else "none",
        "asks": frozenset(("background",)) if extra else frozenset(),
    }


def _rf_detr(evidence: Evidence, layout: Layout) -> str | None:
    pair = _pair(evidence)
    assert pair is not None
    return _queries(evidence, layout) if _rf_names(pair) else "the outputs are not called dets and labels"


def _dense_read(evidence: Evidence, pair: _Pair) -> dict[str, Any]:
    corners = ordered(_top(evidence, pair))
    return {"activation": "none", "boxes": "corners" if corners else "center", "suppressed": False}


def _yolo_nas(evidence: Evidence, layout: Layout) -> str | None:
    pair = _pair(evidence)
    assert pair is not None
    assert isinstance(layout, BoxesAndScores)
    if evidence.grid_of(pair.rows) is None:
        return f"{pair.rows} boxes are not one for each cell"
    damo = pair.scores == "output" or "Slice" in evidence.graph.first
    if damo != (layout.name == "damo-yolo"):
        seen = "the output of scores is called output, or the picture is cut into four first"
        return (
            f"{seen}, as in DAMO-YOLO" if damo else "neither its outputs' names nor its first operation are DAMO-YOLO's"
        )
    if not _is_unit(evidence, pair):
        return "numbers outside 0..1 where class scores should be"
    if _sums(evidence, pair):
        return "the scores of a row add up to one: a softmax was applied"
    return _labelled(evidence, layout)


def _yolov4(evidence: Evidence, layout: Layout) -> str | None:
    pair = _pair(evidence)
    assert pair is not None
    if evidence.grid_of(pair.rows, each=3) is None:
        return f"{pair.rows} boxes are not three for each cell"
    if not _is_unit(evidence, pair):
        return "numbers outside 0..1 where class scores should be"
    if not shares(_top(evidence, pair)) or not ordered(_top(evidence, pair)):
        return "the boxes are not corners as fractions of the picture"
    return _labelled(evidence, layout)


def _ssd_read(evidence: Evidence, pair: _Pair) -> dict[str, Any]:
    return {
        "activation": "none",
        "boxes": "corners",
        "background": "first",
        "suppressed": False,
        "first_class": 1,
        "asks": frozenset(("values",)),
    }


def _ssd(evidence: Evidence, layout: Layout) -> str | None:
    pair = _pair(evidence)
    assert pair is not None
    if not _sums(evidence, pair):
        return "the scores of a row do not add up to one"
    if not shares(evidence.rows(pair.boxes)) or not ordered(_top(evidence, pair)):
        return "the boxes are not corners as fractions of the picture"
    scores = evidence.rows(pair.scores)
    wins = np.bincount(scores.argmax(axis=1), minlength=pair.columns)
    if wins[0] <= wins[1:].max(initial=0):
        return "the first class does not win most rows, as background would"
    if evidence.label_count not in (None, pair.columns - 1, pair.columns):
        return f"{pair.columns} columns, but {evidence.label_count} labels"
    return None


_STRETCHED = InputFormat(fit="stretch")
_DAMO = InputFormat(fit="corner", values="byte", border=0)
_NORMALISED = InputFormat(fit="stretch", values="imagenet")
KINDS = (
    LayoutKind(
        "detr",
        "DETR: logits whose last column is the background, boxes as fractions",
        _shaped(
            "detr",
            "logits through a softmax, the last column is the background",
            _NORMALISED,
            lambda _, __: {"activation": "softmax", "background": "last"},
        ),
        _detr,
    ),
    LayoutKind(
        "rt-detr",
        "RT-DETR, D-FINE: a logit for each class, boxes as fractions",
        _shaped("rt-detr", "independent classes, no column for the background", _STRETCHED, _rt_read),
        _rt_detr,
    ),
    LayoutKind(
        "rf-detr",
        "RF-DETR: dets and labels, a logit for each class",
        _shaped("rf-detr", "outputs dets and labels", _NORMALISED, _rf_read),
        _rf_detr,
    ),
    LayoutKind(
        "yolo-nas",
        "YOLO-NAS: boxes in pixels and scores of every cell",
        _shaped("yolo-nas", "scores within 0..1, one row for each cell", InputFormat(fit="corner"), _dense_read),
        _yolo_nas,
    ),
    LayoutKind(
        "damo-yolo",
        "DAMO-YOLO: boxes in pixels and scores of every cell, the picture as bytes",
        _shaped("damo-yolo", "scores within 0..1, one row for each cell", _DAMO, _dense_read),
        _yolo_nas,
    ),
    LayoutKind(
        "yolov4",
        "YOLOv4: corners as fractions and scores, three for each cell",
        _shaped(
            "yolov4",
            "corners as fractions, three rows for each cell",
            _STRETCHED,
            lambda _, __: {"activation": "none", "boxes": "corners", "suppressed": False},
        ),
        _yolov4,
    ),
    LayoutKind(
        "ssd-scores",
        "SSD: corners as fractions, scores through a softmax, the first class is background",
        _shaped("ssd-scores", "scores of a row add up to one, mostly of the first class", _STRETCHED, _ssd_read),
        _ssd,
    ),
)
