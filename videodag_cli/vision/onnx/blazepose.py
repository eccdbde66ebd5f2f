"""BlazePose: the landmarks of one person in a box, and the person's mask.

Source: MediaPipe's `pose_landmark` graph (Apache-2.0): `ImageToTensorCalculator` (256x256, 0..1, zeros outside),
`TensorsToLandmarksCalculator`, `RefineLandmarksFromHeatmapCalculator` (kernel 7, confidence 0.5) and `LandmarkProjectionCalculator`. The
square round the box is not MediaPipe's, whose own detector finds hips: it is the one that was closest to points read by eye.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Affine, Floats, Image
from videodag_cli.vision.keypoints import BLAZEPOSE_POINTS
from videodag_cli.vision.onnx.builtin import POSE_MODELS, model_path
from videodag_cli.vision.onnx.layouts.base import sigmoid
from videodag_cli.vision.onnx.scores import check_outputs
from videodag_cli.vision.onnx.session import CPU, open_session, read_model

SIDE = 256
"""Width and height of the network's input in pixels."""
FACTOR = 1.25
"""Side of the square that is looked at, against the longer side of the box."""
_COUNT = len(BLAZEPOSE_POINTS)
_KERNEL, _LEAST = 7, 0.5
_BATCH = 2
_OUTPUTS = ["landmarks", "presence", "heatmap", "mask"]


class Pose(NamedTuple):
    """What was found of one person, in the picture's pixels."""

    presence: float
    """How likely there is a whole person in the box."""
    points: Floats
    """(33, 2)"""
    visibility: Floats
    """(33,)"""
    mask: NDArray[np.float32] | None
    """(256, 256) shares on the square, whose cells `place` maps to the picture's pixels."""
    place: Affine


class PoseModel:
    """One of the shipped models; its session is shared, calls are independent."""

    def __init__(self, name: str, *, provider: str = CPU) -> None:
        self.file = POSE_MODELS[name]
        content, self.digest = read_model(model_path(self.file))
        self._session: Any = open_session(content, self.digest, name=self.file, provider=provider, one_shape=False)

    def look(self, image: Image, boxes: Sequence[Floats], *, mask: bool = False) -> list[Pose]:
        """The person in each box; the boxes have an area."""
        found: list[Pose] = []
        for start in range(0, len(boxes), _BATCH):
            found += self._look(image, [square(box) for box in boxes[start : start + _BATCH]], mask)
        return found

    def _look(self, image: Image, squares: Sequence[tuple[float, float, float]], mask: bool) -> list[Pose]:
        crops = np.stack([crop(image, found) for found in squares])
        values = self._session.run(_OUTPUTS, {"image": crops, "want_mask": np.array(mask)})
        outputs = dict(zip(_OUTPUTS, values, strict=True))
        check_outputs({name: outputs[name] for name in ("landmarks", "presence")}, self.file)
        poses = []
        for row, (left, top, side) in enumerate(squares):
            marks = outputs["landmarks"][row].reshape(-1, 5)[:_COUNT].astype(np.float64)
            points = refined(marks[:, :2], outputs["heatmap"][row]) * (side / SIDE) + (left, top)
            scale = side / SIDE  # a crop's pixel 0 lies at the square's edge, pixel by pixel, as in MediaPipe
            place = Affine(scale, scale, left + 0.5 - scale / 2, top + 0.5 - scale / 2)
            shares = sigmoid(outputs["mask"][row, :, :, 0]).astype(np.float32) if mask else None
            presence = float(np.clip(outputs["presence"][row, 0], 0, 1))
            poses.append(Pose(presence, points, sigmoid(marks[:, 3]), shares, place))
        return poses


def square(box: Floats) -> tuple[float, float, float]:
    """Left, top and side of the square that is looked at for a box."""
    left, top, right, bottom = (float(v) for v in box)
    side = FACTOR * max(right - left, bottom - top)
    return (left + right) / 2 - side / 2, (top + bottom) / 2 - side / 2, side


def crop(image: Image, found: tuple[float, float, float]) -> NDArray[np.float32]:
    """(256, 256, 3) the square's pixels as the network takes them."""
    import cv2

    left, top, side = found
    scale = side / SIDE
    matrix = np.array([[scale, 0, left], [0, scale, top]])
    cut = cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(cv2.cvtColor(cut, cv2.COLOR_BGR2RGB), np.float32) / np.float32(255)


def refined(points: Floats, heat: NDArray[np.float32]) -> Floats:
    """Points moved to the middle of the heat round them, where it is hot enough.

    As in MediaPipe, which tests the column in place of the row: a point below the map is still refined by the part of the window inside.
    """
    height, width, _ = heat.shape
    columns, rows = (points / SIDE * (width, height)).astype(np.int64).T  # towards zero, as in MediaPipe
    reach = np.arange(_KERNEL) - _KERNEL // 2
    x, y = columns[:, None] + reach, rows[:, None] + reach
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    window = heat[
        y.clip(0, height - 1)[:, :, None], x.clip(0, width - 1)[:, None, :], np.arange(len(points))[:, None, None]
    ]
    shares = sigmoid(window) * inside
    hot = (columns >= 0) & (columns < width) & (rows >= 0) & (shares.max(axis=(1, 2)) >= _LEAST)
    shares, total = shares[hot], shares[hot].sum(axis=(1, 2))
    moved = points.copy()
    moved[hot, 0] = (shares.sum(axis=1) * x[hot]).sum(axis=1) / total / width * SIDE
    moved[hot, 1] = (shares.sum(axis=2) * y[hot]).sum(axis=1) / total / height * SIDE
    return moved
