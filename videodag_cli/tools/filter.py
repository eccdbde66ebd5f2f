"""Which boxes go on: by class, confidence, size and place, and by how long they have not moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from videodag_cli.data import Detections, Floats, Frame, Tracks, VideoInfo
from videodag_cli.errors import ParamError
from videodag_cli.tools.params import Names, NotNegative, Share
from videodag_cli.toolspec import tool
from videodag_cli.vision import polygons as geometry
from videodag_cli.vision.box_places import SAME_IOU, BoxPlaces
from videodag_cli.vision.boxes import class_labels
from videodag_cli.vision.regions import Anchor, Units, Zones, anchor_points, regions_in_pixels


class _BoxFilter:
    """What a box has to fulfil; areas and zones are in the upright source picture."""

    def __init__(
        self,
        video: VideoInfo,
        *,
        classes: Annotated[Names | None, Field(description="keep only these classes, by name: person,car")] = None,
        exclude: Annotated[Names | None, Field(description="drop these classes, by name")] = None,
        min_confidence: Annotated[
            Share | None, Field(description="lowest confidence; boxes without one are kept")
        ] = None,
        max_confidence: Annotated[
            Share | None, Field(description="highest confidence; boxes without one are kept")
        ] = None,
        min_area: Annotated[
            NotNegative | None,
            Field(description="smallest area of the box, in square pixels or as a share of the picture"),
        ] = None,
        max_area: Annotated[
            NotNegative | None,
            Field(description="largest area of the box, in square pixels or as a share of the picture"),
        ] = None,
        zones: Annotated[
            Zones | None,
            Field(
                description='only inside one of these zones: [{"name": "door", "polygon": [[x, y], ...]}], or a JSON file of that'
            ),
        ] = None,
        exclude_zones: Annotated[
            Zones | None,
            Field(description="drop what is inside one of these zones, such as those that `videodag static` writes"),
        ] = None,
        units: Annotated[
            Units, Field(description="unit of areas and zones: pixels, or fractions of the upright picture")
        ] = "pixel",
        anchor: Annotated[Anchor, Field(description="the point of the box that has to be inside")] = "bottom_center",
    ) -> None:
        self._confidence, self._area = (min_confidence, max_confidence), (min_area, max_area)
        for name, (low, high) in (("confidence", self._confidence), ("area", self._area)):
            if low is not None and high is not None and low > high:
                raise ParamError(f"min_{name} {low:g} is above max_{name} {high:g}; nothing would remain")
        if units == "fraction" and max(min_area or 0.0, max_area or 0.0) > 1:
            raise ParamError("an area is above 1, the whole picture; with units=pixel, areas are square pixels")
        self._video, self._anchor = video, anchor
        self._classes, self._exclude = classes, exclude or []
        self._unit_area = float(video.width * video.height) if units == "fraction" else 1.0
        self._regions = None if zones is None else regions_in_pixels(zones, units, video)
        self._excluded = None if exclude_zones is None else regions_in_pixels(exclude_zones, units, video)

    def _keeps(self, detections: Detections) -> NDArray[np.bool_]:
        labels = class_labels(detections)
        keep = ~_named(labels, self._exclude)
        if self._classes is not None:
            keep &= _named(labels, self._classes)
        if detections.confidence is not None:
            keep &= _between(detections.confidence, self._confidence)
        keep &= _between(detections.box_area / self._unit_area, self._area)
        if self._regions is not None:
            points = anchor_points(detections, self._anchor, self._video)
            keep &= np.any([geometry.points_inside(region.polygon, points) for region in self._regions], axis=0)
        if self._excluded is not None:
            points = anchor_points(detections, self._anchor, self._video)
            keep &= ~np.any([geometry.points_inside(region.polygon, points) for region in self._excluded], axis=0)
        return keep


def _named(labels: Sequence[str], names: Sequence[str]) -> NDArray[np.bool_]:
    """Which labels are among the names; upper and lower case are the same, as for a detector's classes."""
    wanted = {name.casefold() for name in names}
    return np.array([label.strip().casefold() in wanted for label in labels], bool)


def _between(values: Floats, limits: tuple[float | None, float | None]) -> NDArray[np.bool_]:
    low, high = limits
    above = np.ones(len(values), bool) if low is None else values >= low
    return np.asarray(above if high is None else above & (values <= high))


@tool(version=2, stateless=True, id="detections")
class DetectionFilter(_BoxFilter):
    """The detections that meet every condition given, in their order."""

    def __call__(self, detections: Detections) -> Detections:
        return detections[self._keeps(detections)]


