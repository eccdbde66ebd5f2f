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
MaxFlash = Annotated[
    float,
    Field(
        ge=0,
        le=2,
        description="longest flash in seconds: a change that is undone within this time is not a cut; 0: every change may be one",
    ),
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
                "either way, a flash of a frame or two is one cut, unless max_flash_s says that it is none"
            ),
        ] = "merge",
        max_flash_s: MaxFlash = 0.0,
        luma_only: LumaOnly = False,
    ) -> None:
        # A merged cut is known min_scene_s after it.
        merge = flashes == "merge" and min_scene_s > 0
        patience = _frames_within(min_scene_s, video) if merge else 0
        self._threshold = threshold
        self._differences = _Differences(luma_only=luma_only)
        self._flashes = _Flashes(max_flash_s, video, threshold=threshold, luma_only=luma_only)
        self._scenes = _Scenes(min_scene_s, merge=merge, patience=patience)
        self._waiting: deque[Cut] = deque()
        self.lookahead = patience + self._flashes.lookahead

    def __call__(self, frame: Frame) -> Cut:
        is_first = self._differences.previous is None
        score = self._differences.next(_small(frame))
        self._waiting.append(Cut(cut=False, score=None if is_first else score))
        candidate = _Candidate(frame.time_s, score >= self._threshold, self._differences.previous)
        for settled in self._flashes.next(candidate):
            self._settle(settled, still_waiting=self._flashes.lookahead)
        return self._waiting.popleft() if len(self._waiting) > self.lookahead else Cut(cut=False, score=None)

    def _settle(self, candidate: _Candidate, *, still_waiting: int) -> None:
        """Decide on a frame; `still_waiting` came after it and wait for the end of a flash."""
        age = self._scenes.next(candidate.time_s, above=candidate.above)
        if age is not None:
            place = -1 - age - still_waiting
            self._waiting[place] = replace(self._waiting[place], cut=True)

    def finish(self) -> list[Cut]:
        last = self._flashes.finish()
        for after, candidate in zip(range(len(last) - 1, -1, -1), last, strict=True):
            self._settle(candidate, still_waiting=after)
        rest = list(self._waiting)
        self._waiting.clear()
        return rest

    def state(self) -> dict[str, Any]:
        waiting = [[value.cut, value.score] for value in self._waiting]
        return {
            "previous": self._differences.previous,
            "flashes": self._flashes.state(),
            "scenes": self._scenes.state(),
            "waiting": waiting,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._differences.previous = state["previous"]
        self._flashes.restore(state["flashes"])
        self._scenes.restore(state["scenes"])
        self._waiting = deque(Cut(cut, score) for cut, score in state["waiting"])


@tool(version=1)
class Adaptive:
    """Cuts where a frame's content score exceeds that of its neighbours; fast camera motion is not a cut.

    `score` is its ratio to their mean, at most 255; null for the first and last `window` frames, which have too few neighbours. A
    flash of one frame is one cut, where it begins, if the pictures around it are still and `max_flash_s` is 0.
    """

    def __init__(
        self,
        video: VideoInfo,
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
        max_flash_s: MaxFlash = 0.0,
        luma_only: LumaOnly = False,
    ) -> None:
        self._window = window
        self._threshold, self._min_content = threshold, min_content
        self._span = 2 * window + 1
        self._differences = _Differences(luma_only=luma_only)
        self._flashes = _Flashes(max_flash_s, video, threshold=min_content, luma_only=luma_only)
        self._scenes = _Scenes(min_scene_s, merge=False)
        self._recent: deque[_Candidate] = deque(maxlen=self._span)
        self._scores: deque[float] = deque(maxlen=self._span)
        self._waiting: deque[Cut] = deque()
        self.lookahead = window + self._flashes.lookahead

    def __call__(self, frame: Frame) -> Cut:
        self._scores.append(self._differences.next(_small(frame)))
        self._recent.append(
            _Candidate(frame.time_s, False, self._differences.previous if self._flashes.lookahead else None)
        )
        if len(self._recent) > self._window:
            ratio = self._ratio() if len(self._scores) == self._span else None
            above = ratio is not None and ratio >= self._threshold and self._scores[self._window] >= self._min_content
            self._waiting.append(Cut(cut=False, score=ratio))
            for settled in self._flashes.next(replace(self._recent[-1 - self._window], above=above)):
                self._settle(settled, still_waiting=self._flashes.lookahead)
        return self._waiting.popleft() if len(self._waiting) > self._flashes.lookahead else Cut(cut=False, score=None)

    def _settle(self, candidate: _Candidate, *, still_waiting: int) -> None:
        if self._scenes.next(candidate.time_s, above=candidate.above) is not None:
            place = -1 - still_waiting
            self._waiting[place] = replace(self._waiting[place], cut=True)

    def finish(self) -> list[Cut]:
        # The last frames are no cuts, but a flash may end with them.
        fresh = list(self._recent)[-self._window :]
        for candidate in fresh:
            self._waiting.append(Cut(cut=False, score=None))
            for settled in self._flashes.next(candidate):
                self._settle(settled, still_waiting=self._flashes.lookahead)
        last = self._flashes.finish()
        for after, candidate in zip(range(len(last) - 1, -1, -1), last, strict=True):
            self._settle(candidate, still_waiting=after)
        rest = list(self._waiting)
        self._waiting.clear()
        return rest

    def state(self) -> dict[str, Any]:
        return {
            "previous": self._differences.previous,
            "flashes": self._flashes.state(),
            "scenes": self._scenes.state(),
            "recent": [candidate.state() for candidate in self._recent],
            "scores": list(self._scores),
            "waiting": [[value.cut, value.score] for value in self._waiting],
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._differences.previous = state["previous"]
        self._flashes.restore(state["flashes"])
        self._scenes.restore(state["scenes"])
        self._recent.extend(_Candidate(*saved) for saved in state["recent"])
        self._scores.extend(state["scores"])
        self._waiting = deque(Cut(cut, score) for cut, score in state["waiting"])

    def _ratio(self) -> float:
        """How far the score of the frame in the middle exceeds the mean of its neighbours."""
        middle = self._scores[self._window]
        neighbours = sum(s for i, s in enumerate(self._scores) if i != self._window) / (2.0 * self._window)
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
        return _difference(previous, picture, luma_only=self._luma_only)


def _difference(one: Image, other: Image, *, luma_only: bool) -> float:
    import cv2

    pixels = one.shape[0] * one.shape[1]
    hue, saturation, brightness = (total / pixels for total in cv2.sumElems(cv2.absdiff(one, other))[:3])
    return float(brightness if luma_only else (hue + saturation + brightness) / 3)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A frame that may start a scene."""

    time_s: float
    above: bool
    """Whether it differs enough from the one before."""
    picture: Image | None
    """As hue, saturation and brightness; None where nobody compares it."""

    def state(self) -> list[Any]:
        return [self.time_s, self.above, self.picture]


class _Flashes:
    """Takes back candidates whose change is undone in time.

    A candidate is a flash where a picture that comes at most `longest_s` after it is like the one before it: like pictures are those
    between which the detector sees no change. What came between, and the return, starts no scene either.
    """

    def __init__(self, longest_s: float, video: VideoInfo, *, threshold: float, luma_only: bool) -> None:
        self._longest_s = longest_s
        self._threshold = threshold
        self._luma_only = luma_only
        self.lookahead = _frames_within(longest_s, video) if longest_s > 0 else 0
        """So many frames are held back."""
        self._before: Image | None = None
        """The picture before those that are held back."""
        self._held: deque[_Candidate] = deque()

    def next(self, candidate: _Candidate) -> list[_Candidate]:
        """Take the next frame; returns those on which is decided now, none or one."""
        if not self.lookahead:
            return [candidate]
        self._held.append(candidate)
        return [self._first()] if len(self._held) > self.lookahead else []

    def finish(self) -> list[_Candidate]:
        """Decide on the last frames."""
        return [self._first() for _ in range(len(self._held))]

    def _first(self) -> _Candidate:
        if self._held[0].above:
            self._take_back(self._held[0])
        first = self._held.popleft()
        self._before = first.picture
        return first

    def _take_back(self, first: _Candidate) -> None:
        for place, later in enumerate(self._held):
            if later.time_s - first.time_s > self._longest_s + _TIME_TOLERANCE_S:
                return
            if place and self._like(later.picture):
                for undone in range(place + 1):
                    self._held[undone] = replace(self._held[undone], above=False)
                return

    def _like(self, picture: Image | None) -> bool:
        if self._before is None or picture is None or self._before.shape != picture.shape:
            return False
        return _difference(self._before, picture, luma_only=self._luma_only) < self._threshold

    def state(self) -> list[Any]:
        return [self._before, [candidate.state() for candidate in self._held]]

    def restore(self, state: list[Any]) -> None:
        self._before, held = state
        self._held = deque(_Candidate(*saved) for saved in held)


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


def _frames_within(length_s: float, video: VideoInfo) -> int:
    """More than so many frames last longer; twice the average rate leaves room for a varying one."""
    return math.ceil(length_s * 2 * float(video.frame_rate or 30)) + 1


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
