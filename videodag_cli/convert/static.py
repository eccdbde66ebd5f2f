"""Boxes that never move: a cone called a person, a poster with a face.

A thing is static when a box of one class has been in nearly the same place in a large share of all frames, over all clips of a camera.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from videodag_cli.errors import RequestError, counted, printable
from videodag_cli.results.reading import JsonLine, corners, is_boxes, leaves
from videodag_cli.vision.box_places import BoxPlaces

_MOST_THINGS = 2000
"""Places that are kept in mind for each class; the ones seen least go first."""


@dataclass(frozen=True)
class StaticThing:
    """A box that stayed where it was."""

    output: str
    class_name: str
    xyxy: tuple[float, float, float, float]
    """The mean of its boxes."""
    frames: int
    confidence: float | None
    """Mean, where its boxes have one."""

    def zone(self, name: str, size: tuple[int, int] | None) -> dict[str, Any]:
        """A small zone round the middle of its lower edge, where `filter.detections` looks by default; inside the picture."""
        left, top, right, bottom = self.xyxy
        reach_x, reach_y = max(3.0, 0.25 * (right - left)), max(3.0, 0.1 * (bottom - top))
        center = (left + right) / 2
        sides = [max(0.0, center - reach_x), max(0.0, bottom - reach_y), center + reach_x, bottom + reach_y]
        if size is not None:
            sides[2], sides[3] = min(sides[2], size[0]), min(sides[3], size[1])
        x1, y1, x2, y2 = (round(v, 1) for v in sides)
        return {"name": name, "polygon": [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]}


class _ScoredPlaces(BoxPlaces):
    """Every place in which boxes of one class of one output were, and how sure the detector was of them."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = np.empty(0)
        self.scored = np.empty(0, np.int64)

    def add(self, boxes: list[tuple[float, ...]], scores: list[float | None]) -> None:
        """The boxes of one frame."""
        places = self.feed(boxes)
        begun = len(self) - len(self.scores)
        self.scores = np.concatenate([self.scores, np.zeros(begun)])
        self.scored = np.concatenate([self.scored, np.zeros(begun, np.int64)])
        for place, score in zip(places.tolist(), scores, strict=True):
            if score is not None:
                self.scores[place] += score
                self.scored[place] += 1
        if len(self) > _MOST_THINGS:
            self.keep(np.sort(np.argsort(-self.seen, kind="stable")[: _MOST_THINGS // 2]))

    def keep(self, rows: NDArray[Any]) -> None:
        super().keep(rows)
        self.scores, self.scored = self.scores[rows], self.scored[rows]


def find_static(
    lines: Iterable[JsonLine], *, share: float, min_frames: int, nodes: Sequence[str] = ()
) -> tuple[list[StaticThing], int]:
    """Things seen in at least this share of the frames, most often seen first, and the number of frames.

    Raises `RequestError` where there are too few frames to tell, or several outputs with boxes and none is chosen.
    """
    places: dict[tuple[str, str], _ScoredPlaces] = {}
    frames = 0
    for line in lines:
        if line["result"] is None:
            continue
        frames += 1
        for path, value in leaves(line["result"]):
            if is_boxes(value) and (not nodes or path.split(".")[0] in nodes):
                _feed(places, path, value)
    outputs = sorted({path for path, _ in places})
    if len(outputs) > 1 and not nodes:
        raise RequestError(f"boxes are in several outputs ({', '.join(map(printable, outputs))}); choose with --node")
    if frames < min_frames:
        raise RequestError(
            f"{counted(frames, 'frame')} {'is' if frames == 1 else 'are'} too few to tell what never moves; give more, or --min-frames"
        )
    found = [
        StaticThing(
            path,
            name,
            tuple(place.boxes[k].tolist()),
            int(place.seen[k]),
            float(place.scores[k] / place.scored[k]) if place.scored[k] else None,
        )
        for (path, name), place in places.items()
        for k in np.flatnonzero(place.seen >= max(share * frames, 2))
    ]
    return sorted(found, key=lambda thing: (-thing.frames, thing.output, thing.class_name, thing.xyxy)), frames


def _feed(places: dict[tuple[str, str], _ScoredPlaces], path: str, rows: list[Any]) -> None:
    by_class: dict[str, tuple[list[tuple[float, ...]], list[float | None]]] = {}
    for row in rows:
        if not isinstance(row, dict) or (box := corners(row)) is None:
            continue
        boxes, scores = by_class.setdefault(str(row.get("class_name", row.get("class_id", ""))), ([], []))
        score = row.get("confidence")
        boxes.append(box)
        scores.append(float(score) if isinstance(score, int | float) else None)
    for name, (boxes, scores) in by_class.items():
        places.setdefault((path, name), _ScoredPlaces()).add(boxes, scores)
