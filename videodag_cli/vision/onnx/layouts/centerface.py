"""CenterFace: a map of face centres, with sizes, offsets and five key points for each cell of four pixels.

Source: Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019, and the authors' decoder: the first
channel of sizes, offsets and each point is y; points are shares of the box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np

from videodag_cli.vision.onnx.layouts.blazeface import FaceBoxes
from videodag_cli.vision.onnx.model_facts import Port, Size
from videodag_cli.vision.onnx.preprocessing import InputFormat

FORM = InputFormat(fit="stretch", values="byte")
KEYPOINTS = ("left_eye", "right_eye", "nose_tip", "left_mouth_corner", "right_mouth_corner")
"""Left and right in the picture."""
STRIDE, MULTIPLE = 4, 32
LONGEST, SHORTEST = 640, 320
"""The longer side of what the network sees, at most and at least."""
_NAMES = ("heatmap", "scale", "offset", "landmarks")
_CHANNELS = (1, 2, 2, 10)


def centerface_outputs(ports: Sequence[Port]) -> dict[str, str] | None:
    """What each output is -> its name; None for another kind of model. Without names, their order is the authors'."""
    if len(ports) != 4 or any(len(port.shape) != 4 for port in ports):
        return None
    named = {kind: port.name for kind in _NAMES for port in ports if kind in port.name.lower()}
    if len(named) == 4 and len(set(named.values())) == 4:
        return named
    channels = tuple(port.shape[1] for port in ports)
    return dict(zip(_NAMES, (port.name for port in ports), strict=True)) if channels == _CHANNELS else None


def size_for(width: int, height: int) -> Size:
    """The size at which a picture goes in: its longer side within the limits, both sides rounded up."""
    longer = max(width, height)
    scale = min(LONGEST, max(longer, SHORTEST)) / longer
    rounded = (max(MULTIPLE, ceil(round(side * scale, 6) / MULTIPLE) * MULTIPLE) for side in (width, height))
    return next(rounded), next(rounded)


def decode_centerface(outputs: Mapping[str, Any], size: Size, threshold: float) -> FaceBoxes:
    """Faces above `threshold` in one picture, clipped to the network's input."""
    heat = np.asarray(outputs["heatmap"], np.float64)[0, 0]
    y, x = np.nonzero(heat > threshold)
    height, width = np.exp(np.minimum(np.asarray(outputs["scale"], np.float64)[0][:, y, x], 30.0)) * STRIDE
    down, along = np.asarray(outputs["offset"], np.float64)[0][:, y, x]
    left = np.clip((x + along + 0.5) * STRIDE - width / 2, 0, size[0])
    top = np.clip((y + down + 0.5) * STRIDE - height / 2, 0, size[1])
    corners = [left, top, np.minimum(left + width, size[0]), np.minimum(top + height, size[1])]
    marks = np.asarray(outputs["landmarks"], np.float64)[0][:, y, x]
    points = np.stack([marks[1::2] * width + left, marks[0::2] * height + top], axis=2).transpose(1, 0, 2)
    return FaceBoxes(np.stack(corners, axis=1), heat[y, x], points)
