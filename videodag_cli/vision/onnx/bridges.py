"""Boxes that a detector puts between two objects that are close together, half on each.

They overlap neither object enough for ordinary suppression, but two better boxes explain them completely. Found by looking at what
NanoDet reports on people who walk side by side; the treatment is this module's own.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from videodag_cli.data import Floats, Ints
from videodag_cli.vision.boxes import box_areas, intersection_matrix, iou_matrix

_EXPLAINED = 0.8
"""Share of the box that the two better ones cover together."""
_SHARE = 0.2
"""Least share that each of them covers."""
_RIVALS = 6
"""So many of the better boxes are tried in pairs, those that share most with it."""
_OVERLAP = 0.3
"""Least intersection over union with one of them."""


def without_bridges(xyxy: Floats, groups: Ints) -> Ints:
    """Indices of the (N, 4) boxes that remain; the boxes are given best first, and only those of one group explain each other."""
    shared, overlap = intersection_matrix(xyxy, xyxy), iou_matrix(xyxy, xyxy)
    areas = box_areas(xyxy)
    kept: list[int] = []
    for i in range(len(xyxy)):
        sharing = [k for k in kept if groups[k] == groups[i] and shared[i, k] > _SHARE * areas[i]]
        sharing = sorted(sharing, key=lambda k: (-shared[i, k], k))[:_RIVALS]
        if not any(
            max(overlap[i, a], overlap[i, b]) > _OVERLAP
            and shared[i, a] + shared[i, b] - _shared_by_all(xyxy[[i, a, b]]) > _EXPLAINED * areas[i]
            for a, b in combinations(sharing, 2)
        ):
            kept.append(i)
    return np.array(kept, np.int64)


def _shared_by_all(xyxy: Floats) -> float:
    """Area that all the boxes have in common."""
    sides = np.maximum(xyxy[:, 2:].min(axis=0) - xyxy[:, :2].max(axis=0), 0.0)
    return float(sides[0] * sides[1])
