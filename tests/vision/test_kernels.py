"""The cheap forms of arithmetic give what the plain forms give: tensors bit by bit, measures as they are printed."""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np
import pytest

from tests.sampled import frames_of
from videodag_cli.data import Frame
from videodag_cli.lines import plain
from videodag_cli.tools import quality
from videodag_cli.vision.onnx.preprocessing import InputFormat, Values, packed, placed

NORMALISED: dict[Values, tuple[list[float], list[float]]] = {
    "unit": ([0, 0, 0], [255, 255, 255]),
    "byte": ([0, 0, 0], [1, 1, 1]),
    "signed": ([127.5, 127.5, 127.5], [127.5, 127.5, 127.5]),
    "imagenet": ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
    "coco_bgr": ([103.53, 116.28, 123.675], [57.375, 57.12, 58.395]),
}


@pytest.mark.parametrize("channels_first", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("values", list(NORMALISED))
def test_a_tensor_equals_subtraction_and_division_bit_by_bit(
    values: Values, channels: Literal["rgb", "bgr"], dtype: str, channels_first: bool
) -> None:
    form = InputFormat(channels=channels, values=values)
    canvas, _ = placed(frames_of("pedestrians.mp4", stride=100)[1].image, (320, 192), form)
    expected = np.asarray(canvas if channels == "bgr" else canvas[..., ::-1])
    if dtype != "uint8":
        mean, deviation = (np.array(numbers, np.float32) for numbers in NORMALISED[values])
        expected = ((expected.astype(np.float32) - mean) / deviation).astype(dtype)
    expected = np.ascontiguousarray(expected.transpose(2, 0, 1) if channels_first else expected)[None]
    tensor = packed(canvas, form, dtype=dtype, channels_first=channels_first)
    assert tensor.dtype == expected.dtype
    assert tensor.shape == expected.shape
    assert tensor.flags.c_contiguous
    assert tensor.tobytes() == expected.tobytes()


@pytest.mark.parametrize("clip", ["pedestrians.mp4", "bigbuckbunny.mp4", "synthetic.mp4"])
def test_measures_of_real_pictures_equal_the_plain_formulas_as_printed(clip: str) -> None:
    for frame in frames_of(clip, stride=40):
        gray = cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY).astype(np.float64)
        mask = np.outer([1, -2, 1], [1, -2, 1])
        filtered = cv2.filter2D(gray, cv2.CV_64F, mask)[1:-1, 1:-1]
        fresh = Frame(frame.image)
        measured = {
            "brightness": quality.brightness(fresh),
            "contrast": quality.contrast(fresh),
            "sharpness": quality.sharpness(fresh),
            "noise": quality.noise(fresh),
            "dark": quality.black(fresh).dark_share,
        }
        assert {name: plain(value) for name, value in measured.items()} == {
            "brightness": plain(float(gray.mean())),
            "contrast": plain(float(gray.std())),
            "sharpness": plain(float(cv2.Laplacian(gray, cv2.CV_64F, ksize=1).var())),
            "noise": plain(math.sqrt(math.pi / 2) * float(np.abs(filtered).mean()) / 6),
            "dark": plain(float((gray <= 25).mean())),
        }
