"""Lightness and colour as OpenCV has them."""

from __future__ import annotations

import cv2
import numpy as np

from videodag_cli.vision.lab import lab_of


def test_values_are_those_of_opencv_to_the_last_bit() -> None:
    rng = np.random.default_rng(4)
    colours = rng.integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    colours[:300] //= 4  # where single entries of the tables count most
    for level in range(256):
        colours[level, -256:] = np.stack([np.arange(256), np.full(256, level), np.full(256, 255 - level)], axis=-1)
    np.testing.assert_array_equal(lab_of(colours), cv2.cvtColor(colours, cv2.COLOR_BGR2LAB))
