"""Pictures scaled as Pillow does, and so as torchvision, timm and Transformers prepare them: every source pixel counts.

OpenCV's linear interpolation looks at four pixels only, however much smaller a picture becomes. Source of the arithmetic: Pillow's
`Resample.c` for 8 bits: weights of a kernel that is widened when shrinking, in 22 bits, columns first, rounded to 8 bits in between.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Floats, Image
from videodag_cli.vision.onnx.model_facts import Size

Kernel = Literal["bilinear", "bicubic"]
_PRECISION = 22
_SUPPORT: dict[Kernel, float] = {"bilinear": 1.0, "bicubic": 2.0}


def resampled(
    image: Image, size: Size, kernel: Kernel, *, left: int = 0, top: int = 0, kept: Size | None = None
) -> Image:
    """`image` scaled to `size` (width, height); of that, the part of `kept` at (`left`, `top`) is computed, by default all."""
    width, height = kept or size
    across = _along(image.transpose(1, 0, 2), size[0], kernel, left, width).transpose(1, 0, 2)
    return np.ascontiguousarray(_along(across, size[1], kernel, top, height))


def middle(image: Image, size: Size, kernel: Kernel, *, short_side: int) -> Image:
    """The middle of `image`, as large as `size`, after its shorter side was scaled to `short_side`: what torchvision's `Resize` and
    `CenterCrop` do one after the other."""
    height, width = image.shape[:2]
    short = min(width, height)
    whole = int(short_side * width / short), int(short_side * height / short)
    left, top = (round((whole[axis] - size[axis]) / 2) for axis in (0, 1))
    return resampled(image, whole, kernel, left=left, top=top, kept=size)


def _along(image: NDArray[Any], count: int, kernel: Kernel, start: int, kept: int) -> NDArray[Any]:
    """The first axis scaled to `count`; places `start` to `start + kept` of it."""
    if count == len(image):
        return image[start : start + kept]
    firsts, weights = _weights(len(image), count, kernel)
    firsts, weights = firsts[start : start + kept], weights[start : start + kept]
    total = np.full((len(firsts), *image.shape[1:]), 1 << (_PRECISION - 1), np.int32)
    for tap in range(weights.shape[1]):
        rows = image[np.minimum(firsts + tap, len(image) - 1)].astype(np.int32)
        rows *= weights[:, tap, None, None]
        total += rows
    total >>= _PRECISION
    return np.asarray(np.clip(total, 0, 255), np.uint8)


@lru_cache(maxsize=64)
def _weights(length: int, count: int, kernel: Kernel) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """For each of `count` places the first pixel that counts, and the weights of it and of those behind it."""
    scale = length / count
    wide = max(scale, 1.0)
    support = _SUPPORT[kernel] * wide
    centers = (np.arange(count) + 0.5) * scale
    firsts = np.maximum((centers - support + 0.5).astype(np.int64), 0)
    ends = np.minimum((centers + support + 0.5).astype(np.int64), length)
    taps = np.arange(int((ends - firsts).max()))
    shares = _kernel((firsts[:, None] + taps - centers[:, None] + 0.5) / wide, kernel)
    shares[taps >= (ends - firsts)[:, None]] = 0
    shares /= shares.sum(axis=1, keepdims=True)
    scaled = shares * (1 << _PRECISION)
    return firsts, np.asarray(np.trunc(scaled + np.copysign(0.5, scaled)), np.int32)


def _kernel(distance: Floats, kernel: Kernel) -> Floats:
    x = np.abs(distance)
    if kernel == "bilinear":
        return np.asarray(np.maximum(1 - x, 0))
    a = -0.5
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return np.asarray(np.where(x < 1, near, np.where(x < 2, far, 0.0)))
