"""From a picture to a network's input tensor, and the map back from the network's pixels to the picture's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Affine, Image
from videodag_cli.vision.onnx.model_facts import Size
from videodag_cli.vision.onnx.resampling import Kernel, resampled

Fit = Literal["center", "corner", "stretch"]
"""How a picture of another shape goes in: scaled with borders all round, scaled into the top left corner, or stretched."""
Values = Literal["unit", "byte", "signed", "imagenet", "clip", "coco_bgr"]
"""What the input numbers are: 0..1, 0..255, -1..1, or normalised by a data set's mean and deviation."""

FIT_WORDS: dict[Fit, str] = {
    "center": "letterbox",
    "corner": "letterbox in the top left corner",
    "stretch": "stretched",
}
VALUE_WORDS: dict[Values, str] = {
    "unit": "0..1",
    "byte": "0..255",
    "signed": "-1..1",
    "imagenet": "normalised as ImageNet",
    "clip": "normalised as CLIP",
    "coco_bgr": "mean 0, deviation 1",
}

_ARITHMETIC: dict[Values, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "unit": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "byte": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "signed": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "clip": ((122.7709383, 116.7460125, 104.09373615), (68.5005327, 66.6321579, 70.32316305)),
    "coco_bgr": ((103.53, 116.28, 123.675), (57.375, 57.12, 58.395)),
}


@dataclass(frozen=True)
class InputFormat:
    """How a network wants its pictures."""

    fit: Fit = "center"
    channels: Literal["rgb", "bgr"] = "rgb"
    values: Values = "unit"
    border: int = 114
    """Grey level of the borders."""
    area: bool = False
    """Shrink by averaging areas instead of linear interpolation."""
    kernel: Kernel | None = None
    """Scale as Pillow does instead."""

    def __str__(self) -> str:
        return f"{self.channels.upper()}, {VALUE_WORDS[self.values]}, {FIT_WORDS[self.fit]}"


def placed(image: Image, size: Size, form: InputFormat) -> tuple[Image, Affine]:
    """`image` on a canvas of `size`, and the map from the canvas's pixels to the image's."""
    import cv2

    height, width = image.shape[:2]
    if form.fit == "stretch":
        new_width, new_height = size
    else:
        ratio = min(size[0] / width, size[1] / height)
        new_width = min(size[0], max(1, round(width * ratio)))
        new_height = min(size[1], max(1, round(height * ratio)))
    shrinks = form.area and new_width * new_height < width * height
    if (new_width, new_height) == (width, height):
        resized = image
    elif form.kernel is not None:
        resized = resampled(image, (new_width, new_height), form.kernel)
    else:
        resized = np.asarray(
            cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR),
            np.uint8,
        )
    left = (size[0] - new_width) // 2 if form.fit == "center" else 0
    top = (size[1] - new_height) // 2 if form.fit == "center" else 0
    back = Affine(width / new_width, height / new_height, -left * width / new_width, -top * height / new_height)
    if (new_width, new_height) == size:
        return resized, back
    canvas = np.full((size[1], size[0], 3), form.border, np.uint8)
    canvas[top : top + new_height, left : left + new_width] = resized
    return canvas, back


def packed(canvas: Image, form: InputFormat, *, dtype: str, channels_first: bool) -> NDArray[Any]:
    """The canvas as the network's tensor of one picture: 1x3xHxW or 1xHxWx3."""
    import cv2

    if dtype == "uint8":
        picture: NDArray[Any] = canvas if form.channels == "bgr" else canvas[..., ::-1]
        return np.ascontiguousarray((picture.transpose(2, 0, 1) if channels_first else picture)[None])
    numbers = _numbers(form.values)
    if not channels_first:
        picture = canvas if form.channels == "bgr" else cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB)
        return np.ascontiguousarray(cv2.LUT(picture, numbers.T[None])[None], dtype)
    planes = np.empty((1, 3, *canvas.shape[:2]), np.float32)
    for plane, channel in enumerate((0, 1, 2) if form.channels == "bgr" else (2, 1, 0)):
        cv2.LUT(cv2.extractChannel(canvas, channel), numbers[plane], dst=planes[0, plane])
    return np.ascontiguousarray(planes, dtype)


@cache
def _numbers(values: Values) -> NDArray[np.float32]:
    """(3, 256) what each level becomes in each of the network's channels: looking it up is far cheaper than computing it."""
    mean, deviation = (np.array(numbers, np.float32)[:, None] for numbers in _ARITHMETIC[values])
    table: NDArray[np.float32] = (np.arange(256, dtype=np.float32) - mean) / deviation
    table.flags.writeable = False
    return table
