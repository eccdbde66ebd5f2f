"""Faces that are backs of heads, by the pose of the person they belong to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Floats, Image
from videodag_cli.vision.keypoints import BLAZEPOSE_POINTS
from videodag_cli.vision.onnx.blazepose import Pose, PoseModel
from videodag_cli.vision.onnx.session import CPU

_TORSO = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")


class BacksOfHeads:
    """Tells people who are seen from behind by their shoulders: the left one is to the left in the picture."""

    _TURNED = 0.2
    """How far the shoulders must be apart, as a share of the distance from shoulders to hips; less is a profile."""

    def __init__(self, *, provider: str = CPU) -> None:
        self._pose = PoseModel("full", provider=provider)

    def among(self, image: Image, faces: Floats, people: Floats) -> NDArray[np.bool_]:
        """(N,) which faces are those of somebody in a box of `people` who is seen from behind. Without a box or a pose: none."""
        owners = [self._owner(face, people) for face in faces]
        looked = sorted({owner for owner in owners if owner is not None})
        poses = self._pose.look(image, [people[owner] for owner in looked])
        behind = {owner: self._is_behind(pose) for owner, pose in zip(looked, poses, strict=True)}
        return np.array([owner is not None and behind[owner] for owner in owners], bool)

    def _owner(self, face: Floats, people: Floats) -> int | None:
        """The person whose head the face's middle is nearest to: among the boxes that hold it, in their upper 40 %."""
        x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
        left, top, right, bottom = people.T
        holds = (
            (left <= x)
            & (x <= right)
            & (top <= y)
            & (y <= top + 0.4 * (bottom - top))
            & np.isfinite(people).all(axis=1)
        )
        if not holds.any():
            return None
        distance = np.hypot(x - (left + right) / 2, y - top - 0.08 * (bottom - top))
        return int(np.argmin(np.where(holds, distance, np.inf)))

    def _is_behind(self, pose: Pose) -> bool:
        left, right, left_hip, right_hip = (pose.points[BLAZEPOSE_POINTS.index(name)] for name in _TORSO)
        height = abs((left_hip + right_hip)[1] - (left + right)[1]) / 2
        return pose.presence >= 0.5 and bool(right[0] - left[0] > self._TURNED * height)
