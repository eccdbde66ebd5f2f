"""Boxes that move in known ways, and what the tracker makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from videodag_cli.data import Detections, Frame, Tracks
from videodag_cli.tools.track import Objects

SAMPLES = Path(__file__).parent.parent / "sample_videos"
Box = tuple[float, float, float, float]
Truth = dict[int, dict[int, Box]]
"""frame -> identity -> xyxy."""


def synthetic_truth() -> Truth:
    truth: Truth = {frame: {} for frame in range(120)}
    for line in (SAMPLES / "synthetic.mot.txt").read_text().splitlines():
        frame, identity, left, top, width, height = (int(part) for part in line.split(",")[:6])
        truth[frame - 1][identity] = (left, top, left + width, top + height)
    return truth


def boxed(
    boxes: Any, confidence: Any = None, *, class_id: Any = None, keypoints: Any = None, **columns: Any
) -> Detections:
    """Detections from plain lists."""
    return Detections(
        np.reshape(np.array(boxes, np.float64), (-1, 4)),
        confidence=None if confidence is None else np.array(confidence, np.float64),
        class_id=None if class_id is None else np.array(class_id, np.int64),
        keypoints=None if keypoints is None else np.array(keypoints, np.float64),
        **columns,
    )


def blank(index: int, time_s: float) -> Frame:
    return Frame.from_image(np.zeros((360, 640, 3), np.uint8), index=index, time_s=time_s)


def follow(
    truth: Truth,
    tool: Objects,
    *,
    frames: Iterable[int] | None = None,
    times: Callable[[int], float] = lambda frame: frame / 25,
    seen: Callable[[int, int], bool] = lambda frame, identity: True,
    picture: Callable[[int, float], Frame] = blank,
) -> dict[int, Tracks]:
    """Tracks for the chosen frames; each object is detected exactly where it is, if it is `seen`."""
    found = {}
    for frame in truth if frames is None else frames:
        boxes = [box for identity, box in truth[frame].items() if seen(frame, identity)]
        detections = boxed(boxes, np.full(len(boxes), 0.9))
        found[frame] = tool(picture(frame, times(frame)), detections)
    return found


def linear(start: tuple[float, float], step: tuple[float, float], frames: Iterable[int]) -> dict[int, Box]:
    """A 40x60 box that moves evenly."""
    return {
        f: (start[0] + step[0] * f, start[1] + step[1] * f, start[0] + step[0] * f + 40, start[1] + step[1] * f + 60)
        for f in frames
    }


def scene(*walks: Mapping[int, Box]) -> Truth:
    frames = sorted({frame for walk in walks for frame in walk})
    truth: Truth = {f: {n: walk[f] for n, walk in enumerate(walks, 1) if f in walk} for f in frames}
    return truth
