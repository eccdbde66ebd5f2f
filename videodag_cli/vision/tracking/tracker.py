"""The life of tracks: which continue, which are lost for a while, which begin and end.

Association runs in stages, each on what the earlier ones left over, in the manner of ByteTrack (Zhang et al., "ByteTrack:
Multi-Object Tracking by Associating Every Detection Box", ECCV 2022) with the recovery by last observation of OC-SORT (Cao et al.,
"Observation-Centric SORT", CVPR 2023):

1. tracks seen in the previous frame take confident detections,
2. those still without one take weak detections: a half-hidden object scores low but does not move away,
3. tracks lost for a while take confident detections where the motion model expects them, its uncertainty widening the search,
4. tracks still without one take confident detections near the place where they were last seen: some stop behind what hides them,
5. tentative tracks take confident detections,
6. what is left and confident enough begins a track, unless it lies inside a box that has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Floats, Ints
from videodag_cli.vision.boxes import box_areas, intersection_matrix, iou_matrix
from videodag_cli.vision.tracking import kalman as motion
from videodag_cli.vision.tracking.association import assign, grown_overlap, worth

Mask = NDArray[np.bool_]

DUPLICATE_SHARE = 0.7
"""A detection with more than this share of its area inside a tracked box of its class begins no track."""
CROWDED_IOU = 0.5
"""A detection that overlaps another one this much does not change what its track is known to look like."""
LOOK_RATE = 0.2
"""Share of a new look in the running mean of a track's looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingRules:
    """When detections continue, begin and confirm tracks; overlaps are after widening by the motion model's uncertainty."""

    high_confidence: float
    low_confidence: float
    new_confidence: float
    instant_confidence: float
    match_iou: float
    low_iou: float
    recover_iou: float
    max_age_s: float
    min_hits: int


@dataclass(frozen=True, slots=True)
class Observations:
    """M detections of one frame."""

    xyxy: Floats
    confidence: Floats
    kind: Ints
    """(M,) detections of different kinds never belong to one track."""
    look: Floats
    """(M, K) unit vectors whose scalar product says how alike two boxes look; K may be 0: all look alike."""


@dataclass(slots=True)
class TrackTable:
    """N tracks in the order in which they began, one array per fact."""

    tracker_id: Ints
    """0 while a track is tentative."""
    hits: Ints
    """Frames in which the track was seen."""
    missed: Ints
    """Frames since the track was seen."""
    seen_s: Floats
    """Time when the track was last seen."""
    last: Floats
    """(N, 4) the box last seen."""
    row: Ints
    """The detection of the current frame, -1 if there is none."""
    kind: Ints
    look: Floats
    mean: Floats
    cov: Floats
    scale: Floats

    def __len__(self) -> int:
        return len(self.tracker_id)

    def chosen(self, rows: Mask) -> Self:
        return type(self)(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})

    def joined(self, other: Self) -> Self:
        columns = {item.name: (getattr(self, item.name), getattr(other, item.name)) for item in fields(self)}
        return type(self)(**{name: np.concatenate(pair) for name, pair in columns.items()})


_DTYPES: dict[str, type[np.generic]] = dict.fromkeys(("tracker_id", "hits", "missed", "row", "kind"), np.int64)


def begun(seen: Observations, rows: Ints, time_s: float) -> TrackTable:
    """Tentative tracks that begin with these rows of what was seen."""
    mean, cov, scale = motion.initiate(seen.xyxy[rows])
    count = len(rows)
    return TrackTable(
        tracker_id=np.zeros(count, np.int64),
        hits=np.ones(count, np.int64),
        missed=np.zeros(count, np.int64),
        seen_s=np.full(count, time_s),
        last=seen.xyxy[rows],
        row=rows,
        kind=seen.kind[rows],
        look=seen.look[rows],
        mean=mean,
        cov=cov,
        scale=scale,
    )


