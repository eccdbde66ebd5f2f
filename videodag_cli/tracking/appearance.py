"""What a box looks like: colour histograms of its upper, middle and lower third.

Enough to tell a black coat from blue jeans when two people pass each other, with no further model: about 60 microseconds a box.
Histograms are compared by the Bhattacharyya coefficient, which is the scalar product of their square roots (Kailath, IEEE
Transactions on Communication Technology 15(1), 1967).
"""

from __future__ import annotations

import numpy as np

from videodag_cli.data import Floats, Image

THIRDS = 3
_SIDE = 16
_CENTRAL = 0.7
"""Share of the width that is looked at: the margins of a box show background."""
_BINS = ((8, 0, 256), (16, 96, 160), (16, 96, 160))
"""Bins and range of lightness, green to red and blue to yellow (8-bit Lab); colours outside count as the nearest bin."""
LENGTH = THIRDS * sum(bins for bins, _, _ in _BINS)


def looks(image: Image, xyxy: Floats) -> Floats:
    """(N, LENGTH) square roots of the histograms, of length 1 each; a box outside the picture gives the even histogram."""
    height, width = image.shape[:2]
    even = np.full(LENGTH, 1 / np.sqrt(LENGTH))
    rows = [even] * len(xyxy)
    for i, (left, top, right, bottom) in enumerate(xyxy):
        half, middle = (right - left) * _CENTRAL / 2, (left + right) / 2
        x1, x2 = max(0, round(middle - half)), min(width, round(middle + half))
        y1, y2 = max(0, round(top)), min(height, round(bottom))
        if x1 < x2 and y1 < y2:
            rows[i] = _look(image[y1:y2, x1:x2])
    return np.array(rows).reshape(-1, LENGTH)


def _look(patch: Image) -> Floats:
    import cv2

    small = cv2.resize(patch, (_SIDE, _SIDE * THIRDS), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_BGR2LAB).astype(np.int64).reshape(THIRDS, -1, 3)
    counts = []
    for channel, (bins, low, high) in enumerate(_BINS):
        index = np.clip((lab[:, :, channel] - low) * bins // (high - low), 0, bins - 1)
        index += np.arange(THIRDS)[:, None] * bins
        counts.append(np.bincount(index.ravel(), minlength=THIRDS * bins))
    return np.asarray(np.sqrt(np.concatenate(counts) / (len(_BINS) * lab.shape[0] * lab.shape[1])))


def likeness(a: Floats, b: Floats) -> Floats:
    """(N, M) in [0, 1]: 1 for equal histograms."""
    return np.clip(a @ b.T, 0.0, 1.0)
