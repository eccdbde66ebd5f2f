"""Points, lines and polygons in the plane of a picture: x to the right, y down."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Floats

_TOLERANCE = 1e-9
"""Relative to the coordinates; a point this close to a border is on it."""


def points_inside(polygon: Floats, points: Floats) -> NDArray[np.bool_]:
    """(N,) whether each of (N, 2) points lies in the polygon of (V, 2) corners, its border included.

    Counts the edges that a ray to the right meets (Shimrat, "Algorithm 112", Communications of the ACM 5(8), 1962).
    """
    start, end = polygon[None], np.roll(polygon, -1, axis=0)[None]
    point = np.asarray(points, np.float64).reshape(-1, 1, 2)
    along, to_point = end - start, point - start
    turn = along[..., 0] * to_point[..., 1] - along[..., 1] * to_point[..., 0]
    crosses = (start[..., 1] > point[..., 1]) != (end[..., 1] > point[..., 1])
    met = crosses & ((turn > 0) == (along[..., 1] > 0))
    odd = met.sum(axis=1) % 2 == 1
    slack = _TOLERANCE * (1.0 + np.abs(polygon).max())
    length = np.linalg.norm(along, axis=2)
    low, high = np.minimum(start, end) - slack, np.maximum(start, end) + slack
    on_edge = (np.abs(turn) <= slack * length) & np.all((point >= low) & (point <= high), axis=2)
    return np.asarray(odd | on_edge.any(axis=1))


def polygon_problem(polygon: Floats) -> str | None:
    """Why (V, 2) corners make no simple polygon, or None."""
    count = len(polygon)
    if count < 3:
        return f"a polygon has at least 3 corners, this one has {count}"
    following = np.roll(polygon, -1, axis=0)
    for i in range(count):
        if np.array_equal(polygon[i], following[i]):
            return f"corner {i + 1} is repeated"
    for i in range(count):
        for j in range(i + 1, count):
            neighbours = j == i + 1 or (i == 0 and j == count - 1)
            if neighbours:
                shared, a, b = (
                    (following[i], polygon[i], following[j]) if j == i + 1 else (polygon[0], following[0], polygon[j])
                )
                if _turn(a, shared, b) == 0 and float(np.dot(a - shared, b - shared)) > 0:
                    return f"the border folds back on itself at ({shared[0]:g}, {shared[1]:g})"
            elif _meet(polygon[i], following[i], polygon[j], following[j]):
                return f"the border crosses itself: edges {i + 1} and {j + 1} meet"
    return None


def _turn(a: Floats, b: Floats, c: Floats) -> float:
    """Positive when a -> b -> c turns to the right in the picture, 0 when the three are on a line."""
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _meet(a: Floats, b: Floats, c: Floats, d: Floats) -> bool:
    """Whether the segments a-b and c-d have a point in common."""
    sides = np.sign([_turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)])
    if sides[0] * sides[1] < 0 and sides[2] * sides[3] < 0:
        return True
    ends = ((sides[0], a, b, c), (sides[1], a, b, d), (sides[2], c, d, a), (sides[3], c, d, b))
    return any(side == 0 and _between(p, q, point) for side, p, q, point in ends)


def _between(a: Floats, b: Floats, point: Floats) -> bool:
    """Whether a point on the line through a and b lies between them."""
    return bool(np.all(point >= np.minimum(a, b)) and np.all(point <= np.maximum(a, b)))


def signed_distance(start: Floats, end: Floats, point: Floats) -> float:
    """Distance of a point from the line through start and end; positive to the right of someone who walks from start to end."""
    return _turn(start, end, point) / float(np.linalg.norm(end - start))


def position_along(start: Floats, end: Floats, point: Floats) -> float:
    """Where on the line the point is: 0 at start, 1 at end."""
    along = end - start
    return float(np.dot(point - start, along) / np.dot(along, along))
