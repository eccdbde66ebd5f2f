"""Boxes, scores and class numbers in outputs of their own.

Sources: TensorFlow's Object Detection API (top, left, bottom, right as shares, classes from 1); torchvision's detectors (no batch axis,
classes from 1); the outputs of TensorRT's suppression plugin that YOLOv5 and YOLOv7 export (`num_dets, det_boxes, det_scores,
det_classes`); YOLO-NAS by super-gradients, batch format (`num_predictions, pred_boxes, pred_scores, pred_classes`); RT-DETR, D-FINE and
DEIM with their post-processor (`labels, boxes, scores` and the input `orig_target_sizes`); mmdeploy (`dets` with scores in the fifth
column, `labels`); DeepStream-Yolo's three outputs and others that hold every cell before suppression.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from videodag_cli.data import Floats
from videodag_cli.vision.onnx.layouts.base import (
    Ask,
    BoxForm,
    Candidates,
    Layout,
    from_centers,
    to_pixels,
    within_unit,
)
from videodag_cli.vision.onnx.layouts.evidence import (
    Against,
    Evidence,
    LayoutKind,
    Shaped,
    all_whole,
    best,
    doubled,
    ordered,
    seen,
    shares,
)
from videodag_cli.vision.onnx.layouts.extras import Outputs
from videodag_cli.vision.onnx.model_facts import Size
from videodag_cli.vision.onnx.preprocessing import InputFormat

SIZE_INPUTS = ("orig_target_sizes", "orig_size", "target_sizes", "im_shape", "image_shape")
_TENSORFLOW = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
"""Names in TensorFlow's Object Detection API, which has further outputs beside them, and of TensorRT's plugin."""
_LETTERBOX, _STRETCHED = InputFormat(), InputFormat(fit="stretch")


@dataclass(frozen=True, kw_only=True)
class Arrays(Layout):
    """Boxes, scores and classes in outputs of their own, and perhaps how many of them count."""

    tells_rows = True
    boxes_output: str
    classes: str
    scores: str | None
    """None: the fifth column of the boxes."""
    count: str | None = None
    y_first: bool = False
    """Boxes are top, left, bottom, right."""
    boxes: BoxForm = "corners"

    def decode(self, outputs: Outputs, row: int, size: Size, threshold: float) -> Candidates:
        boxes = _of_row(outputs[self.boxes_output], row, 2)
        scores = boxes[:, 4] if self.scores is None else _flat(outputs[self.scores], row, len(boxes))
        classes = _flat(outputs[self.classes], row, len(boxes))
        valid = (scores > threshold) & (classes >= 0)
        if self.count is not None:
            counts = np.asarray(outputs[self.count]).reshape(-1)
            valid &= np.arange(len(scores)) < int(counts[min(row, len(counts) - 1)])
        xyxy = boxes[valid, :4]
        xyxy = xyxy[:, [1, 0, 3, 2]] if self.y_first else xyxy
        xyxy = from_centers(xyxy) if self.boxes == "center" else xyxy
        return Candidates.of(to_pixels(xyxy, size), scores[valid], np.rint(classes[valid]), valid)


class _Parts(NamedTuple):
    """Names of the outputs."""

    boxes: str
    scores: str | None
    classes: str
    how_many: str | None


def _parts(evidence: Evidence) -> _Parts | None:
    outputs = evidence.outputs
    if all(name in outputs for name in _TENSORFLOW[:3]):
        return _Parts(*_TENSORFLOW[:3], _TENSORFLOW[3] if _TENSORFLOW[3] in outputs else None)
    if not 2 <= len(outputs) <= 6:
        return None
    boxes = [n for n in evidence.of_rank(3) or evidence.of_rank(2) if outputs[n].shape[-1] in (4, 5)]
    if len(boxes) != 1:
        return None
    box = boxes[0]
    shape = outputs[box].shape[:-1]
    others = [n for n in outputs if n != box]
    count = next((n for n in others if "num" in n.lower() or "count" in n.lower()), None)
    if count is None:
        count = next((n for n in others if outputs[n].shape not in (shape, (*shape, 1)) and outputs[n].size == 1), None)
    flat = [n for n in others if n != count and outputs[n].shape in (shape, (*shape, 1))]
    if outputs[box].shape[-1] == 5:
        return _Parts(box, None, flat[0], count) if len(flat) == 1 else None
    if len(flat) != 2:
        return None
    classes = _classes(evidence, flat)
    return None if classes is None else _Parts(box, next(n for n in flat if n != classes), classes, count)


def _classes(evidence: Evidence, names: list[str]) -> str | None:
    """Which of two outputs holds class numbers: by its name, its type, or its values; None where nothing decides."""
    for words, meant in ((("class", "label", "cls"), True), (("score", "conf", "prob"), False)):
        called = [n for n in names if any(word in n.lower() for word in words)]
        if len(called) == 1:
            return called[0] if meant else next(n for n in names if n != called[0])
    integers = [n for n in names if np.issubdtype(evidence.outputs[n].dtype, np.integer)]
    if len(integers) == 1:
        return integers[0]
    numbers = [n for n in names if all_whole(np.concatenate([np.ravel(run[n]) for run in evidence.runs]))]
    return numbers[0] if len(numbers) == 1 else None


def _shaped(
    name: str,
    reason: str,
    form: InputFormat,
    *,
    scored: bool = False,
    counted: bool | None = None,
    first_class: int = 0,
    y_first: bool = False,
    suppressed: bool = True,
    batch: bool | None = None,
    asks: frozenset[Ask] = frozenset(),
) -> Shaped:
    def shaped(evidence: Evidence) -> Layout | None:
        parts = _parts(evidence)
        if parts is None or (parts.scores is None) != scored:
            return None
        if counted not in (None, parts.how_many is not None):
            return None
        if batch not in (None, evidence.outputs[parts.boxes].ndim == 3):
            return None
        form_of_boxes: BoxForm = "corners"
        told = asks
        if name == "num-dets" and parts.boxes.lower() == "boxes":  # MMYOLO's, whose detectors differ in what they want
            told = frozenset(("values", "channels"))
        elif evidence.facts.picture.dtype == "uint8":
            told = asks - {"values"}
        elif name == "rt-detr-sized" and evidence.graph.patch_side:  # DEIMv2 on DINOv3, which wants what ImageNet has
            told = asks | {"values"}
        if not suppressed and not ordered(best(*_rows(evidence, parts)[:2])):
            form_of_boxes = "center"
        return Arrays(
            name=name,
            form=form,
            class_count=None,
            suppressed=suppressed,
            first_class=first_class,
            boxes_output=parts.boxes,
            classes=parts.classes,
            scores=parts.scores,
            count=parts.how_many,
            y_first=y_first,
            boxes=form_of_boxes,
            asks=told,
            reasons=(f"boxes in {parts.boxes}, classes in {parts.classes}", reason),
        )

    return shaped


def _rows(evidence: Evidence, parts: _Parts) -> tuple[Floats, Floats, Floats]:
    """Boxes, scores and classes of the first picture of every run."""
    runs = list(_each(evidence, parts))
    boxes, scores, classes = (np.concatenate(columns) for columns in zip(*runs, strict=True))
    return boxes, scores, classes


def _each(evidence: Evidence, parts: _Parts) -> Iterator[tuple[Floats, Floats, Floats]]:
    for run in evidence.runs:
        boxes = _of_row(run[parts.boxes], 0, 2)
        scores = boxes[:, 4] if parts.scores is None else _flat(run[parts.scores], 0, len(boxes))
        classes = _flat(run[parts.classes], 0, len(boxes))
        finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores) & np.isfinite(classes)
        yield boxes[finite], scores[finite], classes[finite]


def _against(check: Against, *, corners: bool = True, first: int | None = None) -> Against:
    """`check`, and whether classes and scores can be what their outputs are called."""

    def against(evidence: Evidence, layout: Layout) -> str | None:
        parts = _parts(evidence)
        assert parts is not None
        boxes, scores, classes = _rows(evidence, parts)
        if why := check(evidence, layout):
            return why
        if not all_whole(classes):
            return f"{parts.classes} contains numbers that are not whole"
        if not within_unit(np.maximum(scores, 0)):
            return "numbers outside 0..1 where scores should be"
        held = classes[scores > 0.01]
        if first == 1 and len(held) and held.min() == 0:
            return "class 0 is found, which would be the background"
        limit = evidence.label_count
        if limit is not None and len(held) and held.max() >= limit + layout.first_class:
            return f"class numbers up to {int(held.max())}, but {limit} labels"
        if corners and not ordered(best(boxes, scores)):
            return "right or bottom edges lie before left or top ones"
        return None

    return against


def _named(evidence: Evidence, *words: str) -> bool:
    parts = _parts(evidence)
    return parts is not None and any(word in parts.boxes.lower() for word in words)


def _in_pixels(evidence: Evidence) -> bool | None:
    """Whether boxes are in pixels and not shares; None where no run found any."""
    parts = _parts(evidence)
    assert parts is not None
    boxes = seen(_rows(evidence, parts)[0])
    return None if not len(boxes) else not shares(boxes)


def _tensorflow(evidence: Evidence, layout: Layout) -> str | None:
    if not _named(evidence, "detection_boxes", "tflite_detection_postprocess"):
        return "the boxes do not have TensorFlow's name"
    pixels = _in_pixels(evidence)
    if pixels is None:
        return "its picture is of 3xHxW, and TensorFlow's is of HxWx3" if evidence.facts.channels_first else None
    return "the boxes are in pixels, not fractions" if pixels else None


def _plugin(evidence: Evidence, layout: Layout) -> str | None:
    assert isinstance(layout, Arrays)
    if _named(evidence, "det_boxes") or (layout.count or "").lower() == "num_dets":
        return None
    if not _named(evidence, "detection_boxes", "nmsed_boxes"):
        return "the boxes do not have the plugin's name"
    pixels = _in_pixels(evidence)
    if pixels is None:
        return None if evidence.facts.channels_first else "its picture is of HxWx3"
    return None if pixels else "the boxes are fractions, not pixels"


def _nas_batch(evidence: Evidence, layout: Layout) -> str | None:
    assert isinstance(layout, Arrays)
    told = "num_predictions" in (layout.count or "").lower() or _named(evidence, "pred_boxes")
    return None if told else "the outputs do not have YOLO-NAS's names"


def _sized(evidence: Evidence, layout: Layout) -> str | None:
    return None if evidence.input_named(*SIZE_INPUTS) else "there is no input for the picture's size"


def _torchvision(evidence: Evidence, layout: Layout) -> str | None:
    if evidence.input_named(*SIZE_INPUTS):
        return "there is an input for the picture's size"
    return "the outputs are another exporter's" if _exported_elsewhere(evidence) else None


def _torchvision_columns(evidence: Evidence, layout: Layout) -> str | None:
    """RetinaNet and FCOS give the number of a column, by a remainder; whether the first was a class depends on the training."""
    if not evidence.graph.has("Mod"):
        return "no class number is the number of a column, as in RetinaNet and FCOS"
    parts = _parts(evidence)
    assert parts is not None
    _, scores, classes = _rows(evidence, parts)
    held = classes[scores > 0.01]
    if evidence.label_count is None and not (len(held) and held.min() == 0):
        return "class 0 is not found"
    return _torchvision(evidence, layout)


def _mmdeploy(evidence: Evidence, layout: Layout) -> str | None:
    return None


def _exported_elsewhere(evidence: Evidence) -> bool:
    """The outputs' names are those of an exporter that has a layout of its own."""
    parts = _parts(evidence)
    if parts is not None and (parts.how_many or "").lower() in ("num_dets", "num_predictions"):
        return True
    return _named(evidence, "detection_boxes", "tflite_detection_postprocess", "det_boxes", "nmsed_boxes", "pred_boxes")


