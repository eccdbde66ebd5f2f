"""Which detection continues which track: overlap and likeness, and the assignment with the largest total."""

from __future__ import annotations

import numpy as np

from videodag_cli.data import Floats, Ints
from videodag_cli.vision.assignment import largest_total
from videodag_cli.vision.boxes import iou_matrix

LIKENESS_SCALE = 0.15
"""Loss of likeness that makes a pair worth 1/e; the same person seen again loses 0.05, another one 0.2 (PETS 2009 S2.L1)."""


def grown_overlap(expected: Floats, margin: Floats, found: Floats) -> Floats:
    """(N, M) overlap of N expected boxes with M found ones, both grown by the expectation's `margin` (N, 2) on each side.

    A margin makes up for what is not known about a track's position: without it the boxes of something small and fast, or unseen
    for a while, need not touch at all. Growing both boxes keeps a perfect hit at 1. After Yang et al., "Hard to Track Objects with
    Irregular Motions and Similar Appearances? Make It Easier by Buffering the Matching Space" (WACV 2023), with the filter's
    standard deviation in place of a fixed share.
    """
    if not len(expected) or not len(found):
        return np.zeros((len(expected), len(found)))
    pad = np.concatenate([-margin, margin], axis=1)
    rows = [iou_matrix(box + grow, found + grow) for box, grow in zip(expected, pad, strict=True)]
    return np.concatenate(rows)


def worth(likeness: Floats) -> Floats:
    """What an overlap counts for, in (0, 1], given how much the two look alike."""
    return np.asarray(np.exp((likeness - 1.0) / LIKENESS_SCALE))


def assign(overlap: Floats, weight: Floats, *, at_least: float) -> tuple[Ints, Ints]:
    """Rows and columns paired so that overlap times weight is largest in total, among pairs whose overlap reaches `at_least`."""
    allowed = (overlap >= at_least) & (overlap > 0)
    if not allowed.any():
        return np.empty(0, np.int64), np.empty(0, np.int64)
    rows, columns = largest_total(np.where(allowed, overlap * weight, 0.0))
    good = allowed[rows, columns]
    return rows[good].astype(np.int64), columns[good].astype(np.int64)