@tool(version=2, stateless=True, id="tracks")
class TrackFilter(_BoxFilter):
    """The tracks that meet every condition given, in their order; ids stay."""

    def __call__(self, tracks: Tracks) -> Tracks:
        return tracks[self._keeps(tracks)]


class _TimedPlaces(BoxPlaces):
    """Places of boxes of one class, with when each began and was last seen; how many frames passed before it began."""

    def __init__(self, same_iou: float) -> None:
        super().__init__(same_iou)
        self.since_s, self.last_s = np.empty(0), np.empty(0)
        self.frames_before = np.empty(0, np.int64)

    def add(self, boxes: Floats, time_s: float, frames: int) -> NDArray[np.int64]:
        """The boxes of one frame, before which there were so many; returns their places."""
        places = self.feed(boxes)
        begun = len(self) - len(self.since_s)
        self.since_s = np.concatenate([self.since_s, np.full(begun, time_s)])
        self.last_s = np.concatenate([self.last_s, np.full(begun, time_s)])
        self.frames_before = np.concatenate([self.frames_before, np.full(begun, frames, np.int64)])
        self.last_s[places] = time_s
        return places

    def keep(self, rows: NDArray[Any]) -> None:
        super().keep(rows)
        self.since_s, self.last_s, self.frames_before = self.since_s[rows], self.last_s[rows], self.frames_before[rows]

    def state(self) -> dict[str, Any]:
        times = {"since_s": self.since_s.copy(), "last_s": self.last_s.copy()}
        return super().state() | times | {"frames_before": self.frames_before.copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.since_s, self.last_s = np.array(state["since_s"], np.float64), np.array(state["last_s"], np.float64)
        self.frames_before = np.array(state["frames_before"], np.int64)


_LEAST_SEEN = 5
"""A thing that was seen in fewer frames may just have come by several times."""


@tool(version=1, id="static")
class StaticFilter:
    """The detections without those that have not moved for a long time, or all of them with `static`, which says so.

    A box is static when a box of its class has been in its place for `after_s`, in at least 5 frames and a share of `share` of all since
    then. It looks back only: until then, the box goes on. People who sit still and parked cars are static, too.
    """

    def __init__(
        self,
        *,
        after_s: Annotated[
            float,
            Field(gt=0, allow_inf_nan=False, description="how long a box must have stayed in its place, in seconds"),
        ] = 10.0,
        static: Annotated[
            Literal["drop", "mark"],
            Field(description="drop static boxes, or keep all and mark each with `static`: true or false"),
        ] = "drop",
        iou: Annotated[
            float,
            Field(
                gt=0,
                le=1,
                description="smallest overlap (IoU) with the mean of the boxes so far that is the same place",
            ),
        ] = SAME_IOU,
        share: Annotated[
            Share, Field(description="smallest share of the frames since then in which a box must have been there")
        ] = 0.6,
        max_gap_s: Annotated[
            NotNegative, Field(description="a place where nothing was seen for longer begins anew, in seconds")
        ] = 2.0,
    ) -> None:
        self._after_s, self._drops, self._iou = after_s, static == "drop", iou
        self._share, self._max_gap_s = share, max_gap_s
        self._places: dict[str, _TimedPlaces] = {}
        self._frames = 0

    def __call__(self, frame: Frame, detections: Detections) -> Detections:
        still = np.zeros(len(detections), bool)
        labels = np.array(class_labels(detections), object)
        usable = np.isfinite(detections.xyxy).all(axis=1)
        for label in dict.fromkeys(labels.tolist()):
            rows = np.flatnonzero((labels == label) & usable)
            known = self._places.setdefault(label, _TimedPlaces(self._iou))
            places = known.add(detections.xyxy[rows], frame.time_s, self._frames)
            seen, frames = known.seen[places], self._frames + 1 - known.frames_before[places]
            stayed = frame.time_s - known.since_s[places] >= self._after_s
            still[rows] = stayed & (seen >= _LEAST_SEEN) & (seen >= self._share * frames)
        self._frames += 1
        for label, known in list(self._places.items()):
            known.keep(known.last_s >= frame.time_s - self._max_gap_s)
            if not len(known):
                del self._places[label]
        if self._drops:
            return detections[~still]
        return replace(detections, data={**detections.data, "static": tuple(still.tolist())})

    def state(self) -> dict[str, Any]:
        return {"places": {label: known.state() for label, known in self._places.items()}, "frames": self._frames}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._places = {}
        for label, known in state["places"].items():
            self._places[label] = _TimedPlaces(self._iou)
            self._places[label].restore(known)
        self._frames = int(state["frames"])
