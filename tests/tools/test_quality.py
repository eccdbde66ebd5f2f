from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.sampled import frame_from, frames_of
from videodag_cli import Frame
from videodag_cli.errors import ParamError
from videodag_cli.tools import quality
from videodag_cli.toolspec import spec_of

images = hnp.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3)))


def flat(level: int, height: int = 40, width: int = 60) -> Frame:
    return Frame.from_image(np.full((height, width, 3), level, np.uint8))


def random_frame(seed: int, *, levels: tuple[int, ...] | None = None) -> Frame:
    rng = np.random.default_rng(seed)
    shape = (120, 161, 3)
    return Frame.from_image((rng.choice(levels, shape) if levels else rng.integers(0, 256, shape)).astype(np.uint8))


@settings(max_examples=80)
@given(images)
def test_brightness_and_contrast_equal_direct_computation(image: np.ndarray) -> None:
    frame = Frame.from_image(image)
    assert quality.brightness(frame) == pytest.approx(frame.gray.mean(), abs=1e-9)
    assert quality.contrast(frame) == pytest.approx(frame.gray.astype(np.float64).std(), abs=1e-9)


@pytest.mark.parametrize("ksize", [1, 3, 5])
@pytest.mark.parametrize("levels", [None, (0, 255)])
def test_sharpness_equals_the_64_bit_variance_as_printed(
    ksize: Literal[1, 3, 5], levels: tuple[int, ...] | None
) -> None:
    for seed in range(3):
        frame = random_frame(seed, levels=levels)
        direct = cv2.Laplacian(frame.gray, cv2.CV_64F, ksize=ksize).var()
        assert quality.sharpness(frame, ksize=ksize) == pytest.approx(direct, rel=1e-12)


def test_sharpness_holds_for_the_strongest_pattern_of_each_kernel() -> None:
    ys, xs = np.mgrid[0:64, 0:64]
    for ksize in (1, 3, 5):
        kernel = cv2.Laplacian(np.pad(np.ones((1, 1)), 6), cv2.CV_64F, ksize=ksize)
        sign = kernel[6 + (ys % 5) - 2, 6 + (xs % 5) - 2] > 0
        frame = Frame.from_image(np.repeat((sign * 255).astype(np.uint8)[:, :, None], 3, axis=2))
        direct = cv2.Laplacian(frame.gray, cv2.CV_64F, ksize=ksize).var()
        assert quality.sharpness(frame, ksize=ksize) == pytest.approx(direct, rel=1e-12)


def test_sharpness_falls_with_blur() -> None:
    sharp = frames_of("bigbuckbunny.mp4", stride=60)[1]
    blurred = frame_from(cv2.GaussianBlur(sharp.image, (0, 0), 2))
    assert quality.sharpness(blurred) < quality.sharpness(sharp) / 4


def test_sharpness_refuses_other_kernels() -> None:
    spec = spec_of(quality.sharpness)
    assert spec is not None
    assert spec.check_params({"ksize": 3}) == {"ksize": 3}
    with pytest.raises(ParamError, match=r"ksize.*1, 3 or 5"):
        spec.check_params({"ksize": 2})


@pytest.mark.parametrize("sigma", [2.0, 8.0])
def test_noise_finds_the_standard_deviation_of_added_noise(sigma: float) -> None:
    noisy = 128 + np.random.default_rng(5).normal(0, sigma, (360, 480))
    gray = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    frame = frame_from(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR))
    assert quality.noise(frame) == pytest.approx(sigma, rel=0.05)
    assert quality.noise(flat(128)) == pytest.approx(0)


def test_noise_equals_the_formula_in_64_bits() -> None:
    gray = random_frame(3).gray
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)
    filtered = cv2.filter2D(gray, cv2.CV_64F, mask)[1:-1, 1:-1]
    height, width = gray.shape
    direct = math.sqrt(math.pi / 2) * np.abs(filtered).sum() / (6 * (width - 2) * (height - 2))
    assert quality.noise(random_frame(3)) == pytest.approx(direct, rel=1e-12)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 50), (50, 2)])
def test_noise_of_a_picture_without_interior_is_null(height: int, width: int) -> None:
    assert math.isnan(quality.noise(flat(10, height, width)))


def test_clipping_counts_both_ends() -> None:
    image = np.full((10, 10, 3), 128, np.uint8)
    image[0, :3] = 5
    image[1, :2] = 250
    found = quality.clipping(Frame.from_image(image))
    assert (found.crushed, found.blown) == (0.03, 0.02)
    assert quality.clipping(Frame.from_image(image), low=4, high=251) == quality.Clipping(0.0, 0.0)


def test_black_takes_the_share_of_dark_pixels() -> None:
    image = np.full((10, 10, 3), 25, np.uint8)
    image[0, 0] = 26
    assert quality.black(Frame.from_image(image)) == quality.Black(black=True, dark_share=0.99)
    image[0, :3] = 26
    assert quality.black(Frame.from_image(image)) == quality.Black(black=False, dark_share=0.97)


def test_counts_stay_exact_beyond_24_bits() -> None:
    image = np.zeros((4100, 4100, 3), np.uint8)
    image[0, 0] = 255
    assert quality.brightness(Frame.from_image(image)) == 255 / 4100**2
    assert quality.clipping(Frame.from_image(image)).crushed == (4100**2 - 1) / 4100**2


def test_freeze_compares_with_the_previous_frame() -> None:
    freeze = quality.FreezeDetector()
    assert freeze(flat(100)) == quality.Freeze(frozen=False, difference=None)
    assert freeze(flat(100)) == quality.Freeze(frozen=True, difference=0.0)
    assert freeze(flat(103)) == quality.Freeze(frozen=False, difference=3.0)
    assert freeze(flat(103)) == quality.Freeze(frozen=True, difference=0.0)


def test_freeze_continues_from_its_state() -> None:
    frames = frames_of("synthetic.mp4", stride=20)
    undisturbed, first, second = (quality.FreezeDetector() for _ in range(3))
    expected = [undisturbed(frame) for frame in frames]
    found = [first(frame) for frame in frames[:3]]
    second.restore(first.state())
    found += [second(frame) for frame in frames[3:]]
    assert found == expected


def test_verdict_names_what_is_wrong_and_judges_only_what_is_connected() -> None:
    still = quality.Freeze(frozen=True, difference=0.0)
    dark = quality.Black(black=True, dark_share=1.0)
    found = quality.verdict(quality.Brightness(3.0), quality.Contrast(1.0), quality.Sharpness(0.5), None, dark, still)
    assert found == quality.Verdict(good=False, problems=("black", "dark", "flat", "blurred", "frozen"))
    assert quality.verdict(quality.Brightness(120.0), None, None, None, None, None).good
    assert quality.verdict(None, None, None, quality.Noise(math.nan), None, None).good
