"""SSD's raw outputs for the Open Images model of MediaPipe Objectron: codes relative to 1917 anchors, and class logits.

Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016; the anchors are those of the TensorFlow Object Detection API's
`ssd_anchor_generator` with six layers, scales 0.2 to 0.95, and a reduced lowest layer; variances 10, 10, 5, 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np

from videodag_cli.data import Floats
from videodag_cli.vision.onnx.layouts.base import Candidates, Layout, best_class, sigmoid
from videodag_cli.vision.onnx.layouts.evidence import Evidence, LayoutKind
from videodag_cli.vision.onnx.layouts.extras import Outputs
from videodag_cli.vision.onnx.model_facts import Size
from videodag_cli.vision.onnx.preprocessing import InputFormat

_GRIDS = (19, 10, 5, 3, 2, 1)
_SCALE_MIN, _SCALE_MAX = 0.2, 0.95
_ANCHOR_COUNT = 1917


@lru_cache(maxsize=1)
def anchor_boxes() -> Floats:
    """(1917, 4) centre y, centre x, height, width as fractions of the picture."""
    steps = len(_GRIDS) - 1
    scales = [_SCALE_MIN + (_SCALE_MAX - _SCALE_MIN) * i / steps for i in range(len(_GRIDS))] + [1.0]
    found = []
    for layer, cells in enumerate(_GRIDS):
        scale = scales[layer]
        if layer == 0:
            shapes = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        else:
            shapes = [(scale, aspect) for aspect in (1.0, 2.0, 0.5, 3.0, 1 / 3)]
            shapes.append((sqrt(scale * scales[layer + 1]), 1.0))
        sizes = [(s / sqrt(aspect), s * sqrt(aspect)) for s, aspect in shapes]
        found += [
            ((y + 0.5) / cells, (x + 0.5) / cells, *hw) for y in range(cells) for x in range(cells) for hw in sizes
        ]
    array = np.array(found, np.float64)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, kw_only=True)
class RawSsd(Layout):
    """(batch, 1917, 4) codes of centre y, centre x, height, width and (batch, 1917, 1 + classes) logits; class 0 is background."""

    clips_first = True
    boxes: str
    scores: str

    def decode(self, outputs: Outputs, row: int, size: Size, threshold: float) -> Candidates:
        best, class_ids = best_class(outputs[self.scores][row][:, 1:])
        best = sigmoid(best)
        chosen = np.flatnonzero(best > threshold)
        codes = np.asarray(outputs[self.boxes][row], np.float64)[chosen]
        base = anchor_boxes()[chosen]
        center = codes[:, :2] / 10.0 * base[:, 2:] + base[:, :2]
        half = np.exp(np.minimum(codes[:, 2:] / 5.0, 30.0)) * base[:, 2:] / 2
        corners = np.concatenate([center - half, center + half], axis=1)[:, [1, 0, 3, 2]]
        pixels = corners * np.array((size[0], size[1]) * 2, np.float64)
        return Candidates.of(pixels, best[chosen], class_ids[chosen] + 1)


def _shaped(evidence: Evidence) -> Layout | None:
    names = evidence.of_rank(3)
    if len(names) != 2 or any(evidence.outputs[n].shape[1] != _ANCHOR_COUNT for n in names):
        return None
    boxes = [n for n in names if "box_encoding" in n.lower()]
    scores = [n for n in names if "class_prediction" in n.lower()]
    if len(boxes) != 1 or len(scores) != 1:
        return None
    return RawSsd(
        name="ssd-anchors",
        form=InputFormat(fit="stretch", values="signed"),
        class_count=evidence.outputs[scores[0]].shape[2],
        boxes=boxes[0],
        scores=scores[0],
        activation="sigmoid",
        reasons=(f"{_ANCHOR_COUNT} anchors with box encodings and class predictions",),
    )


KINDS = (LayoutKind("ssd-anchors", "SSD of MediaPipe Objectron, before its anchors", _shaped, lambda _, __: None),)
