"""What a picture shows as a whole, by a classifier of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from videodag_cli.data import Detections, Floats, Frame
from videodag_cli.tools.network_params import (
    CHANNELS_TEXT,
    FIT_TEXT,
    MODEL_FOLDER,
    OUTPUT_TEXT,
    SIZE_TEXT,
    VALUES_TEXT,
    KernelParam,
    LabelsParam,
    ProviderParam,
    ResizeParam,
    SizeText,
    label_names,
    parse_picture_size,
)
from videodag_cli.tools.params import Share
from videodag_cli.toolspec import tool
from videodag_cli.vision.onnx.description import Activation
from videodag_cli.vision.onnx.preprocessing import Values
from videodag_cli.vision.onnx.session import CPU
from videodag_cli.vision.onnx.vectors import Classifier, ClassifierFit, PictureChoice, open_vectors, parts_of


@dataclass(frozen=True, eq=False)
class Classes:
    """The best classes of the frame, or of each of its boxes."""

    scores: Floats
    """(N, classes)"""
    labels: tuple[str, ...]
    detections: tuple[int, ...] | None
    """Which row of the detections each of the N is; None: the whole frame."""
    top: int
    min_confidence: float

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per class, best first, box by box."""
        rows = []
        for number, scores in enumerate(self.scores):
            joined = {} if self.detections is None else {"detection": self.detections[number]}
            for class_id in np.argsort(-scores, kind="stable")[: self.top].tolist():
                if scores[class_id] >= self.min_confidence:
                    name = self.labels[class_id]
                    rows.append(
                        {**joined, "class_id": class_id, "class_name": name, "confidence": float(scores[class_id])}
                    )
        return rows


@tool(version=2, stateless=True, cache=True, id="image")
class ImageClassifier:
    """The most likely classes of the frame, best first; with detections as a second input, of each of their boxes.

    `detection` is the index of the box among the detections. The model is an ONNX file that outputs one row of scores for a picture.
    """

    def __init__(
        self,
        *,
        model: Annotated[
            Path, MODEL_FOLDER, Field(description="an ONNX file whose output is one score for each class")
        ],
        labels: Annotated[
            LabelsParam,
            Field(
                description="class names: cat,dog, a list, or a file as for detect.objects; default: the model's metadata"
            ),
        ] = None,
        top: Annotated[int, Field(ge=1, le=1000, description="number of classes that are reported")] = 1,
        min_confidence: Annotated[Share, Field(description="lowest confidence of a class that is reported")] = 0.0,
        activation: Annotated[
            Activation | None,
            Field(
                description="what turns the model's numbers into probabilities: softmax (exactly one class applies), "
                "sigmoid (several may apply), none; default: none where they are probabilities already"
            ),
        ] = None,
        size: Annotated[SizeText | None, Field(description=SIZE_TEXT)] = None,
        fit: Annotated[ClassifierFit | None, Field(description=FIT_TEXT)] = None,
        channels: Annotated[Literal["rgb", "bgr"] | None, Field(description=CHANNELS_TEXT)] = None,
        values: Annotated[Values | None, Field(description=VALUES_TEXT)] = None,
        resize: ResizeParam = None,
        kernel: KernelParam = "bilinear",
        output: Annotated[str | None, Field(description=OUTPUT_TEXT)] = None,
        provider: ProviderParam = CPU,
    ) -> None:
        choice = PictureChoice(parse_picture_size(size), fit, channels, values, resize, kernel, output)
        opened = open_vectors(model, choice, provider=provider)
        self._classifier = Classifier(opened, label_names(labels), activation)
        self._top, self._min_confidence = top, min_confidence

    def __call__(self, frame: Frame, detections: Detections | None = None) -> Classes:
        parts, rows = parts_of(frame.image, None if detections is None else detections.xyxy)
        return Classes(
            self._classifier.scores(parts),
            self._classifier.labels,
            None if detections is None else tuple(rows),
            self._top,
            self._min_confidence,
        )

    def describe(self) -> dict[str, str]:
        """What the model is, for `pipelines validate --load`."""
        scores = {"none": "as they are", "softmax": "through a softmax", "sigmoid": "through a sigmoid"}
        return self._classifier.model.describe() | {"scores": scores[self._classifier.activation]}
