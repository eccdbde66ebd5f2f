"""Params of tools that run a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from videodag_cli.errors import ParamError
from videodag_cli.toolspec import FolderWords, Inline
from videodag_cli.vision.onnx.foreign import folder_words
from videodag_cli.vision.onnx.labelfiles import read_labels
from videodag_cli.vision.onnx.labels import COCO, coco_by_category
from videodag_cli.vision.onnx.model_facts import MAX_SIDE, Size
from videodag_cli.vision.onnx.resampling import Kernel


def as_text(value: Any) -> Any:
    """`640` as the text that it is written as; anything else as it is."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _label_names(value: Any) -> Any:
    """`cat,dog` -> a list of names; text that looks like a file's name, or holds no comma, stays."""
    if not isinstance(value, str) or "," not in value or "/" in value or value.lower().endswith(LABEL_FILES):
        return value
    return value.removesuffix(",").split(",")


LABEL_FILES = (".txt", ".names", ".json", ".yaml", ".yml", ".csv", ".labels", ".pbtxt")


ProviderParam = Annotated[str, Field(description="execution provider of onnxruntime; run --device sets it")]
SizeText = Annotated[str, BeforeValidator(as_text), Field(pattern=r"^[0-9]{1,4}(x[0-9]{1,4})?$")]
"""`640` or `640x384` (width x height)."""
SIZE_TEXT = (
    "size of the network's input in pixels, such as 224 or 640x384 (width x height), for models that leave it open"
)
FIT_TEXT = "crop the middle to the network's shape (default), stretch, or center with grey borders"
CHANNELS_TEXT = "order of the colours; default: rgb"
VALUES_TEXT = (
    "range of the pixel values: unit 0 to 1, byte 0 to 255, signed -1 to 1, or normalised as imagenet, clip or coco_bgr; needed unless the "
    "model's metadata says task=classify"
)
RESIZE_TEXT = (
    "length of the picture's shorter side before its middle is cut out, such as 256 for an input of 224; "
    "default: just enough"
)
KERNEL_TEXT = "how pictures are scaled: bilinear or bicubic, as Pillow, torchvision and Transformers do"
OUTPUT_TEXT = "name of the model's output that counts, where it has several"
ResizeParam = Annotated[int | None, Field(ge=8, le=MAX_SIDE, description=RESIZE_TEXT)]
KernelParam = Annotated[Kernel, Field(description=KERNEL_TEXT)]
MODEL_FOLDER = FolderWords(folder_words)
"""In the annotation of an ONNX file: says what a folder in its place is."""
LabelsParam = Annotated[
    Literal["coco", "coco91"] | Path | list[str] | None,
    BeforeValidator(_label_names),
    Inline(lambda text: isinstance(_label_names(text), list), "a single name is written with a comma: cat,"),
]
"""Names of classes: in a list, in a file, or COCO's."""


def label_names(source: Literal["coco", "coco91"] | Path | list[str] | None) -> tuple[str, ...] | None:
    """The names that the param gives."""
    if source is None:
        return None
    if source == "coco":
        return COCO
    if source == "coco91":
        return coco_by_category()
    assert not isinstance(source, str)
    return read_labels(source)


def parse_picture_size(text: str | None) -> Size | None:
    """Width and height."""
    if text is None:
        return None
    width, _, height = text.partition("x")
    size = (int(width), int(height or width))
    if not all(32 <= side <= MAX_SIDE for side in size):
        raise ParamError(f"param size: width and height are 32 to {MAX_SIDE} pixels, got {text}")
    return size
