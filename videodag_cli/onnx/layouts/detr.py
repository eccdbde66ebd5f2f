"""Boxes in one output and the scores of every class in another: DETR, RT-DETR, D-FINE, RF-DETR, YOLO-NAS.

Sources: Carion et al., "End-to-End Object Detection with Transformers", 2020 (softmax, the last class means nothing);
Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection", 2023 (sigmoid).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from videodag_cli.onnx.description import Activation
from videodag_cli.onnx.facts import Size
from videodag_cli.onnx.layouts.base import (
    Boxes,
    Layout,
    Outputs,
    Probe,
    best_class,
    from_centers,
    sigmoid,
    to_pixels,
    within_unit,
)
from videodag_cli.onnx.picture import InputFormat

DETR_COLUMNS = 92
"""COCO's category numbers 0 to 90, and one for nothing."""


@dataclass(frozen=True, kw_only=True)
class BoxesAndScores(Layout):
    """(batch, N, 4) boxes and (batch, N, classes) scores."""

    boxes: str
    scores: str
    centered: bool
    """Boxes are centre, width, height; else corners."""

    def decode(self, outputs: Outputs, row: int, size: Size, threshold: float) -> Boxes:
        raw = np.asarray(outputs[self.scores][row], np.float64)
        if self.activation == "softmax":
            weights = np.exp(raw - raw.max(axis=1, keepdims=True))
            scores = (weights / weights.sum(axis=1, keepdims=True))[:, :-1]
        else:
            scores = sigmoid(raw) if self.activation == "sigmoid" else raw
        best, class_ids = best_class(scores)
        chosen = best > threshold
        boxes = np.asarray(outputs[self.boxes][row], np.float64)[chosen]
        xyxy = from_centers(boxes) if self.centered else boxes
        return Boxes.of(to_pixels(xyxy, size), best[chosen], class_ids[chosen])


def recognise(probe: Probe) -> Layout | None:
    names = probe.of_rank(3)
    if len(names) != 2:
        return None
    first, second = (probe.outputs[n] for n in names)
    if first.shape[1] != second.shape[1]:
        return None
    by_name = [n for n in names if "box" in n.lower() or n.lower() == "dets"]
    fours = [n for n in names if probe.outputs[n].shape[2] == 4]
    boxes = by_name[0] if len(by_name) == 1 and by_name[0] in fours else (fours or [""])[0]
    if not boxes:
        return None
    scores = next(n for n in names if n != boxes)
    columns = probe.outputs[scores].shape[2]
    values = probe.outputs[scores]
    if "logit" not in scores.lower() and within_unit(values):
        activation: Activation = "none"
    elif probe.label_count == columns - 1 or (probe.label_count is None and columns == DETR_COLUMNS):
        activation = "softmax"
    else:
        activation = "sigmoid"
    corners = probe.outputs[boxes]
    ordered = (corners[..., 2] >= corners[..., 0]) & (corners[..., 3] >= corners[..., 1])
    queries = "pred_box" in boxes.lower() or boxes.lower() == "dets"
    centered = queries or float(ordered.mean()) < 0.99
    normalised = activation == "softmax" or columns == DETR_COLUMNS - 1
    dense = not queries and probe.outputs[boxes].shape[1] in {count for _, count in probe.grids()}
    return BoxesAndScores(
        name="yolo-nas" if dense else "detr" if activation == "softmax" else "rt-detr",
        form=InputFormat(fit="corner" if dense else "stretch", values="imagenet" if normalised else "unit"),
        class_count=columns - 1 if activation == "softmax" else columns,
        suppressed=not dense,
        boxes=boxes,
        scores=scores,
        activation=activation,
        centered=centered,
    )
