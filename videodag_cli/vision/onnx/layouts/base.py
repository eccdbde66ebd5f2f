"""What every output layout offers: how the network wants its picture, and how its outputs become boxes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Floats, Ints
from videodag_cli.vision.onnx.description import Activation
from videodag_cli.vision.onnx.layouts.extras import Details, Extra, Outputs
from videodag_cli.vision.onnx.model_facts import Size
from videodag_cli.vision.onnx.preprocessing import InputFormat

Ask = Literal["values", "channels", "background"]
Background = Literal["first", "last", "none"]
"""Which column of scores means that there is nothing."""
BoxForm = Literal["corners", "center"]
"""Left, top, right, bottom; or centre, width, height."""


class Candidates(NamedTuple):
    """N candidates in the network's pixels."""

    xyxy: Floats
    scores: Floats
    class_ids: Ints
    rows: Ints | None = None
    """Where each was in the outputs; None where the layout does not tell."""
    details: Details | None = None
    """What the model says of each box beside its place."""

    def chosen(self, rows: NDArray[Any]) -> Candidates:
        return Candidates(
            self.xyxy[rows],
            self.scores[rows],
            self.class_ids[rows],
            None if self.rows is None else self.rows[rows],
            None if self.details is None else self.details.chosen(rows),
        )

    @classmethod
    def of(cls, xyxy: Any, scores: Any, class_ids: Any, rows: NDArray[Any] | None = None) -> Candidates:
        """`rows`: their places in the outputs, or which of the outputs' rows they are as true and false."""
        if rows is not None and rows.dtype == np.bool_:
            rows = np.flatnonzero(rows)
        return cls(
            np.asarray(xyxy, np.float64).reshape(-1, 4),
            np.asarray(scores, np.float64).reshape(-1),
            np.asarray(class_ids).reshape(-1).astype(np.int64),
            rows,
        )


@dataclass(frozen=True, kw_only=True)
class Layout(ABC):
    """One way in which detectors put out boxes."""

    name: str
    form: InputFormat
    class_count: int | None
    """None where the outputs do not say how many classes there are."""
    suppressed: bool = False
    """Overlapping boxes are already gone."""
    activation: Activation = "none"
    """What is still to be done to the scores."""
    activates: ClassVar[bool] = False
    """`decode` can apply any activation."""
    tells_rows: ClassVar[bool] = False
    """`decode` says where in the outputs each box was."""
    clips_first: ClassVar[bool] = False
    """Boxes are clipped to the picture before they suppress each other, as the model's own code does; else after."""
    reasons: tuple[str, ...] = ()
    """What was seen that speaks for this layout."""
    first_class: int = 0
    """Number of the first real class: 1 where 0 means background."""
    asks: frozenset[Ask] = frozenset()
    """Params that the user has to give, because files of this kind differ and do not say."""
    extra: Extra | None = None
    """What comes beside boxes."""

    def candidates(self, outputs: Outputs, row: int, size: Size, threshold: float) -> Candidates:
        """`decode` on the outputs without what belongs to the extra."""
        return self.decode(outputs if self.extra is None else self.extra.trimmed(outputs), row, size, threshold)

    @abstractmethod
    def decode(self, outputs: Outputs, row: int, size: Size, threshold: float) -> Candidates:
        """Boxes of picture `row` of the batch whose score is above `threshold`; `size` is the network's input size."""


def cell_count(size: Size, strides: tuple[int, ...]) -> int:
    return sum(-(-size[0] // s) * -(-size[1] // s) for s in strides)


def cells(size: Size, strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """(N, 2) column and row of every cell, finest stride first and row by row, and (N,) its stride."""
    places, steps = [], []
    for stride in strides:
        columns, rows = -(-size[0] // stride), -(-size[1] // stride)
        y, x = np.divmod(np.arange(columns * rows), columns)
        places.append(np.stack([x, y], axis=1))
        steps.append(np.full(columns * rows, stride))
    return np.concatenate(places).astype(np.float64), np.concatenate(steps).astype(np.float64)


def from_centers(cxcywh: Any) -> Floats:
    """(N, 4) centre, width and height -> left, top, right, bottom."""
    boxes = np.asarray(cxcywh, np.float64).reshape(-1, 4)
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def to_pixels(xyxy: Floats, size: Size) -> Floats:
    """Boxes as they are if in pixels, scaled up if all lie within 0..1 (with a margin): no real boxes are that small."""
    if xyxy.size and np.abs(xyxy).max() <= 2.0:
        return xyxy * np.array((size[0], size[1]) * 2, np.float64)
    return xyxy


def best_class(scores: NDArray[Any]) -> tuple[NDArray[Any], Ints]:
    """(N, K) scores -> the best of each row and its class."""
    best = scores.argmax(axis=1)
    return scores[np.arange(len(scores)), best], best.astype(np.int64)


def sigmoid(x: NDArray[Any]) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(np.asarray(x, np.float64), -80.0, 80.0))))


def activated(scores: Floats, activation: Activation) -> Floats:
    """(N, K) logits or scores as probabilities."""
    if activation == "softmax":
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))
    return sigmoid(scores) if activation == "sigmoid" else scores


def mostly_within_unit(rows: NDArray[Any]) -> bool:
    """Whether nearly all of the rows hold probabilities: a faulty model may put out a few others, which are its error in that frame."""
    if not len(rows):
        return True
    fine = ((rows >= -1e-3) & (rows <= 1 + 1e-3)).all(axis=1)
    return float(fine.mean()) >= 0.9


def within_unit(values: NDArray[Any]) -> bool:
    """Whether all values could be probabilities."""
    return bool(np.isfinite(values).all() and (values >= -1e-3).all() and (values <= 1 + 1e-3).all())
