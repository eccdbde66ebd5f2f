from __future__ import annotations

import hashlib
import math
from typing import Any

import cv2
import numpy as np
import pytest

from tests.commands import python
from tests.sampled import SAMPLES, frame_from, frames_of
from videodag_cli import Affine, Frame
from videodag_cli.tools import motion

METHODS = ["mog2", "knn"]


def textured(seed: int, height: int = 240, width: int = 320) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.asarray(cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 40, 160, cv2.NORM_MINMAX), np.uint8)  # type: ignore[call-overload]


def moving_square(count: int, *, scale: int = 1) -> list[Frame]:
    """A 40 x 40 square on a still ground; it appears on frame 40 and moves 6 pixels a frame."""
    background = textured(1)
    square = 90 + textured(2, 40, 40)
    frames = []
    for i in range(count):
        image = background.copy()
        if i >= 40:
            x = 20 + 6 * (i - 40)
            image[100:140, x : x + 40] = square
        image = np.repeat(np.repeat(image, scale, axis=0), scale, axis=1)
        frames.append(Frame.from_image(image, index=i, time_s=i / 25))
    return frames


def foregrounds(frames: list[Frame], **params: Any) -> list[motion.Foreground]:
    detector = motion.ForegroundDetector(**params)
    found = []
    for frame in frames:
        cv2.setRNGSeed(frame.index)
        found.append(detector(frame))
    return found


@pytest.mark.parametrize("method", METHODS)
def test_a_moving_square_is_found_where_it_is(method: str) -> None:
    for i, foreground in enumerate(foregrounds(moving_square(54), method=method)):
        found = motion.regions(foreground, min_area=0.004)
        if i < 40:
            assert len(found) == 0, i
            continue
        x = 20 + 6 * (i - 40)
        assert found.area is not None
        # The ground that the square has just left counts as moving until it is learnt again.
        assert found.xyxy[0, 2] == pytest.approx(x + 40, abs=3)
        assert found.xyxy[0, [1, 3]].tolist() == pytest.approx([100, 140], abs=3)
        assert found.area[0] >= 1500


@pytest.mark.parametrize("method", METHODS)
def test_boxes_and_area_are_in_pixels_of_the_frame_not_of_the_mask(method: str) -> None:
    frames = moving_square(41, scale=3)
    foreground = foregrounds(frames, method=method, max_side=320)[-1]
    assert foreground.mask.shape == (240, 320)
    found = motion.regions(foreground)
    assert found.xyxy[0].tolist() == pytest.approx([60, 300, 180, 420], abs=9)
    assert found.area is not None
    assert found.area[0] == pytest.approx(120 * 120, rel=0.15)


def test_a_foreground_moves_with_its_picture() -> None:
    mask = np.zeros((10, 10), np.uint8)
    mask[2:6, 4:8] = 255
    foreground = motion.Foreground(mask, Affine(2, 2)).mapped(Affine(1, 1, 100, 50))
    found = motion.regions(foreground)
    assert found.xyxy.tolist() == [[108, 54, 116, 62]]
    assert found.area is not None
    assert found.area.tolist() == [64]


@pytest.mark.parametrize("method", METHODS)
def test_while_the_background_is_learnt_nothing_moves_and_the_share_is_null(method: str) -> None:
    found = foregrounds(frames_of("pedestrians.mp4", stride=10)[:8], method=method, warmup=5)
    assert [foreground.ready for foreground in found] == [False] * 5 + [True] * 3
    assert [len(motion.regions(foreground)) for foreground in found[:5]] == [0] * 5
    assert all(math.isnan(motion.share(foreground)) for foreground in found[:5])
    assert all(0 < motion.share(foreground) < 0.5 for foreground in found[5:])


def test_regions_come_largest_first_and_small_ones_not_at_all() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[5:10, 5:10] = 255
    mask[50:70, 50:70] = 255
    mask[90, 90] = 255
    areas = {m: motion.regions(motion.Foreground(mask), min_area=m).area for m in (0.0, 0.002, 0.05)}
    assert {m: None if a is None else a.tolist() for m, a in areas.items()} == {
        0.0: [400, 25, 1],
        0.002: [400, 25],
        0.05: [],
    }
    assert motion.share(motion.Foreground(mask)) == pytest.approx(0.0426)


