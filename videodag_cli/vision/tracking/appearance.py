"""What a box looks like: colour histograms of its upper, middle and lower third.

Enough to tell a black coat from blue jeans when two people pass each other, with no further model. Histograms are compared by the
Bhattacharyya coefficient, which is the scalar product of their square roots (Kailath, IEEE Transactions on Communication Technology
15(1), 1967).
"""

from __future__ import annotations

import numpy as np

from videodag_cli.data import Floats, Image
from videodag_cli.vision.lab import lab_of

THIRDS = 3
_SIDE = 16
_CENTRAL = 0.7
"""Share of the width that is looked at: the margins of a box show background."""
_BINS = np.array((8, 16, 16))
_LOW, _HIGH = np.array((0, 96, 96)), np.array((256, 160, 160))
"""Bins and range of lightness, green to red and blue to yellow (8-bit Lab); colours outside count as the nearest bin."""
LENGTH = THIRDS * int(_BINS.sum())
_BIN_OF = np.stack(
    [
        np.clip((np.arange(256) - low) * bins // (high - low), 0, bins - 1) + before
        for low, high, bins, before in zip(_LOW, _HIGH, _BINS, np.cumsum(_BINS) - _BINS, strict=True)
    ]
)
"""(3, 256) the bin of each value, among the bins of all three."""


def looks(image: Image, xyxy: Floats) -> Floats:
    """(N, LENGTH) square roots of the histograms, of length 1 each; a box outside the picture counts as black."""
    import cv2

    count = len(xyxy)
    if not count:
        return np.empty((0, LENGTH))
    height, width = image.shape[:2]
    patches = np.zeros((count, _SIDE * THIRDS, _SIDE, 3), np.uint8)
    for i, (left, top, right, bottom) in enumerate(xyxy.tolist()):
        half, middle = (right - left) * _CENTRAL / 2, (left + right) / 2
        x1, x2 = max(0, round(middle - half)), min(width, round(middle + half))
        y1, y2 = max(0, round(top)), min(height, round(bottom))
        if x1 < x2 and y1 < y2:
            patches[i] = cv2.resize(image[y1:y2, x1:x2], (_SIDE, _SIDE * THIRDS), interpolation=cv2.INTER_AREA)
    bins = _BIN_OF[[0, 1, 2], lab_of(patches.reshape(-1, 3))]
    band = np.arange(count * THIRDS).repeat(_SIDE * _SIDE)  # each third of each box has histograms of its own
    index = bins + band[:, None] * int(_BINS.sum())
    counts = np.bincount(index.ravel(), minlength=count * LENGTH).reshape(count, LENGTH)
    return np.asarray(np.sqrt(counts / (THIRDS * _SIDE * _SIDE * len(_BINS))))
