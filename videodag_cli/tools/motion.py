"""What moves: foreground on a static camera, and the camera's own motion.

`foreground` runs a background subtractor once; `regions` and `share` read its mask, so a pipeline with both pays for one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, NewType, Self

import numpy as np
from pydantic import Field

from videodag_cli.data import IDENTITY, Affine, Detections, Frame, Image
from videodag_cli.tools.params import Share
from videodag_cli.toolspec import tool

MovingShare = NewType("MovingShare", float)

_SHADOW = 127  # how OpenCV's subtractors mark shadows; 255 is foreground
_FLOW_MIN_SIDE = 32  # on narrower pictures OpenCV's DIS reads outside its pyramid
_FLOW_STEP = (
    4  # DIS solves at a quarter of the size or half of it and interpolates; the rest would only slow the median
)


@dataclass(frozen=True, slots=True, eq=False)
class Foreground:
    """Where a picture differs from its background."""

    mask: Image
    """HxW, 255 where something moves, else 0; may be smaller than the picture."""
    to_frame: Affine = IDENTITY
    """Maps the mask's pixels to the picture's."""
    ready: bool = True
    """False while the background is still being learnt; the mask is empty then."""

    def mapped(self, transform: Affine) -> Self:
        return replace(self, to_frame=self.to_frame.then(transform))

    def to_json(self) -> dict[str, Any]:
        """Facts about the mask; its pixels are not written."""
        height, width = self.mask.shape
        return {"ready": self.ready, "width": width, "height": height, "moving": int(np.count_nonzero(self.mask))}


@dataclass(frozen=True, slots=True)
class GlobalMotion:
    """How the picture moved since the previous sampled frame; None on the first. x to the right, y down."""

    dx: float | None
    """Median shift of the content in pixels; negative when the camera pans to the right."""
    dy: float | None
    magnitude: float | None
    """Median length of the motion vectors in pixels; larger than that of (dx, dy) in a zoom or a turn."""
    speed: float | None
    """Magnitude in pixels per second, comparable between strides."""

    def mapped(self, transform: Affine) -> Self:
        length = math.sqrt(transform.area_scale)
        return replace(
            self,
            dx=_times(self.dx, transform.scale_x),
            dy=_times(self.dy, transform.scale_y),
            magnitude=_times(self.magnitude, length),
            speed=_times(self.speed, length),
        )


@tool(version=1, id="foreground")
class ForegroundDetector:
    """What moves in front of a still background, as a mask; for a static camera.

    MOG2 (Zivkovic, ICPR 2004) or KNN (Zivkovic and van der Heijden, PRL 2006). Specks are removed from the mask and gaps closed. A
    cut or a moving camera makes everything foreground until the background is learnt again. The model cannot be saved.
    """

    def __init__(
        self,
        *,
        method: Annotated[Literal["mog2", "knn"], Field(description="model of the background")] = "mog2",
        history: Annotated[
            int, Field(ge=1, le=100_000, description="sampled frames that the background remembers")
        ] = 500,
        threshold: Annotated[
            float | None,
            Field(
                gt=0,
                description="squared distance from the background from which a pixel moves; default: 16 for mog2, 400 for knn",
            ),
        ] = None,
        shadows: Annotated[bool, Field(description="find shadows and leave them out; costs time")] = True,
        max_side: Annotated[
            int, Field(ge=16, le=8192, description="work on a picture of at most this side, in pixels")
        ] = 640,
        warmup: Annotated[
            int, Field(ge=1, le=100_000, description="number of sampled frames at the start without any foreground")
        ] = 5,
        open_size: Annotated[
            int,
            Field(ge=0, le=99, description="specks up to about this side vanish, in pixels of the mask; 0 keeps all"),
        ] = 3,
        close_size: Annotated[
            int, Field(ge=0, le=99, description="gaps up to about this side close, in pixels of the mask; 0 keeps all")
        ] = 9,
    ) -> None:
        import cv2

        if method == "mog2":
            self._model: Any = cv2.createBackgroundSubtractorMOG2(history, threshold or 16.0, shadows)
        else:
            self._model = cv2.createBackgroundSubtractorKNN(history, threshold or 400.0, shadows)
        self._clean_up = [
            (operation, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
            for operation, size in ((cv2.MORPH_OPEN, open_size), (cv2.MORPH_CLOSE, close_size))
            if size > 1
        ]
        self._max_side = max_side
        self._to_learn = warmup

    def __call__(self, frame: Frame) -> Foreground:
        import cv2

        small = frame.scaled(self._max_side)
        mask = self._model.apply(small.image)
        ready = not self._to_learn
        if ready:
            mask = cv2.threshold(mask, _SHADOW, 255, cv2.THRESH_BINARY)[1]
            for operation, kernel in self._clean_up:
                mask = cv2.morphologyEx(mask, operation, kernel)
        else:
            self._to_learn -= 1
            mask = np.zeros_like(mask)
        mask.flags.writeable = False
        return Foreground(mask, Affine(frame.width / small.width, frame.height / small.height), ready)


@tool(version=1)
def regions(
    foreground: Foreground,
    *,
    min_area: Annotated[Share, Field(description="smallest region, as a share of the picture")] = 0.0005,
) -> Detections:
    """Moving regions as boxes, largest first; `area` counts the moving pixels inside."""
    import cv2

    _, _, stats, _ = cv2.connectedComponentsWithStats(foreground.mask, connectivity=8)
    found = stats[1:].astype(np.float64)
    found = found[found[:, cv2.CC_STAT_AREA] >= min_area * foreground.mask.size]
    found = found[np.argsort(-found[:, cv2.CC_STAT_AREA], kind="stable")]
    left, top, width, height, area = found.T
    boxes = np.stack((left, top, left + width, top + height), axis=1)
    return Detections(xyxy=boxes, area=area).mapped(foreground.to_frame)


@tool(version=1)
def share(foreground: Foreground) -> MovingShare:
    """Share of the picture that moves, 0 to 1; null while the background is learnt."""
    import cv2

    return MovingShare(cv2.countNonZero(foreground.mask) / foreground.mask.size if foreground.ready else math.nan)


@tool(version=1)
class Flow:
    """Motion of the whole picture since the previous sampled frame, as a moving camera makes it.

    `dx` (to the right) and `dy` (down) are the median shift of the content in pixels, `magnitude` is the median length of its motion
    vectors in pixels, and `speed` is that in pixels per second. From a dense optical flow (DIS; Kroeger et al., ECCV 2016). All are
    null on the first frame.
    """

    def __init__(
        self,
        *,
        preset: Annotated[
            Literal["ultrafast", "fast", "medium"],
            Field(description="density and effort of the flow; ultrafast is the coarsest"),
        ] = "fast",
        max_side: Annotated[
            int, Field(ge=32, le=4096, description="work on a picture of at most this side, in pixels")
        ] = 320,
    ) -> None:
        import cv2

        presets = {
            "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
            "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
            "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
        }
        self._flow: Any = cv2.DISOpticalFlow.create(presets[preset])
        self._max_side = max_side
        self._previous: Image | None = None
        self._previous_s = 0.0

    def __call__(self, frame: Frame) -> GlobalMotion:
        gray = _small_gray(frame, self._max_side)
        previous, previous_s = self._previous, self._previous_s
        self._previous, self._previous_s = gray, frame.time_s
        if previous is None or previous.shape != gray.shape:
            return GlobalMotion(None, None, None, None)
        height, width = gray.shape
        flow = self._flow.calc(_padded(previous), _padded(gray), None)[:height:_FLOW_STEP, :width:_FLOW_STEP]
        vectors = flow.reshape(-1, 2) * np.array((frame.width / width, frame.height / height))
        dx, dy = np.median(vectors, axis=0).tolist()
        magnitude = float(np.median(np.hypot(vectors[:, 0], vectors[:, 1])))
        elapsed_s = frame.time_s - previous_s
        return GlobalMotion(dx, dy, magnitude, magnitude / elapsed_s if elapsed_s > 0 else None)

    def state(self) -> dict[str, Any]:
        return {"previous": self._previous, "previous_s": self._previous_s}

    def restore(self, state: dict[str, Any]) -> None:
        self._previous, self._previous_s = state["previous"], state["previous_s"]


def _small_gray(frame: Frame, max_side: int) -> Image:
    """Luma shrunk by area averaging; cheaper than shrinking the colours first, and shared."""
    import cv2

    longer = max(frame.width, frame.height)
    if longer <= max_side:
        return frame.gray
    size = (max(1, round(frame.width * max_side / longer)), max(1, round(frame.height * max_side / longer)))
    return frame.view(
        ("gray_scaled", size), lambda: np.asarray(cv2.resize(frame.gray, size, interpolation=cv2.INTER_AREA), np.uint8)
    )


def _padded(gray: Image) -> Image:
    import cv2

    bottom, right = (max(0, _FLOW_MIN_SIDE - side) for side in gray.shape)
    if not (bottom or right):
        return gray
    return np.asarray(cv2.copyMakeBorder(gray, 0, bottom, 0, right, cv2.BORDER_REPLICATE), np.uint8)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