def _dense(evidence: Evidence) -> bool:
    parts = _parts(evidence)
    assert parts is not None
    return evidence.on_a_grid(evidence.outputs[parts.boxes].shape[-2]) or any(
        doubled(*run) for run in _each(evidence, parts)
    )


def _all_cells(evidence: Evidence, layout: Layout) -> str | None:
    assert isinstance(layout, Arrays)
    if layout.count is not None or evidence.input_named(*SIZE_INPUTS) or evidence.finished is True:
        return "boxes are chosen inside the model"
    return None if _dense(evidence) else "there are not as many boxes as cells, and none lie on each other"


def _chosen(evidence: Evidence, layout: Layout) -> str | None:
    if evidence.input_named(*SIZE_INPUTS):
        return "there is an input for the picture's size"
    if _exported_elsewhere(evidence):
        return "the outputs are another exporter's"
    if evidence.finished is not True and _dense(evidence):
        return "there are as many boxes as cells, or boxes of one class lie on each other"
    return None


def _of_row(values: object, row: int, rank: int) -> Floats:
    """A picture's part of an output that may lack the batch axis."""
    array = np.asarray(values, np.float64)
    return array[row] if array.ndim == rank + 1 else array


def _flat(values: object, row: int, count: int) -> Floats:
    """A picture's `count` numbers, whether or not there is an axis for the batch and one of length 1 at the end."""
    array = np.asarray(values, np.float64)
    return array.reshape(-1) if array.size == count else array.reshape(len(array), -1)[row]


