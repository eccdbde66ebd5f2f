"""Where objects are and which way they go: counts and times in zones, crossings of lines.

Zones and lines are given in pixels or fractions of the upright source picture, also behind a crop. A box counts by one of its
points, the anchor; for people and vehicles the middle of its lower edge is where they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal, NewType

import numpy as np
from pydantic import Field

from videodag_cli.data import Detections, Frame, Tracks, VideoInfo
from videodag_cli.tools.params import NotNegative
from videodag_cli.tools.place_params import AnchorParam, UnitsParam, ZonesParam
from videodag_cli.toolspec import tool
from videodag_cli.vision import polygons as geometry
from videodag_cli.vision.boxes import box_areas, class_labels
from videodag_cli.vision.regions import Gate, Lines, anchor_points, gates_in_pixels, regions_in_pixels

REMEMBERED = 10_000
"""Tracks that a line remembers: those seen last."""


MinStay = Annotated[
    float,
    Field(
        ge=0,
        le=3600,
        description="seconds that an object is seen to stay on the other side before that counts; 0 believes every single frame",
    ),
]
"""The default, 0.2: a box that flickers does so for one to three frames, and nobody walks to and fro within five."""
_TIME_TOLERANCE_S = 1e-6  # times are rounded to microseconds


@dataclass(frozen=True, slots=True)
class ZoneCount:
    count: int
    by_class: dict[str, int]
    """Only classes that are present, by name."""


ZoneCounts = NewType("ZoneCounts", dict[str, ZoneCount])
"""By the name of the zone."""


@tool(version=1, stateless=True)
class Count:
    """How many boxes are in each zone: `count`, and `by_class`. The border of a zone belongs to it."""

    def __init__(
        self,
        video: VideoInfo,
        *,
        zones: ZonesParam,
        units: UnitsParam = "pixel",
        anchor: AnchorParam = "bottom_center",
    ) -> None:
        self._video, self._anchor = video, anchor
        self._regions = regions_in_pixels(zones, units, video)

    def __call__(self, detections: Detections) -> ZoneCounts:
        points = anchor_points(detections, self._anchor, self._video)
        labels = class_labels(detections)
        counts: dict[str, ZoneCount] = {}
        for region in self._regions:
            within = [labels[i] for i in np.flatnonzero(geometry.points_inside(region.polygon, points))]
            by_class = {name: within.count(name) for name in sorted(set(within)) if name}
            counts[region.name] = ZoneCount(len(within), by_class)
        return ZoneCounts(counts)


@dataclass(frozen=True, slots=True)
class Visit:
    tracker_id: int
    class_name: str
    entered_s: float
    """Time of the first frame in which it was seen inside."""
    left_s: float | None
    """Time of the first frame in which it was seen outside, or of the last in which it was seen at all; null while inside."""
    visit_s: float
    """From `entered_s` to `left_s`, or until now."""
    total_s: float
    """All visits of this track to this zone."""


@dataclass(frozen=True, slots=True)
class ZoneDwell:
    inside: tuple[Visit, ...]
    """Those who have entered and are seen inside in this frame, by id."""
    entered: tuple[int, ...]
    """Ids of those known to have entered since this frame."""
    left: tuple[Visit, ...]
    """Visits known to be over since this frame."""


ZoneDwells = NewType("ZoneDwells", dict[str, ZoneDwell])
"""By the name of the zone."""


@dataclass(slots=True)
class _Stay:
    """What a zone knows of a track."""

    class_name: str
    seen_s: float
    entered_s: float | None = None
    turned_s: float | None = None
    """Since when it is seen outside during a visit, or inside before one."""
    earlier_s: float = 0.0
    """Visits that are over."""


@tool(version=2, pixels=False)
class Dwell:
    """How long each track has been in each zone.

    By zone: the visits of those `inside` now and, once it is known, the ids of those that `entered` and the visits of those that `left`.
    A visit has `entered_s`, `left_s`, `visit_s` (this visit) and `total_s` (all visits of this track), in seconds.

    A visit lasts from the first frame seen inside to the first frame seen outside. It is reported once the track was seen to stay inside,
    and later outside, for `min_s`: a box that flickers over the border does not enter or leave. Someone hidden meanwhile is still inside
    if seen inside again within `max_gap_s`; someone not seen anywhere for longer left when last seen inside. Keep `max_gap_s` above the
    tracker's `max_age_s`.
    """

    def __init__(
        self,
        video: VideoInfo,
        *,
        zones: ZonesParam,
        units: UnitsParam = "pixel",
        anchor: AnchorParam = "bottom_center",
        max_gap_s: Annotated[
            NotNegative, Field(description="longest absence, in seconds, that does not end a visit")
        ] = 3.0,
        min_s: MinStay = 0.2,
    ) -> None:
        self._video, self._anchor, self._max_gap_s, self._min_s = video, anchor, max_gap_s, min_s
        self._regions = regions_in_pixels(zones, units, video)
        self._stays: dict[str, dict[int, _Stay]] = {region.name: {} for region in self._regions}

    def __call__(self, frame: Frame, tracks: Tracks) -> ZoneDwells:
        tracks = tracks.mapped(frame.to_source)
        points = anchor_points(tracks, self._anchor, self._video)
        ids, labels = tracks.tracker_id.tolist(), class_labels(tracks)
        order = sorted(range(len(ids)), key=ids.__getitem__)
        dwells: dict[str, ZoneDwell] = {}
        for region in self._regions:
            stays = self._stays[region.name]
            left = self._gone(stays, frame.time_s)
            present = geometry.points_inside(region.polygon, points)
            inside: list[Visit] = []
            entered: list[int] = []
            for i in order:
                stay = stays.setdefault(ids[i], _Stay(labels[i], frame.time_s))
                stay.class_name, stay.seen_s = labels[i], frame.time_s
                if self._turns(stay, frame.time_s, is_inside=bool(present[i])):
                    if stay.entered_s is None:
                        stay.entered_s = stay.turned_s
                        entered.append(ids[i])
                    else:
                        left.append(_over(ids[i], stay, frame.time_s))
                    stay.turned_s = None
                if present[i] and stay.entered_s is not None:
                    inside.append(replace(_visit(ids[i], stay, frame.time_s), left_s=None))
            dwells[region.name] = ZoneDwell(tuple(inside), tuple(entered), tuple(left))
        return ZoneDwells(dwells)

    def _turns(self, stay: _Stay, now_s: float, *, is_inside: bool) -> bool:
        """Whether a track is now known to have entered or left, at `turned_s`."""
        if is_inside == (stay.entered_s is not None):
            stay.turned_s = None
            return False
        if stay.turned_s is None:
            stay.turned_s = now_s
        return _stayed(stay.turned_s, now_s, self._min_s)

    def _gone(self, stays: dict[int, _Stay], now_s: float) -> list[Visit]:
        """Forget tracks that were not seen for long; the visits that ended with that."""
        gone = [key for key, stay in stays.items() if now_s - stay.seen_s > self._max_gap_s]
        forgotten = [(key, stays.pop(key)) for key in sorted(gone)]
        return [_over(key, stay, stay.seen_s) for key, stay in forgotten if stay.entered_s is not None]

    def state(self) -> dict[str, Any]:
        return {name: [[key, asdict(stay)] for key, stay in stays.items()] for name, stays in self._stays.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._stays = {name: {key: _Stay(**stay) for key, stay in stays} for name, stays in state.items()}


def _stayed(since_s: float, now_s: float, min_s: float) -> bool:
    return now_s - since_s >= min_s - _TIME_TOLERANCE_S


def _visit(tracker_id: int, stay: _Stay, until_s: float) -> Visit:
    entered_s = until_s if stay.entered_s is None else stay.entered_s
    visit_s = until_s - entered_s
    return Visit(tracker_id, stay.class_name, entered_s, until_s, visit_s, stay.earlier_s + visit_s)


def _over(tracker_id: int, stay: _Stay, until_s: float) -> Visit:
    """End the visit: when the track was first seen outside, else at `until_s`."""
    visit = _visit(tracker_id, stay, until_s if stay.turned_s is None else stay.turned_s)
    stay.earlier_s, stay.entered_s = visit.total_s, None
    return visit


@dataclass(frozen=True, slots=True)
class Crossing:
    tracker_id: int
    class_name: str
    direction: Literal["in", "out"]
    crossed_s: float
    """Time of the first frame in which it was clear of the line."""


@dataclass(frozen=True, slots=True)
class Passages:
    in_count: int = 0
    out_count: int = 0


@dataclass(frozen=True, slots=True)
class LineCount:
    in_count: int
    """Since the start of the video, as `out_count`."""
    out_count: int
    by_class: dict[str, Passages]
    """Only classes that have crossed, by name."""
    crossings: tuple[Crossing, ...]
    """Those known since this frame, by id."""


LineCounts = NewType("LineCounts", dict[str, LineCount])
"""By the name of the line."""


@dataclass(slots=True)
class _Walk:
    """What a line knows of a track."""

    x: float
    y: float
    side: float
    """Side of the line on which the anchor was last: 1 right, -1 left, 0 exactly on the line since the beginning."""
    settled: float
    """Side on which it was last clear of the line."""
    clear_s: float | None = None
    """Since when it has been clear of the line on the other side than that, without having been back."""
    crossed_at: float | None = None
    """Where along the line (0 at its start, 1 at its end) the anchor last changed sides."""


@tool(version=2, pixels=False)
class Line:
    """How often tracks have crossed each line, and which do so in this frame.

    By line: `in_count`, `out_count` and `by_class` since the start of the video, and the `crossings` of this frame.

    Walk from `start` to `end`: crossing from your left hand to your right hand is in, the other way is out. So a line drawn from the
    bottom of the picture to its top counts in what moves to the right. A crossing counts when the anchor has passed between the ends
    of the line, is clear of it by `margin` times the box's size (the square root of its area), and is then seen to stay on that side for
    `min_s`: someone who sways on the line, or whose box flickers across it, does not cross it. Where sampled frames are further apart
    than `min_s`, two of them on the other side are needed.
    """

    def __init__(
        self,
        video: VideoInfo,
        *,
        lines: Annotated[
            Lines,
            Field(description='[{"name": "gate", "start": [x, y], "end": [x, y]}, ...], or a JSON file of that'),
        ],
        units: UnitsParam = "pixel",
        anchor: AnchorParam = "bottom_center",
        margin: Annotated[
            float,
            Field(ge=0, le=10, description="distance at which a box is clear of the line, as a share of its size"),
        ] = 0.1,
        min_s: MinStay = 0.2,
    ) -> None:
        self._video, self._anchor, self._margin, self._min_s = video, anchor, margin, min_s
        self._gates = gates_in_pixels(lines, units, video)
        self._walks: dict[str, dict[int, _Walk]] = {gate.name: {} for gate in self._gates}
        self._totals: dict[str, dict[str, Passages]] = {gate.name: {} for gate in self._gates}

    def __call__(self, frame: Frame, tracks: Tracks) -> LineCounts:
        tracks = tracks.mapped(frame.to_source)
        points = anchor_points(tracks, self._anchor, self._video)
        clear = np.sqrt(box_areas(tracks.xyxy)) * self._margin
        ids, labels = tracks.tracker_id.tolist(), class_labels(tracks)
        order = sorted(range(len(ids)), key=ids.__getitem__)
        counts: dict[str, LineCount] = {}
        for gate in self._gates:
            totals, crossings = self._totals[gate.name], []
            for i in order:
                side, crossed_s = self._step(gate, ids[i], points[i], float(clear[i]), frame.time_s)
                if side:
                    crossings.append(Crossing(ids[i], labels[i], "in" if side > 0 else "out", crossed_s))
                    before = totals.get(labels[i], Passages())
                    totals[labels[i]] = Passages(before.in_count + (side > 0), before.out_count + (side < 0))
            counts[gate.name] = LineCount(
                sum(passages.in_count for passages in totals.values()),
                sum(passages.out_count for passages in totals.values()),
                {name: totals[name] for name in sorted(totals) if name},
                tuple(crossings),
            )
        return LineCounts(counts)

    def _step(self, gate: Gate, tracker_id: int, point: Any, clear: float, now_s: float) -> tuple[float, float]:
        """Follow one track; the side it has crossed to, or 0, and when."""
        walks = self._walks[gate.name]
        distance = geometry.signed_distance(gate.start, gate.end, point)
        x, y = float(point[0]), float(point[1])
        walk = walks.pop(tracker_id, None)
        if walk is None:
            walk = _Walk(x, y, float(np.sign(distance)), float(np.sign(distance)))
            if len(walks) >= REMEMBERED:
                del walks[next(iter(walks))]
        walks[tracker_id] = walk  # moved to the end: the order is that of the last sight
        side = float(np.sign(distance)) or walk.side
        if walk.side * side < 0:
            before = geometry.signed_distance(gate.start, gate.end, np.array((walk.x, walk.y)))
            way = before / (before - distance)
            where = np.array((walk.x + (x - walk.x) * way, walk.y + (y - walk.y) * way))
            walk.crossed_at = geometry.position_along(gate.start, gate.end, where)
            walk.clear_s = None
        walk.x, walk.y, walk.side = x, y, side
        if side == walk.settled:
            return 0.0, now_s
        if walk.clear_s is None and distance != 0 and abs(distance) >= clear:
            walk.clear_s = now_s
        if walk.clear_s is None or not _stayed(walk.clear_s, now_s, self._min_s):
            return 0.0, now_s
        passed = walk.settled != 0 and walk.crossed_at is not None and 0 <= walk.crossed_at <= 1
        crossed_s, walk.clear_s, walk.settled = walk.clear_s, None, side
        return side if passed else 0.0, crossed_s

    def state(self) -> dict[str, Any]:
        return {
            "walks": {
                name: [[key, asdict(walk)] for key, walk in walks.items()] for name, walks in self._walks.items()
            },
            "totals": {
                name: {label: asdict(passages) for label, passages in totals.items()}
                for name, totals in self._totals.items()
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._walks = {name: {key: _Walk(**walk) for key, walk in walks} for name, walks in state["walks"].items()}
        self._totals = {
            name: {label: Passages(**passages) for label, passages in totals.items()}
            for name, totals in state["totals"].items()
        }
