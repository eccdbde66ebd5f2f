"""The models that come with the package; `models/NOTICE.md` gives their origins and licences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from videodag_cli.data import Ints
from videodag_cli.vision.onnx.labelfiles import read_labels
from videodag_cli.vision.onnx.labels import COCO


@dataclass(frozen=True)
class BuiltinModel:
    """A shipped model with the thresholds that suit it."""

    file: str
    labels: tuple[str, ...] | str
    """Class names, or the label file beside the model."""
    confidence: float
    iou: float
    layout: str
    alike: tuple[tuple[str, ...], ...] = ()
    """Classes that the model reports twice for one object: they suppress each other."""
    bridges: bool = False
    """The model puts boxes between objects that are close together."""

    def path(self) -> Path:
        return model_path(self.file)

    def names(self) -> tuple[str, ...]:
        return read_labels(model_path(self.labels)) if isinstance(self.labels, str) else self.labels


@dataclass(frozen=True)
class FaceModel:
    """A shipped face detector."""

    file: str
    side: int
    """Width and height of the network's input in pixels."""

    def path(self) -> Path:
        return model_path(self.file)


OBJECT_MODELS = {
    "people": BuiltinModel(
        "nanodet_g_416_fp16.onnx", COCO, 0.45, 0.6, "nanodet-pairs", (("car", "truck", "bus"),), bridges=True
    ),
    "vehicles": BuiltinModel(
        "ssd_mobilenetv2_oidv4_300_fp16.onnx", "oidv4_labelmap.txt", 0.40, 0.5, "ssd-anchors", (("Car", "Vehicle"),)
    ),
}
FACE_MODELS = {
    "short": FaceModel("blazeface_short_range_128.onnx", 128),
    "full": FaceModel("blazeface_full_range_192.onnx", 192),
}
PROBE_PICTURE = "probe.jpg"
"""A real picture, on which a model's outputs show what they are."""
POSE_MODELS = {"full": "blazepose_full_256.onnx", "lite": "blazepose_lite_256.onnx"}


def model_path(file: str) -> Path:
    """Where a shipped file is; the package is always installed unpacked."""
    with as_file(files("videodag_cli") / "models" / file) as path:
        return path


def alike_map(labels: Sequence[str], alike: Sequence[Sequence[str]]) -> Ints | None:
    """Class number -> number of the first class of its look-alikes; None where there are none."""
    if not alike:
        return None
    groups = np.arange(len(labels), dtype=np.int64)
    for names in alike:
        numbers = [labels.index(name) for name in names]
        groups[numbers] = numbers[0]
    return groups
