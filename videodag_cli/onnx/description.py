"""What a model file was taken for: one value that messages, `validate --load`, `--dry-run` and the record show."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from videodag_cli.onnx.labels import shortened

Activation = Literal["none", "sigmoid", "softmax"]
"""What is still to be done to the network's scores: nothing, or logits that become probabilities."""
LabelsFrom = Literal["param", "metadata", "coco", "numbers"]
"""Where class names come from: param `labels`, the file, the known names of COCO's 80 or 91 classes, or only numbers."""

_LABELS_FROM = {
    "param": "given",
    "metadata": "from the file's metadata",
    "coco": "COCO's, by their number",
    "numbers": "the file names none",
}


class ModelDescription(BaseModel):
    """An opened detector: how its pictures go in, how its outputs are read, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    sha256: str
    layout: str
    layout_from: Literal["param", "evidence"]
    """Whether the user named the layout or the file's evidence decided."""
    reasons: tuple[str, ...]
    """What was seen that speaks for the layout, in plain words."""
    width: int
    height: int
    fixed_size: bool
    """The file allows no other input size."""
    dtype: str
    channels: Literal["rgb", "bgr"]
    values: str
    """Numbers of the input: unit 0..1, byte 0..255, signed -1..1, imagenet or coco_bgr (mean and deviation)."""
    fit: Literal["center", "corner", "stretch"]
    activation: Activation
    suppressed: bool
    """Overlapping boxes are dropped inside the model; else they are dropped here."""
    batch_size: int
    """Pictures that go in at once."""
    fixed_batch: bool
    class_count: int | None
    """Classes that the outputs hold; None where they do not tell."""
    labels: tuple[str, ...]
    labels_from: LabelsFrom

    def rows(self, *, input_format: str) -> dict[str, str]:
        """The same as short texts for people, in the order in which they are shown; `input_format` is the form in words."""
        fixed = "fixed" if self.fixed_size else "open"
        why = "set by param layout" if self.layout_from == "param" else "; ".join(self.reasons)
        activation = {"none": "as they are", "sigmoid": "through a sigmoid", "softmax": "through a softmax"}
        return {
            "layout": self.layout,
            "why": why,
            "input": f"{self.width}x{self.height} {fixed}, {input_format}, {self.dtype}",
            "scores": activation[self.activation],
            "suppression": "inside the model" if self.suppressed else "done here",
            "batch": "1" if self.fixed_batch else f"open, {self.batch_size} at once",
            "labels": f"{len(self.labels)}: {shortened(self.labels, 8)}",
            "names": _LABELS_FROM[self.labels_from],
            "file": self.file,
            "sha256": self.sha256[:16],
        }
