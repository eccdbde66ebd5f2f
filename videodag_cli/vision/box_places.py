"""Places in which boxes were, again and again: what stays in its place is told from what moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from videodag_cli.data import Ints
from videodag_cli.vision.boxes import iou_matrix

SAME_IOU = 0.7
"""A box that overlaps a place's mean box by this much is in that place."""


class BoxPlaces:
    """Places of boxes of one class; a place's box is the mean of those that were in it."""

    def __init__(self, same_iou: float = SAME_IOU) -> None:
        self.same_iou = same_iou
        self.boxes = np.empty((0, 4))
        self.seen = np.empty(0, np.int64)
        """In how many frames something was there."""

    def __len__(self) -> int:
        return len(self.seen)

    def feed(self, boxes: ArrayLike) -> Ints:
        """The (N, 4) boxes of one frame: each goes to the place that it overlaps most, and to each place at most one.

        Returns the place of each; what is in no place begins one, behind those that were known.
        """
        found = np.asarray(boxes, np.float64).reshape(-1, 4)
        overlaps = iou_matrix(found, self.boxes)
        order = np.argsort(-overlaps.max(axis=1, initial=0), kind="stable")
        chosen = np.full(len(found), -1, np.int64)
        taken: set[int] = set()
        for i in order.tolist():
            free = [int(k) for k in np.flatnonzero(overlaps[i] >= self.same_iou) if int(k) not in taken]
            if free:
                chosen[i] = max(free, key=lambda place: (overlaps[i, place], -place))
                taken.add(int(chosen[i]))
        known, fresh = chosen >= 0, chosen < 0
        self.seen[chosen[known]] += 1
        self.boxes[chosen[known]] += (found[known] - self.boxes[chosen[known]]) / self.seen[chosen[known], None]
        chosen[fresh] = np.arange(len(self), len(self) + fresh.sum())
        self.boxes = np.concatenate([self.boxes, found[fresh]])
        self.seen = np.concatenate([self.seen, np.ones(fresh.sum(), np.int64)])
        return chosen

    def keep(self, rows: NDArray[Any]) -> None:
        """Forget all other places."""
        self.boxes, self.seen = self.boxes[rows], self.seen[rows]

    def state(self) -> dict[str, Any]:
        return {"boxes": self.boxes.copy(), "seen": self.seen.copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.boxes = np.array(state["boxes"], np.float64).reshape(-1, 4)
        self.seen = np.array(state["seen"], np.int64)
