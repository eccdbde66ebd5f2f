"""Measures of a picture's technical quality.

Luma is `Frame.gray`: ITU-R BT.601 weights, full range, 0 is black and 255 is white. Brightness, contrast, clipping and black share one
histogram per frame and are exact: all sums are of whole numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NewType

import numpy as np
from pydantic import Field

from videodag_cli.data import Frame, Image, Ints
from videodag_cli.tools.params import Share
from videodag_cli.toolspec import tool

Brightness = NewType("Brightness", float)
Contrast = NewType("Contrast", float)
Sharpness = NewType("Sharpness", float)
Noise = NewType("Noise", float)

_LEVELS = np.arange(256, dtype=np.int64)
_EXACT_COUNT = 1 << 24  # OpenCV hands histograms out in 32-bit floats, which count exactly up to here


@dataclass(frozen=True, slots=True)
class Clipping:
    """Shares of the picture, 0 to 1, that lost detail at the ends of the luma range."""

    crushed: float
    blown: float


@dataclass(frozen=True, slots=True)
class Black:
    black: bool
    dark_share: float
    """Share of dark pixels, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Freeze:
    frozen: bool
    difference: float | None
    """Mean absolute luma difference to the previous sampled frame, 0 to 255; None on the first frame."""


@dataclass(frozen=True, slots=True)
class Verdict:
    good: bool
    problems: tuple[str, ...]
    """Some of black, dark, bright, flat, blurred, noisy, frozen, in this order."""


@tool(version=1)
def brightness(frame: Frame) -> Brightness:
    """Mean luma, 0 (black) to 255 (white); comparable between resolutions."""
    histogram = _histogram(frame)
    return Brightness(int(histogram @ _LEVELS) / int(histogram.sum()))


@tool(version=1)
def contrast(frame: Frame) -> Contrast:
    """RMS contrast: the standard deviation of luma, 0 to 127.5; comparable between resolutions."""
    histogram = _histogram(frame)
    count, total, squares = int(histogram.sum()), int(histogram @ _LEVELS), int(histogram @ _LEVELS**2)
    return Contrast(math.sqrt(count * squares - total * total) / count)


@tool(version=1)
def sharpness(
    frame: Frame,
    *,
    ksize: Annotated[Literal[1, 3, 5], Field(description="side of the kernel in pixels; 1 is the 3 x 3 cross")] = 1,
) -> Sharpness:
    """Variance of the Laplacian of luma (Pech-Pacheco et al., ICPR 2000); low values mean blur.

    Depends on the resolution and on the scene: compare frames of one clip, or put `image.resize` in front.
    """
    import cv2

    # 16-bit differences are exact up to ksize 5, and a norm sums their squares far faster than a deviation in floats. It squares
    # a root on the way, hence the rounding back to the whole number that it stands for.
    laplacian = cv2.Laplacian(frame.gray, cv2.CV_16S, ksize=ksize)
    count, total, squares = (
        laplacian.size,
        round(cv2.sumElems(laplacian)[0]),
        round(cv2.norm(laplacian, cv2.NORM_L2SQR)),
    )
    return Sharpness((count * squares - total * total) / (count * count))


@tool(version=1)
def clipping(
    frame: Frame,
    *,
    low: Annotated[int, Field(ge=0, le=254, description="highest luma, 0 to 255, that counts as crushed")] = 5,
    high: Annotated[int, Field(ge=1, le=255, description="lowest luma, 0 to 255, that counts as blown")] = 250,
) -> Clipping:
    """`crushed` and `blown`: the shares of pixels, 0 to 1, that are too dark and too bright."""
    histogram = _histogram(frame)
    count = int(histogram.sum())
    return Clipping(crushed=int(histogram[: low + 1].sum()) / count, blown=int(histogram[high:].sum()) / count)


@tool(version=1)
def noise(frame: Frame) -> Noise:
    """Standard deviation of the noise in luma levels, by Immerkaer's fast estimator (CVIU 64(2), 1996).

    Texture counts as noise in part: compare frames of one clip. Null for pictures of less than 3 x 3 pixels.
    """
    import cv2

    if frame.width < 3 or frame.height < 3:
        return Noise(math.nan)
    # The estimator's 3x3 mask is the outer product of (1, -2, 1) with itself: the second derivative in x and in y.
    filtered = cv2.Sobel(frame.gray, cv2.CV_16S, 2, 2, ksize=3)[1:-1, 1:-1]
    return Noise(math.sqrt(math.pi / 2) * cv2.norm(filtered, cv2.NORM_L1) / (6 * filtered.size))


