"""Arithmetic on arrays of boxes: overlap and non-maximum suppression.

Boxes are `xyxy` (left, top, right, bottom) in one coordinate system; a box whose right is not right of its left, or whose bottom is
not below its top, has no area and overlaps nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from videodag_cli.data import Detections, Floats, Ints


def box_areas(xyxy: ArrayLike) -> Floats:
    """(N,) areas of (N, 4) boxes; 0 for a box turned inside out."""
    boxes = np.asarray(xyxy, np.float64).reshape(-1, 4)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
    return np.asarray(sides[:, 0] * sides[:, 1])


def intersection_matrix(a: ArrayLike, b: ArrayLike) -> Floats:
    """(N, M) areas shared by each of N boxes and each of M boxes."""
    left = np.asarray(a, np.float64).reshape(-1, 1, 4)
    right = np.asarray(b, np.float64).reshape(1, -1, 4)
    sides = np.minimum(left[..., 2:], right[..., 2:]) - np.maximum(left[..., :2], right[..., :2])
    return np.asarray(np.prod(np.maximum(sides, 0.0), axis=2))


def iou_matrix(a: ArrayLike, b: ArrayLike) -> Floats:
    """(N, M) intersection over union; 0 where neither box has an area."""
    shared = intersection_matrix(a, b)
    union = box_areas(a)[:, None] + box_areas(b)[None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def nms(xyxy: ArrayLike, scores: ArrayLike, *, iou: float, groups: ArrayLike | None = None) -> Ints:
    """Greedy non-maximum suppression: the indices that remain, best score first (equal scores: lower index first).

    A box goes when it overlaps a better remaining box by more than `iou`. Boxes of different `groups` (N values of any comparable
    kind, such as class ids) do not suppress each other; without `groups` all do.
    """
    boxes = np.asarray(xyxy, np.float64).reshape(-1, 4)
    score = np.asarray(scores, np.float64).reshape(-1)
    order = np.argsort(-score, kind="stable")
    boxes = boxes[order]
    group: NDArray[Any] | None = None if groups is None else np.asarray(groups).reshape(-1)[order]
    remaining = np.ones(len(boxes), bool)
    kept: list[int] = []
    for i in range(len(boxes)):
        if not remaining[i]:
            continue
        kept.append(i)
        rivals = iou_matrix(boxes[i], boxes[i + 1 :])[0] > iou
        if group is not None:
            rivals &= group[i + 1 :] == group[i]
        remaining[i + 1 :] &= ~rivals
    return order[np.array(kept, np.int64)].astype(np.int64)


def turned_nms(corners: ArrayLike, scores: ArrayLike, *, iou: float, groups: ArrayLike) -> Ints:
    """`nms` for boxes that are turned: (N, 4, 2) corners, overlap by the exact intersection of their areas."""
    import cv2

    found = np.asarray(corners, np.float32).reshape(-1, 4, 2)
    score, group = np.asarray(scores, np.float64).reshape(-1), np.asarray(groups).reshape(-1)
    areas = [float(cv2.contourArea(box)) for box in found]
    bounds = np.concatenate([found.min(axis=1), found.max(axis=1)], axis=1)
    kept: list[int] = []
    for i in np.argsort(-score, kind="stable").tolist():
        near = np.flatnonzero(intersection_matrix(bounds[i], bounds[kept])[0] > 0) if kept else ()
        for k in (kept[n] for n in near):
            if group[k] != group[i]:
                continue
            shared = float(cv2.intersectConvexConvex(found[i], found[k])[0])
            if shared > iou * (areas[i] + areas[k] - shared):
                break
        else:
            kept.append(i)
    return np.array(kept, np.int64)


def class_labels(detections: Detections) -> list[str]:
    """What tells the classes apart: the names, else the numbers as text, else nothing."""
    if detections.class_name is not None:
        return list(detections.class_name)
    if detections.class_id is not None:
        return [str(number) for number in detections.class_id]
    return [""] * len(detections)
