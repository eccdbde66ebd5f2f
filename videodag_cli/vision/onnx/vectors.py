"""Networks that put out one row of numbers for a picture: scores of classes, or an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Floats, Image
from videodag_cli.errors import ParamError, printable
from videodag_cli.vision.onnx.builtin import PROBE_PICTURE, model_path
from videodag_cli.vision.onnx.description import Activation
from videodag_cli.vision.onnx.graph import graph_of
from videodag_cli.vision.onnx.labels import unnamed
from videodag_cli.vision.onnx.layouts.base import activated, sigmoid, within_unit
from videodag_cli.vision.onnx.layouts.extras import Outputs
from videodag_cli.vision.onnx.model_facts import ModelFacts, Size, model_facts
from videodag_cli.vision.onnx.model_input import input_size, run_model, tried
from videodag_cli.vision.onnx.preprocessing import InputFormat, Values, packed, placed
from videodag_cli.vision.onnx.resampling import Kernel, middle
from videodag_cli.vision.onnx.scores import ModelError
from videodag_cli.vision.onnx.session import CPU, open_session, read_model

ClassifierFit = Literal["crop", "stretch", "center"]
"""How a picture of another shape goes in: its middle, stretched, or with borders."""
CLASSIFIER_FIT_WORDS: dict[ClassifierFit, str] = {
    "crop": "cut to its middle",
    "stretch": "stretched",
    "center": "letterbox",
}
Tokens = Literal["first", "mean"]
"""How rows for the parts of a picture become one: the first, which stands for the whole in vision transformers, or their mean."""
MIN_SIDE = 2
"""Boxes with a shorter side than this many pixels are not looked at."""


@dataclass(frozen=True)
class PictureChoice:
    """What the user says about the network's input; None leaves it to the model."""

    size: Size | None = None
    fit: ClassifierFit | None = None
    channels: Literal["rgb", "bgr"] | None = None
    values: Values | None = None
    short_side: int | None = None
    """Length of the picture's shorter side before its middle is cut out."""
    kernel: Kernel = "bilinear"
    output: str | None = None
    """Name of the output that counts."""
    tokens: Tokens | None = None


@dataclass(frozen=True, eq=False)
class VectorModel:
    """An opened model. Its session is shared, calls are independent."""

    name: str
    digest: str
    facts: ModelFacts
    size: Size
    fit: ClassifierFit
    short_side: int | None
    form: InputFormat
    output: str
    tokens: Tokens | None
    width: int
    """How many numbers come out."""
    operations: frozenset[str] = field(repr=False)
    """What was done to them last."""
    session: Any = field(repr=False)

    def vectors(self, images: Sequence[Image]) -> Floats:
        """(N, width) the numbers of each picture, one at a time. Raises `ModelError` for what is no number."""
        found = np.empty((len(images), self.width))
        for row, image in enumerate(images):
            canvas, _ = placed(self._cut(image), self.size, self.form)
            tensor = packed(canvas, self.form, dtype=self.facts.picture.dtype, channels_first=self.facts.channels_first)
            values = _one_row(run_model(self.session, self.facts, tensor, self.size)[self.output], self.tokens)
            if values.size != self.width:
                raise ModelError(f"model {self.shown} outputs {values.size} numbers, {self.width} before")
            found[row] = values
        if not np.isfinite(found).all():
            raise ModelError(f"model {self.shown} outputs infinite or undefined numbers: its conversion went wrong")
        return found

    def _cut(self, image: Image) -> Image:
        """What of the picture goes in: with a shorter side, or a square input, already scaled."""
        if self.fit != "crop":
            return image
        short_side = self.short_side or (self.size[0] if self.size[0] == self.size[1] else None)
        if short_side is None:
            return _middle(image, self.size)
        assert self.form.kernel is not None
        return middle(image, self.size, self.form.kernel, short_side=short_side)

    @property
    def shown(self) -> str:
        return printable(self.name, limit=80)

    def describe(self) -> dict[str, str]:
        size = f"{self.size[0]}x{self.size[1]}"
        colours = str(self.form).rpartition(", ")[0]
        fit = CLASSIFIER_FIT_WORDS[self.fit] + (f" of {self.short_side} a side" if self.short_side else "")
        parts = {None: "", "first": ", the first of several rows", "mean": ", the mean of several rows"}
        return {
            "input": f"{size}, {colours}, {fit}, {self.form.kernel}, {self.facts.picture.dtype}",
            "output": f"{self.width} numbers of {printable(self.output, limit=40)}{parts[self.tokens]}",
            "file": self.name,
            "sha256": self.digest[:16],
        }


def open_vectors(path: Path, choice: PictureChoice, *, provider: str = CPU) -> VectorModel:
    """Open a model. Raises `ParamError` for one that does not fit, and for what its file leaves open."""
    content, digest = read_model(path)
    session = open_session(content, digest, name=path.name, provider=provider)
    facts = model_facts(session, name=path.name)
    classifies = facts.task == "classify"
    values = choice.values or ("unit" if classifies else "byte" if facts.picture.dtype == "uint8" else None)
    if values is None:
        raise ParamError(
            f"model {printable(path.name)} does not say how the picture must be prepared: set param values (unit 0..1, byte 0..255, "
            "signed -1..1, imagenet, clip or coco_bgr: what its training normalised pictures to)"
        )
    size = input_size(facts, choice.size, path.name, default=224)
    form = InputFormat(
        fit="center" if choice.fit == "center" else "stretch",
        channels=choice.channels or "rgb",
        values=values,
        kernel=choice.kernel,
    )
    if choice.short_side is not None and (choice.fit not in (None, "crop") or choice.short_side < max(size)):
        raise ParamError(
            f"param resize is the shorter side before the middle is cut out: at least {max(size)} for this model, and only with fit=crop"
        )
    outputs = tried(session, facts, size, path.name)
    output, numbers = _the_output(outputs, choice, path.name)
    return VectorModel(
        name=path.name,
        digest=digest,
        facts=facts,
        size=size,
        fit=choice.fit or "crop",
        short_side=choice.short_side,
        form=form,
        output=output,
        tokens=choice.tokens,
        width=numbers,
        operations=graph_of(content).last.get(output, frozenset()),
        session=session,
    )


