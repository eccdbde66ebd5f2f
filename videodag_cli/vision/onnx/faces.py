"""BlazeFace, or CenterFace, on a picture, or inside boxes of it; and which of its faces are backs of heads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Floats, Image
from videodag_cli.errors import ParamError, printable
from videodag_cli.vision.boxes import nms
from videodag_cli.vision.onnx.builtin import FACE_MODELS, FaceModel
from videodag_cli.vision.onnx.layouts import centerface
from videodag_cli.vision.onnx.layouts.blazeface import FORM, KEYPOINTS, anchor_centers, decode_blazeface
from videodag_cli.vision.onnx.model_facts import model_facts
from videodag_cli.vision.onnx.model_input import run_model
from videodag_cli.vision.onnx.preprocessing import packed, placed
from videodag_cli.vision.onnx.scores import ModelError, check_boxes, check_outputs, checked_scores
from videodag_cli.vision.onnx.session import CPU, open_session, read_model

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
    """A face detector on a picture and on parts of it; its session is shared, calls are independent."""

    def __init__(self, model: str | Path, *, provider: str = CPU) -> None:
        self._model: _BlazeFace | _CenterFace = (
            _BlazeFace(model, provider) if isinstance(model, str) else _CenterFace(model, provider)
        )

    def detect(self, image: Image, regions: Iterable[Floats], *, confidence: float, iou: float) -> FoundFaces:
        """Faces inside regions (left, top, right, bottom) of a picture; one that several regions show counts once."""
        height, width = image.shape[:2]
        parts = [FoundFaces(np.empty((0, 4)), np.empty(0), np.empty((0, self._model.point_count, 2)))]
        for region in regions:
            left, top = np.maximum(np.floor(region[:2]), 0).astype(int)
            right, bottom = np.minimum(np.ceil(region[2:]), (width, height)).astype(int)
            if min(right - left, bottom - top) >= MIN_REGION:
                found = self._model.look(image[top:bottom, left:right], confidence)
                offset = np.array((left, top), np.float64)
                parts.append(FoundFaces(found.xyxy + np.tile(offset, 2), found.scores, found.keypoints + offset))
        every = FoundFaces(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        every = _clipped(every, width, height)
        return every.chosen(nms(every.xyxy, every.scores, iou=iou))

    def describe(self) -> dict[str, str]:
        return self._model.describe()


class _BlazeFace:
    """One of the shipped models."""

    point_count = len(KEYPOINTS)

    def __init__(self, model: str, provider: str) -> None:
        self.model: FaceModel = FACE_MODELS[model]
        content, self.digest = read_model(self.model.path())
        self._session: Any = open_session(content, self.digest, name=self.model.file, provider=provider)
        self._input = self._session.get_inputs()[0].name
        self._regressors = next(o.name for o in self._session.get_outputs() if o.shape[-1] == 16)
        self._logits = next(o.name for o in self._session.get_outputs() if o.shape[-1] == 1)

    def look(self, image: Image, confidence: float) -> FoundFaces:
        """Every candidate in a picture, without suppression."""
        side = self.model.side
        canvas, back = placed(image, (side, side), FORM)
        tensor = packed(canvas, FORM, dtype="float32", channels_first=False)
        regressors, logits = self._session.run([self._regressors, self._logits], {self._input: tensor})
        check_outputs({"regressors": regressors, "classificators": logits}, self.model.file)
        boxes, scores, keypoints = decode_blazeface(regressors[0], logits[0], side, confidence)
        check_boxes(boxes, self.model.file)
        return FoundFaces(back.boxes(boxes), scores, back.points(keypoints))

    def describe(self) -> dict[str, str]:
        side = self.model.side
        return {
            "layout": f"blazeface, {len(anchor_centers(side))} anchors",
            "input": f"{side}x{side} fixed, {FORM}, float32",
            "labels": "1: face",
            "file": self.model.file,
            "sha256": self.digest[:16],
        }


class _CenterFace:
    """A file of the user's."""

    point_count = len(centerface.KEYPOINTS)

    def __init__(self, path: Path, provider: str) -> None:
        self.name = path.name
        content, self.digest = read_model(path)
        self._session: Any = open_session(content, self.digest, name=path.name, provider=provider, one_shape=False)
        self._facts = model_facts(self._session, name=path.name)
        outputs = centerface.centerface_outputs(self._facts.outputs)
        if outputs is None or not self._facts.channels_first:
            raise ParamError(
                f"model {printable(path.name)} is not a known face detector: expected CenterFace's outputs, heatmap 1x1xhxw, "
                f"scale 1x2xhxw, offset 1x2xhxw and landmarks 1x10xhxw; found {self._facts.summary()}",
                word="param.file",
            )
        self._outputs = outputs

    def look(self, image: Image, confidence: float) -> FoundFaces:
        """Every candidate in a picture, without suppression."""
        wanted = centerface.size_for(image.shape[1], image.shape[0])
        fixed = self._facts.fixed_size
        size = (fixed[0] or wanted[0], fixed[1] or wanted[1])
        canvas, back = placed(image, size, centerface.FORM)
        tensor = packed(canvas, centerface.FORM, dtype=self._facts.picture.dtype, channels_first=True)
        found = run_model(self._session, self._facts, tensor, size)
        values = {kind: found[name] for kind, name in self._outputs.items()}
        for kind, value in values.items():
            if not np.isfinite(value).all():
                raise ModelError(f"model {printable(self.name)} outputs values that are not numbers ({kind})")
        boxes, scores, keypoints = centerface.decode_centerface(values, size, confidence)
        scores = checked_scores(scores, self.name)
        check_boxes(boxes, self.name)
        return FoundFaces(back.boxes(boxes), scores, back.points(keypoints))

    def describe(self) -> dict[str, str]:
        sides = f"longer side {centerface.SHORTEST} to {centerface.LONGEST}"
        return {
            "layout": "centerface",
            "input": f"{sides}, {centerface.FORM}, {self._facts.picture.dtype}",
            "labels": "1: face",
            "file": self.name,
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
