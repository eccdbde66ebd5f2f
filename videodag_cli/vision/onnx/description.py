"""What a model file was read as: one value that messages, `validate --load`, `--dry-run` and the record show."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from videodag_cli.vision.onnx.labels import shortened
from videodag_cli.vision.onnx.preprocessing import FIT_WORDS, VALUE_WORDS, Fit, Values

Activation = Literal["none", "sigmoid", "softmax"]
"""What is still to be done to the network's scores: nothing, or logits that become probabilities."""
LabelsFrom = Literal["param", "metadata", "shipped", "coco", "numbers"]
"""Where class names come from: param `labels`, the file, the package, the known names of COCO's 80 or 91 classes, or only numbers."""

_ACTIVATION = {"none": "as they are", "sigmoid": "through a sigmoid", "softmax": "through a softmax"}
_LABELS_FROM = {
    "param": "given by param labels",
    "metadata": "from the file's metadata",
    "shipped": "those of the shipped model",
    "coco": "COCO's, by their number",
    "numbers": "the file names none",
}

From = Literal["param", "file", "metadata", "layout", "default"]
"""Who decided about the input: the user, the file's shapes, what it says about itself, the kind of model, or nobody."""
_FROM = {
    "param": "set by a param",
    "file": "the file fixes it",
    "metadata": "the file's metadata",
    "layout": "usual for this layout",
    "default": "the file leaves it open; set param size to another",
}


class ModelDescription(BaseModel):
    """An opened detector: how its pictures go in, how its outputs are read, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    sha256: str
    layout: str
    layout_from: Literal["param", "evidence", "shipped"]
    """Whether the user named the layout, the file's evidence decided, or it is known because the model ships."""
    reasons: tuple[str, ...]
    """What was seen that speaks for the layout, and against each other one that the shapes allow."""
    width: int
    height: int
    fixed_size: bool
    """The file allows no other input size."""
    size_from: From
    dtype: str
    channels: Literal["rgb", "bgr"]
    channels_from: From
    values: Values
    values_from: From
    fit: Fit
    fit_from: From
    task: str = "boxes"
    """What comes out: boxes, or boxes with something beside them."""
    activation: Activation
    suppressed: bool
    """Overlapping boxes are dropped inside the model; else they are dropped here."""
    batch_size: int
    """Pictures that go in at once."""
    fixed_batch: bool
    class_count: int | None
    """Classes that the outputs hold; None where they do not say."""
    labels: tuple[str, ...]
    labels_from: LabelsFrom
    labels_file: str | None = None
    """Name of the file that gave them."""

    def rows(self) -> dict[str, str]:
        """The same as short texts for people, in the order in which they are shown."""
        shape = f"{self.width}x{self.height} {'fixed' if self.fixed_size else 'open'}"
        form = f"{self.channels.upper()}, {VALUE_WORDS[self.values]}, {FIT_WORDS[self.fit]}"
        return {
            "layout": self.layout,
            **({} if self.task == "boxes" else {"gives": self.task}),
            "why": "; ".join(self._why),
            "input": f"{shape}, {form}, {self.dtype}",
            "scores": _ACTIVATION[self.activation],
            "suppression": self._suppression,
            "batch": self._batch,
            "labels": f"{len(self.labels)}: {shortened(self.labels, 8)}",
            "names": self._names,
            "file": self.file,
            "sha256": self.sha256[:16],
        }

    def sentences(self) -> list[tuple[str, str]]:
        """Everything with who decided it, as (what, text) for a screen; a text may take several entries of one name."""
        rows = [("layout", self.layout)]
        rows += [] if self.task == "boxes" else [("gives", self.task)]
        rows += [("because", text) for text in self._why]
        rows += [
            ("input", f"{self.width}x{self.height}, {self.dtype} ({_FROM[self.size_from]})"),
            ("fit", f"{FIT_WORDS[self.fit]} ({_FROM[self.fit_from]})"),
            ("channels", f"{self.channels.upper()} ({_FROM[self.channels_from]})"),
            ("values", f"{VALUE_WORDS[self.values]} ({_FROM[self.values_from]})"),
            ("scores", _ACTIVATION[self.activation]),
            ("suppression", self._suppression),
            ("batch", self._batch),
            ("classes", self._classes),
        ]
        return rows

    @property
    def _why(self) -> tuple[str, ...]:
        known = {"param": "set by param layout", "shipped": "known: the model comes with the package"}
        return (known[self.layout_from],) if self.layout_from in known else self.reasons

    @property
    def _suppression(self) -> str:
        return "inside the model" if self.suppressed else "done here"

    @property
    def _batch(self) -> str:
        return "1" if self.fixed_batch else f"open, {self.batch_size} at once"

    @property
    def _classes(self) -> str:
        if not self.labels:
            return "the file does not say how many there are or what they are called"
        return f"{len(self.labels)}: {shortened(self.labels, 30)} ({self._names})"

    @property
    def _names(self) -> str:
        return _LABELS_FROM[self.labels_from] + (f", {self.labels_file}" if self.labels_file else "")