_VALUES: frozenset[Ask] = frozenset(("values",))
KINDS = (
    LayoutKind(
        "tensorflow",
        "TensorFlow's Object Detection API: top left bottom right as fractions, classes from 1",
        _shaped(
            "tensorflow",
            "outputs named as TensorFlow does",
            _STRETCHED,
            first_class=1,
            y_first=True,
            asks=_VALUES,
        ),
        _against(_tensorflow, first=1),
    ),
    LayoutKind(
        "num-dets",
        "YOLOv5 or YOLOv7 with TensorRT's suppression: num_dets, det_boxes, det_scores, det_classes",
        _shaped("num-dets", "outputs named as the suppression plugin does", _LETTERBOX, counted=True),
        _against(_plugin),
    ),
    LayoutKind(
        "yolo-nas-batch",
        "YOLO-NAS: num_predictions, pred_boxes, pred_scores, pred_classes",
        _shaped("yolo-nas-batch", "outputs named as YOLO-NAS does", InputFormat(fit="corner"), counted=True),
        _against(_nas_batch),
    ),
    LayoutKind(
        "rt-detr-sized",
        "RT-DETR, D-FINE, DEIM with an input for the picture's size",
        _shaped("rt-detr-sized", "an input for the picture's size", _STRETCHED, counted=None),
        _against(_sized),
    ),
    LayoutKind(
        "torchvision",
        "torchvision: boxes, labels, scores without a batch axis, classes from 1",
        _shaped("torchvision", "no batch axis, classes from 1", _STRETCHED, first_class=1, counted=False, batch=False),
        _against(_torchvision, first=1),
    ),
    LayoutKind(
        "torchvision-from-0",
        "the same from RetinaNet or FCOS, trained with classes from 0",
        _shaped("torchvision-from-0", "no batch axis, classes from 0", _STRETCHED, counted=False, batch=False),
        _against(_torchvision_columns),
    ),
    LayoutKind(
        "mmdeploy",
        "mmdeploy: dets with a score in the fifth column, labels",
        _shaped(
            "mmdeploy",
            "scores in the fifth column of the boxes",
            InputFormat(fit="corner", values="imagenet"),
            scored=True,
            asks=frozenset(("values", "channels")),
        ),
        _against(_mmdeploy),
    ),
    LayoutKind(
        "every-cell-arrays",
        "DeepStream-Yolo and others: boxes, scores, classes of every cell before suppression",
        _shaped("every-cell-arrays", "as many boxes as cells", _LETTERBOX, counted=False, suppressed=False),
        _against(_all_cells, corners=False),
    ),
    LayoutKind(
        "arrays",
        "boxes, scores, classes after suppression, classes from 0",
        _shaped("arrays", "classes from 0", _STRETCHED, batch=True, asks=_VALUES),
        _against(_chosen),
    ),
    LayoutKind(
        "arrays-from-1",
        "boxes, scores, classes after suppression, classes from 1 because 0 is the background",
        _shaped("arrays-from-1", "classes from 1", _STRETCHED, batch=True, first_class=1, asks=_VALUES),
        _against(_chosen, first=1),
    ),
)