def test_shadows_are_left_out() -> None:
    background = textured(2)
    frames = [Frame.from_image(background, index=i) for i in range(20)]
    shaded = background.copy()
    shaded[60:160, 60:160] = (shaded[60:160, 60:160] * 0.7).astype(np.uint8)
    frames.append(Frame.from_image(shaded, index=20))
    with_shadows = motion.share(foregrounds(frames, shadows=False)[-1])
    without = motion.share(foregrounds(frames, shadows=True)[-1])
    assert with_shadows > 0.1
    assert without < with_shadows / 4


_DIGEST = """
import hashlib, sys
import cv2
from tests.tools.test_motion import mask_digest
print(mask_digest(sys.argv[1]))
"""


def mask_digest(method: str) -> str:
    cv2.setNumThreads(1)
    digest = hashlib.sha256()
    for foreground in foregrounds(frames_of("pedestrians.mp4", stride=10)[:12], method=method):
        digest.update(foreground.mask.tobytes())
    return digest.hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_masks_are_the_same_in_one_process_and_in_another(method: str) -> None:
    threads = cv2.getNumThreads()
    try:
        here = mask_digest(method)
        assert mask_digest(method) == here
    finally:
        cv2.setNumThreads(threads)
    assert python(_DIGEST, method, cwd=SAMPLES.parent).strip() == here


def panned(dx: int, dy: int, count: int = 3, scale: float = 1.0) -> list[Frame]:
    """The camera's view moves by (-dx, -dy), so the content moves by (dx, dy)."""
    scene = cv2.resize(frames_of("bigbuckbunny.mp4", stride=60)[1].image, None, fx=scale, fy=scale)
    x, y = 300, 200
    return [
        Frame.from_image(
            np.ascontiguousarray(scene[y - dy * i : y - dy * i + 360, x - dx * i : x - dx * i + 640]),
            index=i,
            time_s=i / 25,
        )
        for i in range(count)
    ]


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (6, 0), (0, -8), (-20, 10), (40, 0)])
@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_flow_finds_the_shift_of_the_content_in_pixels(dx: int, dy: int, preset: Any) -> None:
    flow = motion.Flow(preset=preset)
    first, *rest = [flow(frame) for frame in panned(dx, dy)]
    assert first == motion.GlobalMotion(None, None, None, None)
    for found in rest:
        assert found.dx == pytest.approx(dx, abs=0.6)
        assert found.dy == pytest.approx(dy, abs=0.6)
        assert found.magnitude == pytest.approx(math.hypot(dx, dy), abs=0.8)
        assert found.magnitude is not None
        assert found.speed == pytest.approx(found.magnitude * 25)


def test_flow_is_in_source_pixels_behind_a_resize() -> None:
    flow = motion.Flow()
    found = None
    for frame in panned(12, 0):
        small = frame.resized(320, 180)
        found = flow(small).mapped(small.to_source)
    assert found is not None
    assert found.dx == pytest.approx(12, abs=0.6)


def test_flow_sees_a_zoom_in_its_magnitude_alone() -> None:
    wide = frames_of("bigbuckbunny.mp4", stride=60)[1]
    close = cv2.resize(wide.image[36:684, 64:1216], (wide.width, wide.height))
    flow = motion.Flow()
    flow(wide)
    found = flow(frame_from(close, index=1, time_s=0.04))
    assert found.magnitude is not None
    assert abs(found.dx or 0) < 5
    assert found.magnitude > 15


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 300), (300, 2), (12, 12), (200, 16), (640, 24), (33, 31)])
def test_flow_survives_narrow_pictures(width: int, height: int) -> None:
    flow = motion.Flow()
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    flow(Frame.from_image(image))
    assert flow(Frame.from_image(image, time_s=1)).magnitude == pytest.approx(0, abs=0.5)


def test_flow_continues_from_its_state() -> None:
    frames = frames_of("bigbuckbunny.mp4", stride=30)
    undisturbed, first, second = (motion.Flow() for _ in range(3))
    expected = [undisturbed(frame) for frame in frames]
    found = [first(frame) for frame in frames[:2]]
    second.restore(first.state())
    found += [second(frame) for frame in frames[2:]]
    assert found == expected
