"""What a layout is recognised from: a model's ports, metadata, operations, and its outputs for a few pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Floats
from videodag_cli.vision.literals import literal
from videodag_cli.vision.onnx.graph import Graph
from videodag_cli.vision.onnx.layouts.base import Layout, cell_count
from videodag_cli.vision.onnx.layouts.extras import Extra, Outputs
from videodag_cli.vision.onnx.model_facts import ModelFacts, Size

ONE_PER_CELL = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
"""Strides of detectors that put out one candidate for each cell."""
THREE_PER_CELL = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
_BEST = 50
_MOSTLY = 0.9


@dataclass(frozen=True)
class Evidence:
    """A model with its outputs for an empty and for real pictures."""

    facts: ModelFacts
    runs: tuple[Outputs, ...]
    size: Size
    label_count: int | None
    """Number of class names given by the user or the metadata."""
    graph: Graph = field(default_factory=Graph)

    def table(self) -> str | None:
        """The output with three dimensions, if there is just one and no other belongs to its rows."""
        names = self.of_rank(3)
        if len(names) != 1:
            return None
        rows = self.outputs[names[0]].shape[1:]
        others = [v.shape for n, v in self.outputs.items() if n != names[0]]
        belong = any(len(s) in (2, 4) and s[1] in rows and (len(s) == 2 or s[2:] == (1, 4)) for s in others)
        return None if belong else names[0]

    def without(self, extra: Extra) -> Evidence:
        """The same without what comes beside boxes."""
        return replace(self, runs=tuple(extra.trimmed(run) for run in self.runs))

    @property
    def outputs(self) -> Outputs:
        return self.runs[0]

    def of_rank(self, rank: int) -> list[str]:
        """Names of the outputs with so many dimensions, in the model's order."""
        return [name for name, value in self.outputs.items() if value.ndim == rank]

    def input_named(self, *names: str) -> bool:
        return any(port.name.lower() in names for port in self.facts.inputs)

    def rows(self, name: str, *, across: bool = False) -> Floats:
        """The first picture's rows of every run, one below the other."""
        return np.concatenate([run.T if across else run for run in self.each(name)])

    def each(self, name: str) -> Iterator[Floats]:
        """The first picture's rows, run by run; numbers that are not finite are 0."""
        for run in self.runs:
            table = np.asarray(run[name], np.float64)
            table = table[0] if table.ndim >= 3 else table
            table = table.reshape(len(table), int(np.prod(table.shape[1:])))
            yield np.nan_to_num(table, posinf=0.0, neginf=0.0)

    def grid_of(self, count: int, *, each: int = 1) -> tuple[int, ...] | None:
        """The strides whose cells, each counted `each` times, are so many on this input size."""
        for strides in THREE_PER_CELL if each == 3 else ONE_PER_CELL:
            if count == each * cell_count(self.size, strides):
                return strides
        return None

    def on_a_grid(self, count: int) -> bool:
        return self.grid_of(count) is not None or self.grid_of(count, each=3) is not None

    @property
    def head(self) -> str:
        """The class of the network's head that Ultralytics notes, in lower case: detect, v10detect, rtdetrdecoder, ..."""
        named = self.facts.metadata.get("head", "").strip().lower()
        description = self.facts.metadata.get("description", "").lower()
        return named or ("rtdetrdecoder" if "rtdetr" in description or "rt-detr" in description else "")

    @property
    def finished(self) -> bool | None:
        """Whether metadata or operations say that suppression, or a choice of the best, is inside; None: they do not say."""
        return True if self.graph.has("NonMaxSuppression") else self.finished_by_metadata

    @property
    def finished_by_metadata(self) -> bool | None:
        """The same by what Ultralytics notes. YOLOv10 and YOLO26 can be exported either way, so `end2end` counts before the head."""
        metadata = self.facts.metadata
        arguments = literal(metadata.get("args", ""))
        inside = isinstance(arguments, dict) and arguments.get("nms") is True
        if inside or literal(metadata.get("nms", "").capitalize()) is True:
            return True
        told = literal(metadata.get("end2end", "").capitalize())
        return told if isinstance(told, bool) else (True if self.head == "v10detect" else None)


Shaped = Callable[[Evidence], Layout | None]
"""The layout that a model's outputs have by their number and shape; None where they cannot have it."""
Against = Callable[[Evidence, Layout], str | None]
"""What speaks against a layout whose shape fits; None where nothing does."""


class LayoutKind(NamedTuple):
    """A kind of layout: `shaped` alone decides whether it can be forced, both together whether it is a candidate."""

    name: str
    summary: str
    shaped: Shaped
    against: Against


def seen(boxes: Floats) -> Floats:
    """The rows of `boxes` (their first four columns) that hold something: padding is all 0 or all -1."""
    return np.asarray(boxes[~((boxes[:, :4] == 0).all(axis=1) | (boxes[:, :4] == -1).all(axis=1))])


def best(rows: Floats, scores: NDArray[Any]) -> Floats:
    """The rows with the highest scores that hold something."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    return seen(rows[order][: 10 * _BEST])[:_BEST]


def ordered(rows: Floats, columns: Sequence[int] = (0, 1, 2, 3)) -> bool:
    """Whether nearly all rows could be left, top, right, bottom: `x2 >= x1` and `y2 >= y1`."""
    x1, y1, x2, y2 = (rows[:, c] for c in columns)
    return len(rows) == 0 or float(((x2 >= x1) & (y2 >= y1)).mean()) >= _MOSTLY


def boxes_inside(rows: Floats, *, scale: Size = (1, 1)) -> bool:
    """Whether nearly all rows, read as centre and size, are boxes that lie in the picture (with a margin)."""
    if not len(rows):
        return True
    half = rows[:, 2:4] / 2
    limit = np.array(scale, np.float64)
    low, high = rows[:, :2] - half, rows[:, :2] + half
    fine = (low >= -0.1 * limit).all(axis=1) & (high <= 1.1 * limit).all(axis=1) & (rows[:, 2:4] >= 0).all(axis=1)
    return float(fine.mean()) >= _MOSTLY


def shares(rows: Floats) -> bool:
    """Whether all coordinates could be shares of the picture: within 0..1, with a margin."""
    return bool(len(rows) == 0 or (np.abs(rows[:, :4]) <= 1.5).all())


def all_whole(values: NDArray[Any]) -> bool:
    """Whether all values are whole numbers: class numbers."""
    return bool((values == np.rint(values)).all())


def doubled(rows: Floats, scores: NDArray[Any], kinds: NDArray[Any]) -> bool:
    """Whether boxes of one class in one run lie on each other, as they do before suppression."""
    from videodag_cli.vision.boxes import iou_matrix

    chosen = np.flatnonzero((scores > 0.25) & (scores <= 1.001))[:200]
    if len(chosen) < 2:
        return False
    boxes, kinds = rows[chosen, :4], kinds[chosen]
    overlap = np.triu(iou_matrix(boxes, boxes), 1)
    return bool(((overlap > 0.8) & (kinds[:, None] == kinds[None, :])).any())
