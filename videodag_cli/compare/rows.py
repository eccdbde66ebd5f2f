"""Which row of one list is which row of another: by class and overlap for boxes, by likeness for other rows.

Pairs are chosen by optimal assignment (Jonker-Volgenant, as in `scipy.optimize.linear_sum_assignment`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from videodag_cli.compare.tolerance import Tolerance
from videodag_cli.results.reading import JsonRow, corners
from videodag_cli.vision.assignment import largest_total
from videodag_cli.vision.boxes import iou_matrix

Pairs = list[tuple[int, int]]
NO_PAIR = 10.0
"""Cost of a pair that is none; a real pair costs 2 at most, so there are as many real pairs as there can be."""
SAME_ID = 0.001
"""What a known identity takes off a cost: enough to decide between equal boxes, never against a better one."""


def has_boxes(rows: Sequence[Any]) -> bool:
    """Whether these are rows with four coordinates each."""
    return all(isinstance(row, dict) and corners(row) is not None for row in rows)


def row_class(row: JsonRow) -> object:
    """What a row is called for pairing."""
    name = row.get("class_name")
    return row.get("class_id") if name is None else name


def allowed_px(row: JsonRow, tolerance: Tolerance) -> float:
    """How far a coordinate of this row may move."""
    left, top, right, bottom = (float(number) for number in row["xyxy"])
    return max(tolerance.box_px, tolerance.box_rel * max(right - left, bottom - top))


def overlaps(expected: Sequence[JsonRow], actual: Sequence[JsonRow]) -> NDArray[np.float64]:
    """(N, M) intersection over union."""
    return iou_matrix([row["xyxy"] for row in expected], [row["xyxy"] for row in actual])


def pair_boxes(
    expected: Sequence[JsonRow],
    actual: Sequence[JsonRow],
    *,
    iou: NDArray[np.float64],
    tolerance: Tolerance,
    is_known: Callable[[JsonRow, JsonRow], bool],
    same_class: bool = True,
) -> Pairs:
    """Pairs of rows that are the same thing: of one class, overlapping enough or with corners close enough."""
    if not expected or not actual:
        return []
    old = np.array([row["xyxy"] for row in expected], np.float64)
    new = np.array([row["xyxy"] for row in actual], np.float64)
    allowed = np.array([allowed_px(row, tolerance) for row in expected])
    is_near = np.abs(old[:, None] - new[None]).max(axis=2) <= allowed[:, None]
    cost = np.where((iou >= tolerance.iou) | is_near, 1.0 - iou, NO_PAIR)
    for i, before in enumerate(expected):
        for j, after in enumerate(actual):
            if cost[i, j] >= NO_PAIR:
                continue
            if same_class and row_class(before) != row_class(after):
                cost[i, j] = NO_PAIR
            elif is_known(before, after):
                cost[i, j] -= SAME_ID
    return _assigned(cost)


def pair_others(
    expected: Sequence[Any],
    actual: Sequence[Any],
    *,
    is_known: Callable[[Any, Any], bool],
    differing: Callable[[Any, Any], int],
) -> Pairs:
    """Pairs of rows without boxes, so that as few fields as possible differ; every row of the shorter list has its pair."""
    if not expected or not actual:
        return []
    order = 1e-6 * np.abs(np.arange(len(expected))[:, None] - np.arange(len(actual))[None])
    cost = np.array(
        [[differing(before, after) - SAME_ID * is_known(before, after) for after in actual] for before in expected]
    )
    return _assigned(cost + order, limit=np.inf)


def _assigned(cost: NDArray[np.float64], *, limit: float = NO_PAIR - 1) -> Pairs:
    rows, columns = largest_total(-cost)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if cost[i, j] < limit]


def edit_distance(before: str, after: str, *, limit: int) -> int:
    """Insertions, deletions and replacements of characters between two texts (Levenshtein), or `limit` + 1 when there are more.

    Computed in a band of `limit` characters on each side of the diagonal (Ukkonen, "Algorithms for approximate string matching", 1985).
    """
    if before == after:
        return 0
    if abs(len(before) - len(after)) > limit:
        return limit + 1
    too_many = limit + 1
    above = [j if j <= limit else too_many for j in range(len(after) + 1)]
    row = [too_many] * (len(after) + 1)
    for i, character in enumerate(before, 1):
        first, last = max(1, i - limit), min(len(after), i + limit)
        row[first - 1] = i if i <= limit else too_many
        for j in range(first, last + 1):
            replaced = above[j - 1] + (character != after[j - 1])
            row[j] = min(replaced, above[j] + 1, row[j - 1] + 1, too_many)
        if last < len(after):
            row[last + 1] = too_many
        above, row = row, above
    return above[-1]
