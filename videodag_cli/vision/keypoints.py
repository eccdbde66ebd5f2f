"""Key points of people: their names, orders, and how much they may be off.

The order of 17 and its deviations are COCO's (cocodataset.org, key point evaluation); the order of 33 is that of BlazePose (Bazarevsky
et al., "BlazePose: On-device Real-time Body Pose tracking", 2020).
"""

from __future__ import annotations

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
COCO_OF_BLAZEPOSE = tuple(BLAZEPOSE_POINTS.index(name) for name in COCO_POINTS)
"""Where COCO's 17 are among the 33."""
