"""BlazeFace on a picture, or inside boxes of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Floats, Image
from videodag_cli.vision.boxes import nms
from videodag_cli.vision.onnx.builtin import FACE_MODELS, FaceModel
from videodag_cli.vision.onnx.layouts.blazeface import FORM, KEYPOINTS, anchors, decode
from videodag_cli.vision.onnx.picture import packed, placed
from videodag_cli.vision.onnx.scores import check_boxes, check_outputs
from videodag_cli.vision.onnx.session import open_session, read_model

MIN_REGION = 16
"""Regions with a shorter side than this many pixels are not looked into."""


class FoundFaces(NamedTuple):
    """N faces in a picture's pixels, best first."""

    xyxy: Floats
    scores: Floats
    keypoints: Floats
    """(N, 6, 2)"""

    def chosen(self, rows: NDArray[Any]) -> FoundFaces:
        return FoundFaces(self.xyxy[rows], self.scores[rows], self.keypoints[rows])


class FaceDetector:
    """One of the shipped models; its session is shared, calls are independent."""

    def __init__(self, model: str) -> None:
        self.model: FaceModel = FACE_MODELS[model]
        content, self.digest = read_model(self.model.path())
        self._session: Any = open_session(content, self.digest, name=self.model.file)
        self._input = self._session.get_inputs()[0].name
        self._regressors = next(o.name for o in self._session.get_outputs() if o.shape[-1] == 16)
        self._logits = next(o.name for o in self._session.get_outputs() if o.shape[-1] == 1)

    def detect(self, image: Image, regions: Iterable[Floats], *, confidence: float, iou: float) -> FoundFaces:
        """Faces inside regions (left, top, right, bottom) of a picture; one that several regions show counts once."""
        height, width = image.shape[:2]
        parts = [FoundFaces(np.empty((0, 4)), np.empty(0), np.empty((0, len(KEYPOINTS), 2)))]
        for region in regions:
            left, top = np.maximum(np.floor(region[:2]), 0).astype(int)
            right, bottom = np.minimum(np.ceil(region[2:]), (width, height)).astype(int)
            if min(right - left, bottom - top) >= MIN_REGION:
                found = self._look(image[top:bottom, left:right], confidence)
                offset = np.array((left, top), np.float64)
                parts.append(FoundFaces(found.xyxy + np.tile(offset, 2), found.scores, found.keypoints + offset))
        every = FoundFaces(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        every = _clipped(every, width, height)
        return every.chosen(nms(every.xyxy, every.scores, iou=iou))

    def _look(self, image: Image, confidence: float) -> FoundFaces:
        """Every candidate in a picture, without suppression."""
        side = self.model.side
        canvas, back = placed(image, (side, side), FORM)
        tensor = packed(canvas, FORM, dtype="float32", channels_first=False)
        regressors, logits = self._session.run([self._regressors, self._logits], {self._input: tensor})
        check_outputs({"regressors": regressors, "classificators": logits}, self.model.file)
        boxes, scores, keypoints = decode(regressors[0], logits[0], side, confidence)
        check_boxes(boxes, self.model.file)
        return FoundFaces(back.boxes(boxes), scores, back.points(keypoints))

    def describe(self) -> dict[str, str]:
        side = self.model.side
        return {
            "layout": f"blazeface, {len(anchors(side))} anchors",
            "input": f"{side}x{side} fixed, {FORM}, float32",
            "labels": "1: face",
            "file": self.model.file,
            "sha256": self.digest[:16],
        }


def grown(box: Floats, margin: float) -> Floats:
    """A box grown by a share of its sides on each side."""
    grow = np.tile(margin * (box[2:] - box[:2]), 2)
    return np.asarray(box + grow * (-1, -1, 1, 1))


def _clipped(found: FoundFaces, width: int, height: int) -> FoundFaces:
    xyxy = np.clip(found.xyxy, 0.0, np.array((width, height) * 2, np.float64))
    inside = (xyxy[:, 2] - xyxy[:, 0] >= 1.0) & (xyxy[:, 3] - xyxy[:, 1] >= 1.0)
    return found._replace(xyxy=xyxy).chosen(inside)