class Tracker:
    """Tracks of one video. Call `update` with each frame in order; memory is bounded by the tracks alive at once."""

    def __init__(self, rules: TrackingRules) -> None:
        self.rules = rules
        self._tracks: TrackTable | None = None
        self._next_id = 1
        self._time_s = 0.0

    def update(self, seen: Observations, *, time_s: float, size: tuple[int, int]) -> tuple[Ints, Ints, Floats]:
        """Continue with the next frame, whose picture has `size` (width, height).

        Returns the detections that belong to confirmed tracks, in the order of the tracks' ids: their rows, the ids, and (N, 4)
        where the motion model takes the tracks to be.
        """
        if self._tracks is None:
            self._tracks = begun(seen, np.empty(0, np.int64), time_s)
        else:
            self._advance(self._tracks, time_s - self._time_s)
        self._time_s = time_s
        free = self._associate(self._tracks, seen)
        self._correct(self._tracks, seen)
        self._tracks = self._tracks.chosen(self._alive(self._tracks, size))
        self._tracks = self._tracks.joined(begun(seen, self._beginnings(self._tracks, seen, free), time_s))
        self._confirm(self._tracks, seen)
        shown = np.flatnonzero((self._tracks.row >= 0) & (self._tracks.tracker_id > 0))
        shown = shown[np.argsort(self._tracks.tracker_id[shown], kind="stable")]
        where = motion.to_corners(self._tracks.mean[shown, :, 0])
        return self._tracks.row[shown], self._tracks.tracker_id[shown], where

    @staticmethod
    def _advance(tracks: TrackTable, elapsed_s: float) -> None:
        tracks.mean, tracks.cov = motion.predict(tracks.mean, tracks.cov, tracks.scale, elapsed_s)
        tracks.row = np.full(len(tracks), -1, np.int64)

    def _associate(self, tracks: TrackTable, seen: Observations) -> Mask:
        """Give detections to tracks; returns which confident detections are left."""
        rules = self.rules
        free: Mask = seen.confidence >= rules.high_confidence
        weak: Mask = (seen.confidence >= rules.low_confidence) & ~free
        same = tracks.kind[:, None] == seen.kind[None, :]
        weight = worth(np.clip(tracks.look @ seen.look.T, 0.0, 1.0)) if seen.look.shape[1] else np.ones(same.shape)
        expected = motion.to_corners(tracks.mean[:, :, 0])
        moving = grown_overlap(expected, motion.deviation(tracks.cov), seen.xyxy) * same
        standing = iou_matrix(tracks.last, seen.xyxy) * same
        confirmed = tracks.tracker_id > 0
        recent = confirmed & (tracks.missed == 0)

        def stage(candidates: Mask, detections: Mask, overlap: Floats, at_least: float) -> None:
            rows = np.flatnonzero(candidates & (tracks.row < 0))
            columns = np.flatnonzero(detections)
            part = np.ix_(rows, columns)
            i, j = assign(overlap[part], weight[part], at_least=at_least)
            tracks.row[rows[i]] = columns[j]
            detections[columns[j]] = False

        stage(recent, free, moving, rules.match_iou)
        stage(recent, weak, moving, rules.low_iou)
        stage(confirmed, free, moving, rules.match_iou)
        stage(confirmed, free, standing, rules.recover_iou)
        stage(~confirmed, free, moving, rules.match_iou)
        return free

    def _correct(self, tracks: TrackTable, seen: Observations) -> None:
        """Correct the tracks that were given a detection."""
        tracks.missed += 1
        found = np.flatnonzero(tracks.row >= 0)
        rows = tracks.row[found]
        boxes, confidence = seen.xyxy[rows], seen.confidence[rows]
        tracks.mean[found], tracks.cov[found], tracks.scale[found] = motion.correct(
            tracks.mean[found], tracks.cov[found], boxes, np.clip(confidence, 0.1, 1.0)
        )
        tracks.last[found] = boxes
        tracks.seen_s[found] = self._time_s
        tracks.missed[found] = 0
        tracks.hits[found] += 1
        if seen.look.shape[1]:
            crowded = (iou_matrix(boxes, boxes) - np.eye(len(boxes))).max(axis=1, initial=0.0) >= CROWDED_IOU
            clear = (confidence >= self.rules.high_confidence) & ~crowded
            mixed = (1 - LOOK_RATE) * tracks.look[found[clear]] + LOOK_RATE * seen.look[rows[clear]]
            tracks.look[found[clear]] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)

    def _alive(self, tracks: TrackTable, size: tuple[int, int]) -> Mask:
        """All but tentative tracks that were missed, and lost ones that are too old or expected outside the picture."""
        centre = tracks.mean[:, :2, 0]
        inside = np.all((centre >= 0) & (centre <= np.array(size)), axis=1)
        young = self._time_s - tracks.seen_s <= self.rules.max_age_s
        return np.asarray((tracks.row >= 0) | ((tracks.tracker_id > 0) & inside & young))

    def _beginnings(self, tracks: TrackTable, seen: Observations, free: Mask) -> Ints:
        """Rows of confident detections that are no part of something tracked, in their order."""
        candidates = np.flatnonzero(free & (seen.confidence >= self.rules.new_confidence))
        tracked = list(tracks.row[tracks.row >= 0])
        begin: list[int] = []
        for row in candidates[np.argsort(-seen.confidence[candidates], kind="stable")]:
            others = [other for other in tracked + begin if seen.kind[other] == seen.kind[row]]
            shared = intersection_matrix(seen.xyxy[row], seen.xyxy[others]).max(initial=0.0)
            if shared <= DUPLICATE_SHARE * box_areas(seen.xyxy[row])[0]:
                begin.append(int(row))
        return np.array(sorted(begin), np.int64)

    def _confirm(self, tracks: TrackTable, seen: Observations) -> None:
        """Number the tracks that have shown themselves often, or clearly, enough."""
        fresh = np.flatnonzero((tracks.tracker_id == 0) & (tracks.row >= 0))
        clear = seen.confidence[tracks.row[fresh]] >= self.rules.instant_confidence
        ready = fresh[clear | (tracks.hits[fresh] >= self.rules.min_hits)]
        ready = ready[np.argsort(tracks.row[ready], kind="stable")]
        tracks.tracker_id[ready] = np.arange(self._next_id, self._next_id + len(ready))
        self._next_id += len(ready)

    def state(self) -> dict[str, Any]:
        """All that the next frame depends on, as arrays and numbers."""
        tracks = self._tracks
        table = {item.name: getattr(tracks, item.name).copy() for item in fields(tracks)} if tracks else None
        return {"tracks": table, "next_id": self._next_id, "time_s": self._time_s}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue where `state` was taken; its arrays may have become lists."""
        table = state["tracks"]
        self._tracks = (
            None
            if table is None
            else TrackTable(**{n: np.array(c, _DTYPES.get(n, np.float64)) for n, c in table.items()})
        )
        self._next_id = int(state["next_id"])
        self._time_s = float(state["time_s"])
