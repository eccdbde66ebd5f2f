"""BlazeFace: boxes and six key points relative to square anchors.

Source: Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019; anchors as MediaPipe's
`SsdAnchorsCalculator` makes them for its short-range and full-range models (all of size 1).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from videodag_cli.data import Floats
from videodag_cli.vision.onnx.layouts.base import from_centers, sigmoid
from videodag_cli.vision.onnx.preprocessing import InputFormat

FORM = InputFormat(fit="center", values="signed", border=0, area=True)
KEYPOINTS = ("right_eye", "left_eye", "nose_tip", "mouth_center", "right_ear", "left_ear")
_GRIDS = {128: ((16, 2), (8, 6)), 192: ((48, 1),)}
"""Input side -> (cells per side, anchors per cell) for each layer."""


class FaceBoxes(NamedTuple):
    """N candidates in the network's pixels."""

    xyxy: Floats
    scores: Floats
    keypoints: Floats
    """(N, 6, 2)"""


@lru_cache(maxsize=2)
def anchor_centers(side: int) -> Floats:
    """(N, 2) anchor centres in the network's pixels."""
    found = []
    for cells, each in _GRIDS[side]:
        step = side / cells
        found += [((x + 0.5) * step, (y + 0.5) * step) for y in range(cells) for x in range(cells) for _ in range(each)]
    array = np.array(found, np.float64)
    array.flags.writeable = False
    return array


def decode_blazeface(regressors: Any, logits: Any, side: int, threshold: float) -> FaceBoxes:
    """`regressors` (anchors, 16) and `logits` (anchors, 1) of one picture -> faces above `threshold`."""
    scores = sigmoid(np.asarray(logits).reshape(-1))
    chosen = np.flatnonzero(scores > threshold)
    codes = np.asarray(regressors, np.float64).reshape(-1, 16)[chosen]
    centers = anchor_centers(side)[chosen]
    xyxy = from_centers(np.concatenate([codes[:, :2] + centers, codes[:, 2:4]], axis=1))
    return FaceBoxes(xyxy, scores[chosen], codes[:, 4:].reshape(-1, 6, 2) + centers[:, None, :])