def _the_output(outputs: Outputs, choice: PictureChoice, name: str) -> tuple[str, int]:
    """The output that holds one row of numbers for a picture, and how many they are."""
    listed = ", ".join(f"{printable(n, limit=40)} {'x'.join(map(str, v.shape))}" for n, v in list(outputs.items())[:8])
    if choice.output is not None and choice.output not in outputs:
        raise ParamError(f"param output: model {printable(name)} has no output {choice.output!r}; found {listed}")
    chosen = outputs if choice.output is None else {choice.output: outputs[choice.output]}
    several = choice.tokens is not None
    rows = {n: v for n, v in chosen.items() if (_has_parts(v) if several else v.size == max(v.shape, default=0) > 1)}
    if len(rows) == 1:
        ((output, values),) = rows.items()
        return output, _one_row(values, choice.tokens).size
    why = f"model {printable(name)} has no single output with one row of numbers for a picture; found outputs {listed}"
    if len(rows) > 1:
        why += "; set param output to the name of the one that counts"
    elif any(_has_parts(value) for value in chosen.values()):
        why += "; where there is a row for each part of the picture, param tokens takes the first (vision transformers) or their mean"
    raise ParamError(why, word="param.file")


def _has_parts(values: NDArray[Any]) -> bool:
    """Whether it is 1xNxC: N rows of C numbers for one picture."""
    return values.ndim == 3 and len(values) == 1 and values.shape[1] > 1 and values.shape[2] > 1


def _one_row(values: NDArray[Any], tokens: Tokens | None) -> Floats:
    numbers = np.asarray(values, np.float64)
    if tokens is None:
        return numbers.reshape(-1)
    return np.asarray(numbers[0, 0] if tokens == "first" else numbers[0].mean(axis=0))


def _middle(image: Image, size: Size) -> Image:
    """The largest part in the middle that has the shape of `size`."""
    height, width = image.shape[:2]
    if width * size[1] > height * size[0]:
        kept = max(1, round(height * size[0] / size[1]))
        left = (width - kept) // 2
        return image[:, left : left + kept]
    kept = max(1, round(width * size[1] / size[0]))
    top = (height - kept) // 2
    return image[top : top + kept]


class Classifier:
    """A model whose numbers are scores of classes."""

    def __init__(self, model: VectorModel, labels: tuple[str, ...] | None, activation: Activation | None) -> None:
        known = labels or model.facts.names
        if known is not None and len(known) != model.width:
            raise ParamError(
                f"model {model.shown} outputs {model.width} numbers, but there are {len(known)} labels; give one name per class"
            )
        self.model = model
        self.labels = known or unnamed(model.width)
        self.activation = activation or self._told()

    def _told(self) -> Activation:
        """What is still to be done to the numbers, by the graph's last operation or by what comes out of two pictures."""
        if self.model.operations in ({"Softmax"}, {"Sigmoid"}):
            return "none"
        import cv2

        picture = cv2.imread(str(model_path(PROBE_PICTURE)))
        assert picture is not None
        numbers = self.model.vectors([np.zeros((64, 64, 3), np.uint8), np.asarray(picture, np.uint8)])
        if within_unit(numbers) and (np.abs(numbers.sum(axis=1) - 1) < 0.02).all():
            return "none"
        raise ParamError(
            f"model {self.model.shown} outputs numbers that do not add up to one: set param activation to softmax (exactly one class "
            "applies), sigmoid (several may apply) or none (they are probabilities)"
        )

    def scores(self, images: Sequence[Image]) -> Floats:
        """(N, classes) probabilities. Raises `ModelError` for numbers that are none."""
        numbers = self.model.vectors(images)
        found = sigmoid(numbers) if self.activation == "sigmoid" else activated(numbers, self.activation)
        if not within_unit(found):
            raise ModelError(
                f"model {self.model.shown} outputs a confidence of {found.max():g}, which is not within 0..1"
            )
        return np.clip(found, 0, 1)


def parts_of(image: Image, boxes: Floats | None) -> tuple[list[Image], list[int]]:
    """What boxes show, and which boxes they are; the whole picture where there are none to look into."""
    if boxes is None:
        return [image], []
    height, width = image.shape[:2]
    parts, rows = [], []
    for row, box in enumerate(boxes):
        if not np.isfinite(box).all():
            continue
        left, top = np.maximum(np.floor(box[:2]), 0).astype(int)
        right, bottom = np.minimum(np.ceil(box[2:]), (width, height)).astype(int)
        if min(right - left, bottom - top) >= MIN_SIDE:
            parts.append(image[top:bottom, left:right])
            rows.append(row)
    return parts, rows
