"""What a picture looks like as a vector, by a model of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from videodag_cli.data import Detections, Frame
from videodag_cli.tools.network_params import (
    CHANNELS_TEXT,
    FIT_TEXT,
    MODEL_FOLDER,
    OUTPUT_TEXT,
    SIZE_TEXT,
    VALUES_TEXT,
    KernelParam,
    ProviderParam,
    ResizeParam,
    SizeText,
    parse_picture_size,
)
from videodag_cli.toolspec import tool
from videodag_cli.vision.embeddings import Embeddings, Encoding, unit
from videodag_cli.vision.onnx.preprocessing import Values
from videodag_cli.vision.onnx.session import CPU
from videodag_cli.vision.onnx.vectors import ClassifierFit, PictureChoice, Tokens, open_vectors, parts_of


@tool(version=2, stateless=True, cache=True, id="image")
class ImageEmbedder:
    """A vector of the frame; with detections as a second input, one of each of their boxes.

    `detection` is the index of the box among the detections. Pictures that look alike have vectors that point the same way
    (`match.embeddings`). `vector` is base64 of 16-bit floats, little-endian (numpy.frombuffer(b64decode(vector), "<f2")), or a list.
    """

    def __init__(
        self,
        *,
        model: Annotated[Path, MODEL_FOLDER, Field(description="an ONNX file whose output is one row of numbers")],
        normalize: Annotated[bool, Field(description="divide each vector by its length")] = False,
        encoding: Annotated[
            Encoding, Field(description="base64 of 16-bit floats, or a list of numbers with six decimals")
        ] = "base64",
        size: Annotated[SizeText | None, Field(description=SIZE_TEXT)] = None,
        fit: Annotated[ClassifierFit | None, Field(description=FIT_TEXT)] = None,
        channels: Annotated[Literal["rgb", "bgr"] | None, Field(description=CHANNELS_TEXT)] = None,
        values: Annotated[Values | None, Field(description=VALUES_TEXT)] = None,
        resize: ResizeParam = None,
        kernel: KernelParam = "bilinear",
        output: Annotated[str | None, Field(description=OUTPUT_TEXT)] = None,
        tokens: Annotated[
            Tokens | None,
            Field(
                description="for models with a row of numbers for each part of the picture: the first row, which stands for the whole in "
                "vision transformers, or the mean of all"
            ),
        ] = None,
        provider: ProviderParam = CPU,
    ) -> None:
        choice = PictureChoice(parse_picture_size(size), fit, channels, values, resize, kernel, output, tokens)
        self._model = open_vectors(model, choice, provider=provider)
        self._normalize, self._encoding = normalize, encoding

    def __call__(self, frame: Frame, detections: Detections | None = None) -> Embeddings:
        parts, rows = parts_of(frame.image, None if detections is None else detections.xyxy)
        vectors = self._model.vectors(parts)
        return Embeddings(
            unit(vectors) if self._normalize else vectors,
            None if detections is None else tuple(rows),
            self._encoding,
        )

    def describe(self) -> dict[str, str]:
        """What the model is, for `pipelines validate --load`."""
        return self._model.describe()
