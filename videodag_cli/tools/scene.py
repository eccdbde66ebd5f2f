"""Cuts between scenes, by the rules of PySceneDetect's content and adaptive detectors, one sampled frame at a time.

The minimum length of a scene is applied to presentation times, so that variable rates and strides need no frame rate. Source of the
scores: the documentation of PySceneDetect 0.7, whose detectors are what the tests compare with.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from videodag_cli.data import Frame, Image, VideoInfo
from videodag_cli.toolspec import tool

_LONGER_SIDE = 256  # to which PySceneDetect shrinks pictures by default
_TIME_TOLERANCE_S = 1e-6  # times are rounded to microseconds

MinSceneLength = Annotated[
    float,
    Field(ge=0, le=3600, description="shortest scene in seconds; the last one ends with the video and may be shorter"),
]
LumaOnly = Annotated[bool, Field(description="compare brightness alone, not hue and saturation")]


@dataclass(frozen=True, slots=True)
class Cut:
    cut: bool
    """Whether this frame is the first of a new scene."""
    score: float | None
    """What the detector compares with its threshold; None where it has none."""


@tool(version=1)
class Content:
    """Cuts where a frame differs strongly from the previous sampled one in hue, saturation and brightness.

    `score` is the mean difference per pixel and channel, 0 to 255; null on the first frame, which is never a cut.
    """

    def __init__(
        self,
        video: VideoInfo,
        *,
        threshold: Annotated[
            float, Field(ge=0, le=255, description="lowest score, 0 to 255, of a frame that starts a scene")
        ] = 27.0,
        min_scene_s: MinSceneLength = 0.6,
        flashes: Annotated[
            Literal["merge", "suppress"],
            Field(
                description="cuts in quick succession: merge each long burst into its last, or allow one every min_scene_s; "
                "either way, a flash of a frame or two is one cut, where it begins"
            ),
        ] = "merge",
        luma_only: LumaOnly = False,
    ) -> None:
        # A merged cut is known min_scene_s after it; twice the average rate leaves room for a varying one.
        merge = flashes == "merge" and min_scene_s > 0
        self.lookahead = math.ceil(min_scene_s * 2 * float(video.frame_rate or 30)) + 1 if merge else 0
        self._threshold = threshold
        self._differences = _Differences(luma_only=luma_only)
        self._scenes = _Scenes(min_scene_s, merge=merge, patience=self.lookahead)
        self._waiting: deque[Cut] = deque()

    def __call__(self, frame: Frame) -> Cut:
        is_first = self._differences.previous is None
        score = self._differences.next(_small(frame))
        self._waiting.append(Cut(cut=False, score=None if is_first else score))
        age = self._scenes.next(frame.time_s, above=score >= self._threshold)
        if age is not None:
            self._waiting[-1 - age] = replace(self._waiting[-1 - age], cut=True)
        return self._waiting.popleft() if len(self._waiting) > self.lookahead else Cut(cut=False, score=None)

    def finish(self) -> list[Cut]:
        rest = list(self._waiting)
        self._waiting.clear()
        return rest

    def state(self) -> dict[str, Any]:
        waiting = [[value.cut, value.score] for value in self._waiting]
        return {"previous": self._differences.previous, "scenes": self._scenes.state(), "waiting": waiting}

    def restore(self, state: dict[str, Any]) -> None:
        self._differences.previous = state["previous"]
        self._scenes.restore(state["scenes"])
        self._waiting = deque(Cut(cut, score) for cut, score in state["waiting"])


@tool(version=1)
class Adaptive:
    """Cuts where a frame's content score exceeds that of its neighbours; fast camera motion is not a cut.

    `score` is its ratio to their mean, at most 255; null for the first and last `window` frames, which have too few neighbours. A
    flash of one frame is one cut, where it begins, if the pictures around it are still.
    """

    def __init__(
        self,
        *,
        threshold: Annotated[
            float,
            Field(ge=0, le=255, description="lowest ratio to the neighbours' score of a frame that starts a scene"),
        ] = 3.0,
        min_content: Annotated[
            float, Field(ge=0, le=255, description="lowest content score, 0 to 255, of a cut")
        ] = 15.0,
        window: Annotated[int, Field(ge=1, le=100, description="number of sampled frames compared on either side")] = 2,
        min_scene_s: MinSceneLength = 0.6,
        luma_only: LumaOnly = False,
    ) -> None:
        self.lookahead = window
        self._threshold, self._min_content = threshold, min_content
        self._span = 2 * window + 1
        self._differences = _Differences(luma_only=luma_only)
        self._scenes = _Scenes(min_scene_s, merge=False)
        self._times_s: deque[float] = deque(maxlen=self._span)
        self._scores: deque[float] = deque(maxlen=self._span)

    def __call__(self, frame: Frame) -> Cut:
        self._times_s.append(frame.time_s)
        self._scores.append(self._differences.next(_small(frame)))
        if len(self._times_s) <= self.lookahead:
            return Cut(cut=False, score=None)
        ratio = self._ratio() if len(self._scores) == self._span else None
        above = ratio is not None and ratio >= self._threshold and self._scores[self.lookahead] >= self._min_content
        starts = self._scenes.next(self._times_s[-1 - self.lookahead], above=above) is not None
        return Cut(cut=starts, score=ratio)

    def finish(self) -> list[Cut]:
        return [Cut(cut=False, score=None)] * min(self.lookahead, len(self._times_s))

    def state(self) -> dict[str, Any]:
        return {
            "previous": self._differences.previous,
            "scenes": self._scenes.state(),
            "times_s": list(self._times_s),
            "scores": list(self._scores),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._differences.previous = state["previous"]
        self._scenes.restore(state["scenes"])
        self._times_s.extend(state["times_s"])
        self._scores.extend(state["scores"])

    def _ratio(self) -> float:
        """How far the score of the frame in the middle exceeds the mean of its neighbours."""
        middle = self._scores[self.lookahead]
        neighbours = sum(s for i, s in enumerate(self._scores) if i != self.lookahead) / (2.0 * self.lookahead)
        if neighbours < 1e-5:
            return 255.0 if middle >= self._min_content else 0.0
        return min(middle / neighbours, 255.0)


class _Differences:
    """Mean differences of successive pictures in hue, saturation and brightness."""

    def __init__(self, *, luma_only: bool) -> None:
        self._luma_only = luma_only
        self.previous: Image | None = None
        """The last picture, as hue, saturation and brightness."""

    def next(self, image: Image) -> float:
        """The mean per pixel and channel, 0 to 255; 0 for the first picture."""
        import cv2

        picture = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2HSV), np.uint8)
        previous, self.previous = self.previous, picture
        if previous is None or previous.shape != picture.shape:
            return 0.0
        pixels = picture.shape[0] * picture.shape[1]
        hue, saturation, brightness = (total / pixels for total in cv2.sumElems(cv2.absdiff(picture, previous))[:3])
        return float(brightness if self._luma_only else (hue + saturation + brightness) / 3)


class _Scenes:
    """Which candidates start a scene of the minimum length, by PySceneDetect's rules.

    Without `merge` a candidate counts when the last one that counted is long enough ago. With it, a candidate counts when no other
    came before it for the minimum length; closer ones form a burst, and one that lasts for the minimum length is a cut at its last
    candidate, known once no other followed for that length (or for `patience` frames).
    """

    def __init__(self, min_length_s: float, *, merge: bool, patience: int = 0) -> None:
        self._min_length_s = min_length_s
        self._merge = merge
        self._patience = patience
        self._last_s: float | None = None
        self._age = 0
        """Frames since the last candidate."""
        self._may_merge = False
        self._burst_s: float | None = None
        """Where the burst that is being merged began."""

    def next(self, time_s: float, *, above: bool) -> int | None:
        """Take the next frame; `above` marks a candidate. The result says how many frames ago a scene began, 0 is this frame."""
        if self._last_s is None:
            self._last_s = time_s
        settled = self._long_enough(self._last_s, time_s)
        if not self._merge:
            if not (above and settled):
                return None
            self._last_s = time_s
            return 0
        self._age += 1
        if above:
            self._last_s, self._age = time_s, 0
        if self._burst_s is not None:
            settled = settled or self._age >= self._patience
            if above or not settled or not self._long_enough(self._burst_s, self._last_s):
                return None
            self._burst_s = None
            return self._age
        if above and settled:
            self._may_merge = True
            return 0
        if above and self._may_merge:
            self._burst_s = time_s
        return None

    def _long_enough(self, from_s: float, to_s: float) -> bool:
        return to_s - from_s >= self._min_length_s - _TIME_TOLERANCE_S

    def state(self) -> list[Any]:
        return [self._last_s, self._age, self._may_merge, self._burst_s]

    def restore(self, state: list[Any]) -> None:
        self._last_s, self._age, self._may_merge, self._burst_s = state


def _small(frame: Frame) -> Image:
    """The picture as PySceneDetect shrinks it, linearly, so that scores and cuts equal its own; made once per frame."""
    import cv2

    longer = max(frame.width, frame.height)
    if longer <= _LONGER_SIDE:
        return frame.image
    factor = longer / _LONGER_SIDE
    size = (max(1, round(frame.width / factor)), max(1, round(frame.height / factor)))
    return frame.view(
        ("linear", size), lambda: np.asarray(cv2.resize(frame.image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    )
