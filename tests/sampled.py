"""Frames of the sample clips, read in the plainest way."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike

from videodag_cli import Frame
from videodag_cli.data import Image

SAMPLES = Path(__file__).parent.parent / "sample_videos"


@cache
def images_of(clip: str) -> tuple[tuple[Image, ...], float]:
    """All pictures of a constant-rate sample clip, and its rate."""
    capture = cv2.VideoCapture(str(SAMPLES / clip))
    rate = capture.get(cv2.CAP_PROP_FPS)
    images = []
    while True:
        found, image = capture.read()
        if not found:
            break
        images.append(np.asarray(image, np.uint8))
    assert images, clip
    return tuple(images), rate


def frame_from(picture: ArrayLike, *, index: int = 0, time_s: float = 0.0) -> Frame:
    """A frame around a picture as OpenCV or numpy calculated it."""
    return Frame.from_image(np.ascontiguousarray(picture, np.uint8), index=index, time_s=time_s)


def frames_of(clip: str, *, stride: int = 1) -> list[Frame]:
    images, rate = images_of(clip)
    return [Frame.from_image(images[i], index=i, time_s=round(i / rate, 6)) for i in range(0, len(images), stride)]
