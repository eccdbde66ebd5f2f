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

from videodag_cli import geometry
from videodag_cli.boxes import box_areas, class_labels
from videodag_cli.data import Detections, Frame, Tracks, VideoInfo
from videodag_cli.regions import Gate, Lines, anchors, gates, regions
from videodag_cli.tool import tool
from videodag_cli.tools.params import AnchorParam, NotNegative, UnitsParam, ZonesParam

REMEMBERED = 10_000
"""Tracks that a line remembers: those seen last."""


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
        self._regions = regions(zones, units, video)

    def __call__(self, detections: Detections) -> ZoneCounts:
        points = anchors(detections, self._anchor, self._video)
        labels = class_labels(detections)
        counts: dict[str, ZoneCount] = {}
        for region in self._regions:
            within = [labels[i] for i in np.flatnonzero(geometry.inside(region.polygon, points))]
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
    """Those seen inside in this frame, by id."""
    entered: tuple[int, ...]
    """Ids of those first seen inside in this frame."""
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
    earlier_s: float = 0.0
    """Visits that are over."""


@tool(version=1)
class Dwell:
    """How long each track has been in each zone.

    By zone: the visits of those `inside` now, the ids that `entered` in this frame, and the visits of those that `left`. A visit has
    `entered_s`, `left_s`, `visit_s` (this visit) and `total_s` (all visits of this track), in seconds.

    A visit lasts from the first frame seen inside to the first frame seen outside. Who is hidden meanwhile is still inside if seen
    inside again within `max_gap_s`; who is not seen anywhere for longer has left when last seen. Keep `max_gap_s` above the
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
    ) -> None:
        self._video, self._anchor, self._max_gap_s = video, anchor, max_gap_s
        self._regions = regions(zones, units, video)
        self._stays: dict[str, dict[int, _Stay]] = {region.name: {} for region in self._regions}

    def __call__(self, frame: Frame, tracks: Tracks) -> ZoneDwells:
        tracks = tracks.mapped(frame.to_source)
        points = anchors(tracks, self._anchor, self._video)
        ids, labels = tracks.tracker_id.tolist(), class_labels(tracks)
        order = sorted(range(len(ids)), key=ids.__getitem__)
        dwells: dict[str, ZoneDwell] = {}
        for region in self._regions:
            stays = self._stays[region.name]
            left = self._gone(stays, frame.time_s)
            present = geometry.inside(region.polygon, points)
            inside: list[Visit] = []
            entered: list[int] = []
            for i in order:
                stay = stays.setdefault(ids[i], _Stay(labels[i], frame.time_s))
                stay.class_name, stay.seen_s = labels[i], frame.time_s
                if present[i]:
                    if stay.entered_s is None:
                        stay.entered_s = frame.time_s
                        entered.append(ids[i])
                    inside.append(replace(_visit(ids[i], stay, frame.time_s), left_s=None))
                elif stay.entered_s is not None:
                    left.append(_over(ids[i], stay, frame.time_s))
            dwells[region.name] = ZoneDwell(tuple(inside), tuple(entered), tuple(left))
        return ZoneDwells(dwells)

    def _gone(self, stays: dict[int, _Stay], now_s: float) -> list[Visit]:
        """Forget tracks that were not seen for long; the visits that ended with that."""
        gone = [key for key, stay in stays.items() if now_s - stay.seen_s > self._max_gap_s]
        forgotten = [(key, stays.pop(key)) for key in sorted(gone)]
        return [_over(key, stay, stay.seen_s) for key, stay in forgotten if stay.entered_s is not None]

    def state(self) -> dict[str, Any]:
        return {name: [[key, asdict(stay)] for key, stay in stays.items()] for name, stays in self._stays.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._stays = {name: {key: _Stay(**stay) for key, stay in stays} for name, stays in state.items()}


def _visit(tracker_id: int, stay: _Stay, until_s: float) -> Visit:
    entered_s = until_s if stay.entered_s is None else stay.entered_s
    visit_s = until_s - entered_s
    return Visit(tracker_id, stay.class_name, entered_s, until_s, visit_s, stay.earlier_s + visit_s)


def _over(tracker_id: int, stay: _Stay, until_s: float) -> Visit:
    """End the visit."""
    visit = _visit(tracker_id, stay, until_s)
    stay.earlier_s, stay.entered_s = visit.total_s, None
    return visit


@dataclass(frozen=True, slots=True)
class Crossing:
    tracker_id: int
    class_name: str
    direction: Literal["in", "out"]


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
    """Those of this frame, by id."""


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
    crossed_at: float | None = None
    """Where along the line (0 at its start, 1 at its end) the anchor last changed sides."""


@tool(version=1)
class Line:
    """How often tracks have crossed each line, and which do so in this frame.

    By line: `in_count`, `out_count` and `by_class` since the start of the video, and the `crossings` of this frame.

    Walk from `start` to `end`: who crosses from the left hand to the right hand goes in, the other way out. So a line drawn from the
    bottom of the picture to its top counts in what moves to the right. A crossing counts when the anchor has passed between the ends
    of the line and is clear of it by `margin` times the box's size (the square root of its area): who stands on the line and trembles
    crosses nothing.
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
    ) -> None:
        self._video, self._anchor, self._margin = video, anchor, margin
        self._gates = gates(lines, units, video)
        self._walks: dict[str, dict[int, _Walk]] = {gate.name: {} for gate in self._gates}
        self._totals: dict[str, dict[str, Passages]] = {gate.name: {} for gate in self._gates}

    def __call__(self, frame: Frame, tracks: Tracks) -> LineCounts:
        tracks = tracks.mapped(frame.to_source)
        points = anchors(tracks, self._anchor, self._video)
        clear = np.sqrt(box_areas(tracks.xyxy)) * self._margin
        ids, labels = tracks.tracker_id.tolist(), class_labels(tracks)
        order = sorted(range(len(ids)), key=ids.__getitem__)
        counts: dict[str, LineCount] = {}
        for gate in self._gates:
            totals, crossings = self._totals[gate.name], []
            for i in order:
                side = self._step(gate, ids[i], points[i], float(clear[i]))
                if side:
                    crossings.append(Crossing(ids[i], labels[i], "in" if side > 0 else "out"))
                    before = totals.get(labels[i], Passages())
                    totals[labels[i]] = Passages(before.in_count + (side > 0), before.out_count + (side < 0))
            counts[gate.name] = LineCount(
                sum(passages.in_count for passages in totals.values()),
                sum(passages.out_count for passages in totals.values()),
                {name: totals[name] for name in sorted(totals) if name},
                tuple(crossings),
            )
        return LineCounts(counts)

    def _step(self, gate: Gate, tracker_id: int, point: Any, clear: float) -> float:
        """Follow one track; the side it has crossed to, or 0."""
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
        walk.x, walk.y, walk.side = x, y, side
        if distance == 0 or abs(distance) < clear or side == walk.settled:
            return 0.0
        passed = walk.settled != 0 and walk.crossed_at is not None and 0 <= walk.crossed_at <= 1
        walk.settled = side
        return side if passed else 0.0

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
