"""BlazeFace on a picture, or inside boxes of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from videodag_cli.boxes import nms
from videodag_cli.data import Floats, Image
from videodag_cli.onnx.builtin import FACE_MODELS, FaceModel
from videodag_cli.onnx.layouts.blazeface import FORM, anchors, decode
from videodag_cli.onnx.picture import packed, placed
from videodag_cli.onnx.session import open_session, read_model

MIN_REGION = 16
"""Regions with a shorter side than this many pixels are not looked into."""


class FoundFaces(NamedTuple):
    """N faces in a picture's pixels, best first."""

    xyxy: Floats
    scores: Floats
    keypoints: Floats
    """(N, 6, 2)"""


class FaceDetector:
    """One of the shipped models; its session is shared, calls are independent."""

    def __init__(self, model: str) -> None:
        self.model: FaceModel = FACE_MODELS[model]
        content, self.digest = read_model(self.model.path())
        self._session: Any = open_session(content, self.digest, name=self.model.file)
        self._input = self._session.get_inputs()[0].name
        self._regressors = next(o.name for o in self._session.get_outputs() if o.shape[-1] == 16)
        self._logits = next(o.name for o in self._session.get_outputs() if o.shape[-1] == 1)

    def detect(self, image: Image, *, confidence: float, iou: float) -> FoundFaces:
        """Faces of a picture, best first, boxes clipped to it."""
        side = self.model.side
        canvas, back = placed(image, (side, side), FORM)
        tensor = packed(canvas, FORM, dtype="float32", channels_first=False)
        regressors, logits = self._session.run([self._regressors, self._logits], {self._input: tensor})
        boxes, scores, keypoints = decode(regressors[0], logits[0], side, confidence)
        found = FoundFaces(back.boxes(boxes), scores, back.points(keypoints))
        return _clipped(_chosen(found, nms(found.xyxy, found.scores, iou=iou)), image.shape[1], image.shape[0])

    def detect_inside(
        self, image: Image, regions: Iterable[Floats], *, margin: float, confidence: float, iou: float
    ) -> FoundFaces:
        """Faces inside boxes, each grown by `margin` of its sides; a face found in several counts once."""
        height, width = image.shape[:2]
        parts: list[FoundFaces] = []
        for left, top, right, bottom in regions:
            grow_x, grow_y = margin * (right - left), margin * (bottom - top)
            x1, y1 = max(0, int(np.floor(left - grow_x))), max(0, int(np.floor(top - grow_y)))
            x2, y2 = min(width, int(np.ceil(right + grow_x))), min(height, int(np.ceil(bottom + grow_y)))
            if min(x2 - x1, y2 - y1) < MIN_REGION:
                continue
            found = self.detect(image[y1:y2, x1:x2], confidence=confidence, iou=iou)
            offset = np.array((x1, y1), np.float64)
            parts.append(FoundFaces(found.xyxy + np.tile(offset, 2), found.scores, found.keypoints + offset))
        if not parts:
            return FoundFaces(np.empty((0, 4)), np.empty(0), np.empty((0, 6, 2)))
        every = FoundFaces(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        return _chosen(every, nms(every.xyxy, every.scores, iou=iou))

    def describe(self) -> dict[str, str | list[str]]:
        side = self.model.side
        return {
            "file": self.model.file,
            "sha256": self.digest,
            "layout": f"blazeface, {len(anchors(side))} anchors",
            "input": f"{side}x{side} {FORM}",
            "labels": ["face"],
        }


def _chosen(found: FoundFaces, rows: Any) -> FoundFaces:
    return FoundFaces(found.xyxy[rows], found.scores[rows], found.keypoints[rows])


def _clipped(found: FoundFaces, width: int, height: int) -> FoundFaces:
    xyxy = np.clip(found.xyxy, 0.0, np.array((width, height) * 2, np.float64))
    inside = (xyxy[:, 2] - xyxy[:, 0] >= 1.0) & (xyxy[:, 3] - xyxy[:, 1] >= 1.0)
    return _chosen(found._replace(xyxy=xyxy), inside)