@tool(version=1)
def black(
    frame: Frame,
    *,
    pixel: Annotated[Share, Field(description="a pixel is dark up to this luma, as a share of the range")] = 0.1,
    picture: Annotated[Share, Field(description="the picture is black from this share of dark pixels on")] = 0.98,
) -> Black:
    """Whether the picture is `black`, and its `dark_share`, the share of dark pixels; thresholds as in FFmpeg's blackdetect."""
    histogram = _histogram(frame)
    share = int(histogram[: math.floor(pixel * 255) + 1].sum()) / int(histogram.sum())
    return Black(black=share >= picture, dark_share=share)


@tool(version=1, id="freeze")
class FreezeDetector:
    """Whether the picture is frozen, compared with the previous sampled frame.

    `difference` is the mean absolute difference of luma, 0 to 255. It is null on the first frame, which is never `frozen`.
    """

    def __init__(
        self,
        *,
        threshold: Annotated[
            float,
            Field(
                ge=0, le=255, description="largest mean absolute luma difference, in levels of 255, of a frozen frame"
            ),
        ] = 0.25,
    ) -> None:
        self._threshold = threshold
        self._previous: Image | None = None

    def __call__(self, frame: Frame) -> Freeze:
        import cv2

        gray, previous = frame.gray, self._previous
        self._previous = gray
        if previous is None or previous.shape != gray.shape:
            return Freeze(frozen=False, difference=None)
        difference = cv2.norm(gray, previous, cv2.NORM_L1) / gray.size
        return Freeze(frozen=difference <= self._threshold, difference=difference)

    def state(self) -> dict[str, Any]:
        return {"previous": self._previous}

    def restore(self, state: dict[str, Any]) -> None:
        self._previous = state["previous"]


@tool(version=1)
def verdict(
    brightness: Brightness | None,
    contrast: Contrast | None,
    sharpness: Sharpness | None,
    noise: Noise | None,
    black: Black | None,
    freeze: Freeze | None,
    *,
    dark_below: Annotated[float, Field(ge=0, le=255, description="a mean luma below this, 0 to 255, is dark")] = 40.0,
    bright_above: Annotated[
        float, Field(ge=0, le=255, description="a mean luma above this, 0 to 255, is bright")
    ] = 215.0,
    flat_below: Annotated[
        float, Field(ge=0, le=127.5, description="a contrast below this, in luma levels, is flat")
    ] = 12.0,
    blurred_below: Annotated[
        float, Field(ge=0, description="a sharpness (variance of the Laplacian) below this is blurred")
    ] = 60.0,
    noisy_above: Annotated[float, Field(ge=0, description="a noise above this, in luma levels, is noisy")] = 10.0,
) -> Verdict:
    """One judgement from the measures that are connected; what is not connected is not judged.

    `good` is true when `problems` is empty; problems are black, dark, bright, flat, blurred, noisy and frozen.
    """
    checks = {
        "black": black is not None and black.black,
        "dark": brightness is not None and brightness < dark_below,
        "bright": brightness is not None and brightness > bright_above,
        "flat": contrast is not None and contrast < flat_below,
        "blurred": sharpness is not None and sharpness < blurred_below,
        "noisy": noise is not None and noise > noisy_above,
        "frozen": freeze is not None and freeze.frozen,
    }
    problems = tuple(name for name, found in checks.items() if found)
    return Verdict(good=not problems, problems=problems)


def _histogram(frame: Frame) -> Ints:
    """(256,) exact counts of luma levels, made once per frame."""
    return frame.view("gray_histogram", lambda: _count_levels(frame.gray))


def _count_levels(gray: Image) -> Ints:
    import cv2

    counts = np.zeros(256, np.int64)
    rows = max(1, _EXACT_COUNT // gray.shape[1])
    for top in range(0, gray.shape[0], rows):
        counts += cv2.calcHist([gray[top : top + rows]], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    return counts
