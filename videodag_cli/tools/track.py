"""Identities: which detections of consecutive frames are the same object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from videodag_cli.boxes import class_labels
from videodag_cli.data import Detections, Frame, Tracks
from videodag_cli.errors import ParamError
from videodag_cli.tool import tool
from videodag_cli.tracking.appearance import looks
from videodag_cli.tracking.tracker import Rules, Seen, Tracker

Share = Annotated[float, Field(ge=0, le=1)]


@tool(version=1)
class Objects:
    """Follows objects from frame to frame and gives each a `tracker_id`, counted from 1 in each video.

    Only detections that belong to a confirmed track come out, in the order of the ids, with all their columns. Times are the
    video's, so that sampling with a stride and a variable frame rate do not change what counts as fast or as long ago.

    Detections below `high_confidence` only continue a track seen in the frame before, those below `low_confidence` do nothing. A
    detection of at least `new_confidence` begins a track; it is confirmed at once from `instant_confidence` on, else after
    `min_hits` frames in a row. A lost track waits for `max_age_s`. `match_iou`, `low_iou` and `recover_iou` are the overlaps needed
    with the expected box by confident and by weak detections, and with the last seen box after a loss. `appearance` also compares
    colours. `boxes`: as detected, or smoothed by the motion model, which suits boxes that flicker. Classes are tracked apart unless
    `class_agnostic`. Detections without a confidence count as certain.
    """

    def __init__(
        self,
        *,
        high_confidence: Share = 0.5,
        low_confidence: Share = 0.2,
        new_confidence: Share = 0.55,
        instant_confidence: Annotated[float, Field(ge=0)] = 0.7,
        min_hits: Annotated[int, Field(ge=1)] = 3,
        max_age_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0,
        match_iou: Share = 0.2,
        low_iou: Share = 0.4,
        recover_iou: Share = 0.3,
        appearance: bool = True,
        boxes: Literal["detected", "smoothed"] = "detected",
        class_agnostic: bool = False,
    ) -> None:
        if not low_confidence <= high_confidence <= new_confidence:
            raise ParamError(
                "low_confidence <= high_confidence <= new_confidence must hold, "
                f"got {low_confidence:g}, {high_confidence:g}, {new_confidence:g}"
            )
        self._tracker = Tracker(
            Rules(
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
        self._appearance = appearance
        self._smoothed = boxes == "smoothed"
        self._class_agnostic = class_agnostic
        self._kinds: dict[str, int] = {}

    def __call__(self, frame: Frame, detections: Detections) -> Tracks:
        confidence = np.ones(len(detections)) if detections.confidence is None else detections.confidence
        usable = (confidence >= self._low_confidence) & np.isfinite(detections.xyxy).all(axis=1)
        found = detections[usable]
        seen = Seen(
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
