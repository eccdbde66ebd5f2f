"""How alike two pictures are, as FFmpeg's filters `psnr` and `ssim` define it, for each channel of 8-bit pictures."""

from __future__ import annotations

import numpy as np

from videodag_cli.data import Floats, Image, Ints

_C1 = int(0.01 * 0.01 * 255 * 255 * 64 + 0.5)
_C2 = int(0.03 * 0.03 * 255 * 255 * 64 * 63 + 0.5)


def mean_squared_errors(one: Image, other: Image) -> Floats:
    """(C,) of two HxWxC pictures."""
    difference = one.astype(np.int32) - other.astype(np.int32)
    return np.asarray((difference * difference).mean(axis=(0, 1), dtype=np.float64))


def ssim(one: Image, other: Image) -> Floats:
    """(C,) structural similarity of two HxWxC pictures of at least 8x8 pixels.

    The mean over windows of 8x8 pixels every 4 pixels; what is left at the right and at the bottom does not count.
    """
    height, width = (side // 4 * 4 for side in one.shape[:2])
    a, b = (picture[:height, :width].astype(np.int64) for picture in (one, other))
    sum_a, sum_b = _windows(a), _windows(b)
    squares, products = _windows(a * a + b * b), _windows(a * b)
    variances = squares * 64 - sum_a * sum_a - sum_b * sum_b
    covariance = products * 64 - sum_a * sum_b
    above = (2 * sum_a * sum_b + _C1).astype(np.float64) * (2 * covariance + _C2)
    below = (sum_a * sum_a + sum_b * sum_b + _C1).astype(np.float64) * (variances + _C2)
    return np.asarray((above / below).mean(axis=(0, 1)))


def _windows(values: Ints) -> Ints:
    """Sums over windows of 8x8 every 4 pixels: of each 2x2 neighbouring blocks of 4x4."""
    height, width, channels = values.shape
    blocks = values.reshape(height // 4, 4, width // 4, 4, channels).sum(axis=(1, 3))
    return np.asarray(blocks[:-1, :-1] + blocks[:-1, 1:] + blocks[1:, :-1] + blocks[1:, 1:])
