"""Key points of people: their names, orders, and how much they may be off.

The order of 17 and its deviations are COCO's (cocodataset.org, key point evaluation); the order of 33 is that of BlazePose (Bazarevsky
et al., "BlazePose: On-device Real-time Body Pose tracking", 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

COCO_POINTS = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee"),
    *("left_ankle", "right_ankle"),
)
"""COCO's 17; left and right are the person's own."""
COCO_BONES = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10)),
    *((1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
"""Which of COCO's points are joined, as places from 0."""
COCO_DEVIATIONS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087),
    *(0.089, 0.089),
)
"""COCO's deviation of each point among people who marked it, as a share of the object's size."""
BLAZEPOSE_POINTS = (
    *("nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer"),
    *("left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index"),
    *("left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
    *("left_heel", "right_heel", "left_foot_index", "right_foot_index"),
)
"""BlazePose's 33."""
BLAZEPOSE_BONES = (
    *((0, 1), (1, 2), (2, 3), (3, 7), (0, 4), (4, 5), (5, 6), (6, 8), (9, 10), (11, 12), (11, 13), (13, 15), (15, 17)),
    *((15, 19), (15, 21), (17, 19), (12, 14), (14, 16), (16, 18), (16, 20), (16, 22), (18, 20), (11, 23), (12, 24)),
    *((23, 24), (23, 25), (24, 26), (25, 27), (26, 28), (27, 29), (28, 30), (29, 31), (30, 32), (27, 31), (28, 32)),
)
"""Which of them are joined, as places from 0; as MediaPipe draws them."""
COCO_OF_BLAZEPOSE = tuple(BLAZEPOSE_POINTS.index(name) for name in COCO_POINTS)
"""Where COCO's 17 are among the 33."""


SEEN = 0.5
"""A point of at least this visibility is seen."""
_OTHER_DEVIATION = 0.05
"""Where the points are not COCO's 17."""


def point_names(count: int) -> tuple[str, ...]:
    """The names of so many points, as far as the number tells: COCO's, BlazePose's, else their place from 0."""
    known = {len(COCO_POINTS): COCO_POINTS, len(BLAZEPOSE_POINTS): BLAZEPOSE_POINTS}
    return known.get(count, tuple(str(place) for place in range(count)))


def oks(before: Sequence[Sequence[float]], after: Sequence[Sequence[float]], xyxy: Sequence[float]) -> float:
    """Object keypoint similarity of as many points `[x, y, visibility]`, over those seen in both; 1 where there are none."""
    size = max((xyxy[2] - xyxy[0]) * (xyxy[3] - xyxy[1]), 1.0)
    is_coco = len(before) == len(COCO_POINTS)
    likeness = []
    for place, (old, new) in enumerate(zip(before, after, strict=True)):
        if old[2] >= SEEN and new[2] >= SEEN:
            deviation = 2 * (COCO_DEVIATIONS[place] if is_coco else _OTHER_DEVIATION)
            distance = (old[0] - new[0]) ** 2 + (old[1] - new[1]) ** 2
            likeness.append(exp(-distance / (2 * size * deviation**2)))
    return sum(likeness) / len(likeness) if likeness else 1.0
