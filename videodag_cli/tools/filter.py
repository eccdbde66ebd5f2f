"""Which boxes go on: by class, confidence, size and place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from videodag_cli.data import Detections, Floats, Tracks, VideoInfo
from videodag_cli.errors import ParamError
from videodag_cli.tools.params import Names, NotNegative, Share
from videodag_cli.toolspec import tool
from videodag_cli.vision import polygons as geometry
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
