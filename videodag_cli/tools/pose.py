"""Key points of people, by a neural network that comes with the package."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from videodag_cli.data import Detections, Frame, Poses
from videodag_cli.tools.network_params import ProviderParam
from videodag_cli.tools.params import Share
from videodag_cli.toolspec import tool
from videodag_cli.vision.keypoints import BLAZEPOSE_POINTS, COCO_OF_BLAZEPOSE
from videodag_cli.vision.masks import InstanceMask
from videodag_cli.vision.onnx.blazepose import SIDE, PoseModel
from videodag_cli.vision.onnx.session import CPU


@tool(version=1, stateless=True, cache=True)
class Landmarks:
    """Key points of the person in each box, and `presence`: how likely the box holds a whole person.

    Feed it people: every box has a row, in the order it came, with all its columns. `keypoints` are [x, y, visibility]; visibility is
    0 to 1. Where presence is below `min_presence`, `keypoints` are null: a head and shoulders, a leg or two people in one box would
    otherwise get a body that is not there. Points outside the picture are guesses.

    points=coco, 17: nose, left_eye, right_eye, left_ear, right_ear, left_shoulder, right_shoulder, left_elbow, right_elbow,
    left_wrist, right_wrist, left_hip, right_hip, left_knee, right_knee, left_ankle, right_ankle.

    points=all, 33: nose, left_eye_inner, left_eye, left_eye_outer, right_eye_inner, right_eye, right_eye_outer, left_ear,
    right_ear, mouth_left, mouth_right, left_shoulder, right_shoulder, left_elbow, right_elbow, left_wrist, right_wrist,
    left_pinky, right_pinky, left_index, right_index, left_thumb, right_thumb, left_hip, right_hip, left_knee, right_knee,
    left_ankle, right_ankle, left_heel, right_heel, left_foot_index, right_foot_index.
    """

    def __init__(
        self,
        *,
        model: Annotated[
            Literal["full", "lite"],
            Field(
                description="full: reliably reports that no whole person is seen; lite: half the work, less reliable"
            ),
        ] = "full",
        points: Annotated[
            Literal["coco", "all"], Field(description="the 17 points of COCO, or all 33 of BlazePose")
        ] = "coco",
        min_presence: Annotated[
            Share,
            Field(description="presence below which key points and mask are null; 0 shows what was found in any box"),
        ] = 0.5,
        mask: Annotated[
            bool,
            Field(description="also which pixels belong to the person, as COCO run lengths; half as much work again"),
        ] = False,
        provider: ProviderParam = CPU,
    ) -> None:
        self._model = PoseModel(model, provider=provider)
        self._order = np.array(COCO_OF_BLAZEPOSE if points == "coco" else range(len(BLAZEPOSE_POINTS)))
        self._min_presence, self._mask = min_presence, mask

    def __call__(self, frame: Frame, detections: Detections) -> Poses:
        count = len(detections)
        sides = detections.xyxy[:, 2:] - detections.xyxy[:, :2]
        rows = np.flatnonzero(np.isfinite(detections.xyxy).all(axis=1) & (sides > 0).all(axis=1))
        points = np.full((count, len(self._order), 2), np.nan)
        visibility = np.zeros((count, len(self._order)))
        presence = [0.0] * count
        masks: list[InstanceMask | None] = [None] * count
        found = self._model.look(frame.image, [detections.xyxy[row] for row in rows], mask=self._mask)
        for row, pose in zip(rows.tolist(), found, strict=True):
            presence[row] = pose.presence
            if pose.presence >= self._min_presence:
                points[row], visibility[row] = pose.points[self._order], pose.visibility[self._order]
                masks[row] = None if pose.mask is None else InstanceMask.on(frame, pose.mask, pose.place)
        columns: dict[str, Any] = {"presence": tuple(presence)}
        if self._mask:
            columns["mask"] = tuple(masks)
        return Poses(replace(detections, keypoints=points, visibility=visibility, data={**detections.data, **columns}))

    def describe(self) -> dict[str, str]:
        """What the model is, for `pipelines validate --load`."""
        return {
            "layout": f"blazepose, {len(BLAZEPOSE_POINTS)} landmarks",
            "input": f"{SIDE}x{SIDE} fixed, RGB, 0..1, a square round each box",
            "file": self._model.file,
            "sha256": self._model.digest[:16],
        }
