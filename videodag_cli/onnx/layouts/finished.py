"""Outputs that are final boxes: suppression has happened inside the model.

One table (YOLOv10, Ultralytics exports with `nms=True`, YOLOv7 end to end, PaddleDetection), or separate arrays of boxes, scores and
classes (TensorFlow Object Detection API, torchvision, RT-DETR's own export, the TensorRT plugin's outputs, MMDetection).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from videodag_cli.data import Floats
from videodag_cli.onnx.facts import Size
from videodag_cli.onnx.layouts.base import Boxes, Layout, Outputs, Probe, to_pixels
from videodag_cli.onnx.picture import InputFormat, Values

SIZE_INPUTS = ("orig_target_sizes", "orig_size", "target_sizes", "im_shape", "image_shape")


@dataclass(frozen=True, kw_only=True)
class Table(Layout):
    """Rows of box, score and class, in the order that `columns` gives (box, score, class as column numbers)."""

    output: str
    columns: tuple[int, int, int]
    picture_column: int | None = None
    """Where the rows of all pictures are in one table: the column with the picture's number."""

    def decode(self, outputs: Outputs, row: int, size: Size, threshold: float) -> Boxes:
        table = np.asarray(outputs[self.output], np.float64)
        if table.ndim == 3:
            table = table[row]
        elif self.picture_column is not None:
            table = table[table[:, self.picture_column] == row]
        box, score, kind = self.columns
        table = table[(table[:, score] > threshold) & (table[:, kind] >= 0)]
        return Boxes.of(to_pixels(table[:, box : box + 4], size), table[:, score], np.rint(table[:, kind]))


@dataclass(frozen=True, kw_only=True)
class Arrays(Layout):
    """Boxes, scores and classes in outputs of their own, and perhaps how many of them count."""

    boxes: str
    classes: str
    scores: str | None
    """None: the fifth column of the boxes."""
    count: str | None = None
    y_first: bool = False
    """Boxes are top, left, bottom, right."""

    def decode(self, outputs: Outputs, row: int, size: Size, threshold: float) -> Boxes:
        boxes = _of_row(outputs[self.boxes], row, 2)
        scores = boxes[:, 4] if self.scores is None else _of_row(outputs[self.scores], row, 1)
        classes = _of_row(outputs[self.classes], row, 1)
        valid = scores > threshold
        if self.count is not None:
            counts = np.asarray(outputs[self.count]).reshape(-1)
            valid &= np.arange(len(scores)) < int(counts[min(row, len(counts) - 1)])
        xyxy = boxes[valid, :4]
        xyxy = xyxy[:, [1, 0, 3, 2]] if self.y_first else xyxy
        return Boxes.of(to_pixels(xyxy, size), scores[valid], np.rint(classes[valid]))


def recognise(probe: Probe) -> Layout | None:
    return _arrays(probe) or _table(probe)


def _table(probe: Probe) -> Layout | None:
    names = [n for n in (*probe.of_rank(3), *probe.of_rank(2)) if probe.outputs[n].shape[-1] in (6, 7)]
    if len(names) != 1 or any(v.ndim > 3 for v in probe.outputs.values()):
        return None
    width, rank = probe.outputs[names[0]].shape[-1], probe.outputs[names[0]].ndim
    paddle = any(p.name == "scale_factor" for p in probe.facts.inputs) or "multiclass_nms" in names[0]
    if paddle and width == 6:
        form = InputFormat(fit="stretch", values="imagenet")
        return Table(name="paddle", form=form, class_count=None, suppressed=True, output=names[0], columns=(2, 1, 0))
    if width == 6 and rank == 3:
        form = InputFormat()
        return Table(
            name="end-to-end", form=form, class_count=None, suppressed=True, output=names[0], columns=(0, 4, 5)
        )
    if width == 7 and rank == 2:
        return Table(
            name="end-to-end",
            form=InputFormat(),
            class_count=None,
            suppressed=True,
            output=names[0],
            columns=(1, 6, 5),
            picture_column=0,
        )
    return None


def _arrays(probe: Probe) -> Layout | None:
    outputs = probe.outputs
    boxes = [n for n in probe.of_rank(3) or probe.of_rank(2) if outputs[n].shape[-1] in (4, 5)]
    if len(boxes) != 1 or not 2 <= len(outputs) <= 5:
        return None
    box = boxes[0]
    flat = [n for n, v in outputs.items() if n != box and v.ndim == outputs[box].ndim - 1]
    count = next((n for n in outputs if n != box and ("num" in n.lower() or "count" in n.lower())), None)
    if count is None:
        count = next((n for n in outputs if n not in flat and n != box and outputs[n].size == 1), None)
    flat = [n for n in flat if n != count]
    scored = outputs[box].shape[-1] == 5
    if len(flat) != (1 if scored else 2):
        return None
    classes = flat[0] if scored else _classes(probe, flat)
    scores = None if scored else next(n for n in flat if n != classes)
    tensorflow = "detection_boxes" in box.lower() or "tflite_detection_postprocess" in box.lower()
    sized = any(p.name.lower() in SIZE_INPUTS for p in probe.facts.inputs)
    plugin = box.lower().startswith("det_")
    counted_from_0 = sized or plugin or scored or (not tensorflow and count is not None)
    values: Values = "imagenet" if scored else "unit"
    fit_form = InputFormat(fit="corner" if scored else "center") if scored or plugin else InputFormat(fit="stretch")
    return Arrays(
        name="rt-detr" if sized else "ssd",
        form=InputFormat(fit=fit_form.fit, values=values),
        class_count=None,
        suppressed=True,
        first_class=0 if counted_from_0 else 1,
        boxes=box,
        classes=classes,
        scores=scores,
        count=count,
        y_first=tensorflow,
    )


def _classes(probe: Probe, names: list[str]) -> str:
    """Which of two outputs holds class numbers: by its name, its type, or its values."""
    for name in names:
        if "class" in name.lower() or "label" in name.lower():
            return name
    for name in names:
        if any("score" in other.lower() or "conf" in other.lower() for other in names if other != name):
            return name
    for name in names:
        if np.issubdtype(probe.outputs[name].dtype, np.integer):
            return name
    whole = [n for n in names if bool((probe.outputs[n] == np.rint(probe.outputs[n])).all())]
    return whole[-1] if whole else names[-1]


def _of_row(values: object, row: int, rank: int) -> Floats:
    """A picture's part of an output that may lack the batch axis."""
    array = np.asarray(values, np.float64)
    return array[row] if array.ndim == rank + 1 else array
