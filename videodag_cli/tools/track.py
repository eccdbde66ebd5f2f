"""Identities: which detections of consecutive frames are the same object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from videodag_cli.data import Detections, Frame, Tracks
from videodag_cli.errors import ParamError
from videodag_cli.tools.params import NotNegative, Share
from videodag_cli.toolspec import tool
from videodag_cli.vision.boxes import class_labels
from videodag_cli.vision.tracking.appearance import looks
from videodag_cli.vision.tracking.tracker import Observations, Tracker, TrackingRules


@tool(version=1)
class Objects:
    """Follows objects from frame to frame and gives each a `tracker_id`, counted from 1 in each video.

    Only detections that belong to a confirmed track come out, in the order of the ids, with all their columns; those without a
    confidence count as certain. Times are the video's, so that sampling with a stride and a variable frame rate do not change what
    counts as fast or as long ago.
    """

    def __init__(
        self,
        *,
        high_confidence: Annotated[
            Share,
            Field(description="lowest confidence of a detection that is trusted; weaker ones only continue tracks"),
        ] = 0.5,
        low_confidence: Annotated[
            Share,
            Field(
                description="lowest confidence of a detection that is used at all; set the detector's own threshold as low as this"
            ),
        ] = 0.2,
        new_confidence: Annotated[
            Share, Field(description="lowest confidence of a detection that begins a track")
        ] = 0.55,
        instant_confidence: Annotated[
            float,
            Field(ge=0, description="lowest confidence of a detection whose track is shown at once; above 1: never"),
        ] = 0.7,
        min_hits: Annotated[
            int, Field(ge=1, description="number of frames in a row after which any track is shown")
        ] = 3,
        max_age_s: Annotated[NotNegative, Field(description="how long a lost track is kept, in seconds")] = 2.0,
        match_iou: Annotated[
            Share, Field(description="smallest overlap (IoU) of a trusted detection with the expected box")
        ] = 0.2,
        low_iou: Annotated[
            Share, Field(description="smallest overlap (IoU) of a weak detection with the expected box")
        ] = 0.4,
        recover_iou: Annotated[
            Share, Field(description="smallest overlap (IoU) with the box seen last for a lost track to be found again")
        ] = 0.3,
        appearance: Annotated[bool, Field(description="compare colours as well as positions")] = True,
        boxes: Annotated[
            Literal["detected", "smoothed"],
            Field(description="boxes as the detector gave them, or smoothed over time, which suits boxes that flicker"),
        ] = "detected",
        class_agnostic: Annotated[
            bool, Field(description="let a track change its class, for detectors that waver between two")
        ] = False,
    ) -> None:
        if not low_confidence <= high_confidence <= new_confidence:
            raise ParamError(
                "low_confidence <= high_confidence <= new_confidence must hold, "
                f"got {low_confidence:g}, {high_confidence:g}, {new_confidence:g}"
            )
        self._tracker = Tracker(
            TrackingRules(
                high_confidence=high_confidence,
                low_confidence=low_confidence,
                new_confidence=new_confidence,
                instant_confidence=instant_confidence,
                match_iou=match_iou,
                low_iou=low_iou,
                recover_iou=recover_iou,
                max_age_s=max_age_s,
                min_hits=min_hits,
            )
        )
        self._low_confidence = low_confidence
        self._appearance = self.reads_pixels = appearance
        self._smoothed = boxes == "smoothed"
        self._class_agnostic = class_agnostic
        self._kinds: dict[str, int] = {}

    def __call__(self, frame: Frame, detections: Detections) -> Tracks:
        confidence = np.ones(len(detections)) if detections.confidence is None else detections.confidence
        usable = (confidence >= self._low_confidence) & np.isfinite(detections.xyxy).all(axis=1)
        found = detections[usable]
        seen = Observations(
            xyxy=found.xyxy,
            confidence=confidence[usable],
            kind=np.array([self._kind(name) for name in class_labels(found)], np.int64),
            look=looks(frame.image, found.xyxy) if self._appearance else np.empty((len(found), 0)),
        )
        rows, ids, expected = self._tracker.update(seen, time_s=frame.time_s, size=(frame.width, frame.height))
        shown = found[rows]
        return Tracks(
            xyxy=expected if self._smoothed else shown.xyxy,
            confidence=shown.confidence,
            class_id=shown.class_id,
            class_name=shown.class_name,
            keypoints=shown.keypoints,
            visibility=shown.visibility,
            area=shown.area,
            data=shown.data,
            tracker_id=ids,
        )

    def _kind(self, name: str) -> int:
        return 0 if self._class_agnostic else self._kinds.setdefault(name, len(self._kinds))

    def state(self) -> dict[str, Any]:
        return {"tracker": self._tracker.state(), "kinds": dict(self._kinds)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._tracker.restore(state["tracker"])
        self._kinds = dict(state["kinds"])
