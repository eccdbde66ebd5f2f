"""One set of boxes from several detectors."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from videodag_cli.data import Detections, concatenated
from videodag_cli.tools.params import Share
from videodag_cli.toolspec import tool
from videodag_cli.vision.boxes import class_labels, nms


@tool(version=1, id="detections")
def merged(
    *detections: Detections,
    iou: Annotated[Share, Field(description="overlap (IoU) above which the weaker of two boxes is dropped")] = 0.5,
    class_agnostic: Annotated[bool, Field(description="let boxes of different classes suppress each other")] = False,
) -> Detections:
    """All boxes of all predecessors, best first; of those that overlap, the most confident one remains.

    Classes are distinguished by name, so detectors whose numbers differ can be combined. Boxes without a confidence count as certain.
    Equally good ones are ranked in the order of the edges.
    """
    together = concatenated(detections)
    parts = [np.ones(len(part)) if part.confidence is None else part.confidence for part in detections]
    scores = np.concatenate(parts)
    groups = None if class_agnostic else np.array(class_labels(together), object)
    return together[nms(together.xyxy, scores, iou=iou, groups=groups)]
