"""`hash.frame` is the hash that the package imagehash makes, up to how each shrinks a picture."""

from __future__ import annotations

from typing import Any

import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image

from tests.results_files import CLIPS
from videodag_cli.data import Frame
from videodag_cli.tools.hash import frame as hash_frame


def distance(one: str | None, other: str | None) -> int:
    assert one is not None
    assert other is not None
    return (int(one, 16) ^ int(other, 16)).bit_count()


def pictures(name: str, every: int) -> list[Any]:
    video = cv2.VideoCapture(str(CLIPS / name))
    found: list[Any] = []
    while True:
        more, image = video.read()
        if not more:
            return found[::every]
        found.append(image)


@pytest.mark.parametrize("name", ["bigbuckbunny.mp4", "pedestrians.mp4", "synthetic.mp4"])
def test_it_is_nearly_that_of_imagehash(name: str) -> None:
    distances = []
    for image in pictures(name, 12):
        ours = hash_frame(Frame.from_image(image)).phash
        theirs = str(imagehash.phash(Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))))
        distances.append(distance(ours, theirs))
    assert max(distances) <= 6
    assert np.mean(distances) <= 2


def test_of_a_picture_of_32_pixels_it_is_exactly_that_of_imagehash() -> None:
    """Nothing has to be shrunk."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        luma: Any = cv2.GaussianBlur(rng.integers(0, 256, (32, 32), dtype=np.uint8), (5, 5), 0)
        image: Any = cv2.cvtColor(luma, cv2.COLOR_GRAY2BGR)
        ours = hash_frame(Frame.from_image(image)).phash
        assert ours == str(imagehash.phash(Image.fromarray(luma)))


def test_copies_are_near_and_other_pictures_far() -> None:
    image, other = pictures("bigbuckbunny.mp4", 100)[0], pictures("pedestrians.mp4", 100)[0]
    coded: Any = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 20])[1], cv2.IMREAD_COLOR)
    assert coded is not None
    small: Any = cv2.resize(image, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    found, *copies = (hash_frame(Frame.from_image(np.asarray(each, np.uint8))).phash for each in (image, coded, small))
    assert max(distance(found, copy) for copy in copies) <= 4
    assert distance(found, hash_frame(Frame.from_image(other)).phash) >= 20


@pytest.mark.parametrize("level", [0, 16, 128, 255])
def test_empty_pictures_have_none_even_with_noise(level: int) -> None:
    noise = np.random.default_rng(1).normal(level, 12, (90, 160, 3)).clip(0, 255).astype(np.uint8)
    for image in (np.full((90, 160, 3), level, np.uint8), noise):
        assert hash_frame(Frame.from_image(image)).phash is None
