"""A detector from an ONNX file: pictures in, boxes in the pictures' pixels out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from videodag_cli.data import Affine, Floats, Image, Ints
from videodag_cli.errors import printable
from videodag_cli.vision.boxes import nms, turned_nms
from videodag_cli.vision.onnx.bridges import without_bridges
from videodag_cli.vision.onnx.description import From, LabelsFrom, ModelDescription
from videodag_cli.vision.onnx.labels import BACKGROUND
from videodag_cli.vision.onnx.layouts.base import Candidates, Layout
from videodag_cli.vision.onnx.layouts.extras import Outputs
from videodag_cli.vision.onnx.layouts.tasks import TASK_WORDS
from videodag_cli.vision.onnx.model_facts import ModelFacts, Size
from videodag_cli.vision.onnx.model_input import run_model
from videodag_cli.vision.onnx.preprocessing import Fit, InputFormat, Values, packed, placed
from videodag_cli.vision.onnx.scores import ScoreWatch, check_boxes, check_outputs, checked_scores
from videodag_cli.vision.onnx.tiles import Grid, Parts, TileBounds, cut_sides, joined

TileBoxes = tuple[int, TileBounds, Candidates]
"""A tile's number, its place in the picture, and what was found in it."""

MAX_CANDIDATES = 3000
"""Best candidates of a picture that go into suppression."""


@dataclass(frozen=True)
class InputChoice:
    """What the user says about the network's input; None leaves it to the model."""

    size: Size | None = None
    fit: Fit | None = None
    channels: Literal["rgb", "bgr"] | None = None
    values: Values | None = None


@dataclass(frozen=True, eq=False)
class DetectionRules:
    """Which of a network's candidates count."""

    confidence: float
    iou: float
    alike: Ints | None = None
    """Class number -> number of the group that suppresses itself; None: each class for itself."""
    bridges: bool = False
    """Drop boxes that lie between two better ones."""
    class_agnostic: bool = False
    """Boxes suppress each other whatever their classes are."""
    grid: Grid = field(default_factory=Grid)


@dataclass(frozen=True, eq=False)
class Detector:
    """An opened model. Shares its session with every other detector of the same file; usable from several threads at once."""

    name: str
    digest: str
    facts: ModelFacts
    layout: Layout
    form: InputFormat
    size: Size
    """Width and height of the network's input."""
    labels: tuple[str, ...]
    labels_from: LabelsFrom
    choice: InputChoice
    """What the user said about the input."""
    batch_size: int
    """Pictures that may go in at once with the same results as one by one."""
    layout_given: bool
    """The user named the layout."""
    session: Any = field(repr=False)

    def label(self, class_id: int) -> str:
        position = class_id - self._label_shift
        return self.labels[position] if 0 <= position < len(self.labels) else f"class {class_id}"

    @property
    def _label_shift(self) -> int:
        """How much smaller a label's place is than its class number: 1 where the labels leave out the background."""
        lacks_background = not self.labels or self.labels[0].casefold() not in BACKGROUND
        return self.layout.first_class if lacks_background else 0

    @property
    def description(self) -> ModelDescription:
        """What the file was read as, and why."""
        return ModelDescription(
            file=self.name,
            sha256=self.digest,
            layout=self.layout.name,
            layout_from="param" if self.layout_given else "evidence",
            reasons=self.layout.reasons,
            width=self.size[0],
            height=self.size[1],
            fixed_size=None not in self.facts.fixed_size,
            size_from=self._size_from,
            dtype=self.facts.picture.dtype,
            channels=self.form.channels,
            channels_from="layout" if self.choice.channels is None else "param",
            values=self.form.values,
            values_from="layout" if self.choice.values is None else "param",
            fit=self.form.fit,
            fit_from="layout" if self.choice.fit is None else "param",
            task=TASK_WORDS["detect" if self.layout.extra is None else self.layout.extra.task],
            activation=self.layout.activation,
            suppressed=self.layout.suppressed,
            batch_size=self.batch_size,
            fixed_batch=self.facts.fixed_batch,
            class_count=self.layout.class_count,
            labels=self.labels,
            labels_from=self.labels_from,
        )

    @property
    def _size_from(self) -> From:
        if None not in self.facts.fixed_size:
            return "file"
        if self.choice.size is not None:
            return "param"
        return "default" if self.facts.trained_size is None else "metadata"

    def class_ids(self, positions: frozenset[int]) -> Ints:
        """Class numbers of labels at these places."""
        return np.array(sorted(p + self._label_shift for p in positions), np.int64)

    def detect(
        self, images: Sequence[Image], rules: DetectionRules, watch: ScoreWatch | None = None
    ) -> list[Candidates]:
        """Boxes of each picture, best first, clipped to it. Raises `ModelError` for numbers that cannot be scores or boxes."""
        crops: list[Image] = []
        places: list[tuple[int, int, TileBounds]] = []
        for number, image in enumerate(images):
            for index, tile in enumerate(rules.grid.tiles(image.shape[1], image.shape[0])):
                left, top, right, bottom = tile
                crops.append(image[top:bottom, left:right])
                places.append((number, index, tile))
        parts: list[list[TileBoxes]] = [[] for _ in images]
        for (number, index, tile), boxes in zip(places, self._found(crops, rules, watch), strict=True):
            parts[number].append((index, tile, boxes))
        if watch is not None:
            watch.pictures += len(images)
        return [self._one(image, found, rules) for image, found in zip(images, parts, strict=True)]

    def _one(self, image: Image, parts: list[TileBoxes], rules: DetectionRules) -> Candidates:
        """What the tiles of a picture found, as one."""
        height, width = image.shape[:2]
        if len(parts) == 1:
            found = parts[0][2]
        else:
            shifted, tile_of, cut = [], [], []
            for index, tile, boxes in parts:
                moved = boxes.xyxy + np.array((tile[0], tile[1]) * 2, np.float64)
                shifted.append(boxes._replace(xyxy=moved))
                tile_of.append(np.full(len(moved), index, np.int64))
                cut.append(cut_sides(moved, tile, width, height))
            every = Candidates(
                np.concatenate([b.xyxy for b in shifted]),
                np.concatenate([b.scores for b in shifted]),
                np.concatenate([b.class_ids for b in shifted]),
            )
            groups = groups_of(every, rules)
            found = joined(Parts(every, np.concatenate(tile_of), np.concatenate(cut), groups), iou=rules.iou)
        if rules.bridges:
            found = found.chosen(without_bridges(found.xyxy, groups_of(found, rules)))
        return found

    def _suppressed(self, boxes: Candidates, rules: DetectionRules) -> Candidates:
        if self.layout.suppressed and rules.alike is None and not rules.class_agnostic:
            return boxes.chosen(np.argsort(-boxes.scores, kind="stable"))
        if boxes.details is not None and boxes.details.corners is not None:
            corners = boxes.details.corners
            return boxes.chosen(turned_nms(corners, boxes.scores, iou=rules.iou, groups=groups_of(boxes, rules)))
        return boxes.chosen(nms(boxes.xyxy, boxes.scores, iou=rules.iou, groups=groups_of(boxes, rules)))

    def _found(self, images: Sequence[Image], rules: DetectionRules, watch: ScoreWatch | None) -> list[Candidates]:
        """What the network says about each picture, in the picture's pixels, clipped, best first and suppressed."""
        found: list[Candidates] = []
        for start in range(0, len(images), self.batch_size):
            chunk = images[start : start + self.batch_size]
            canvases = [placed(image, self.size, self.form) for image in chunk]
            outputs = self.run([canvas for canvas, _ in canvases])
            check_outputs(outputs, self._shown)
            for row, (image, (_, back)) in enumerate(zip(chunk, canvases, strict=True)):
                if watch is not None and watch.wants_more:
                    watch.saw(self._all_scores(outputs, row))
                boxes = self.layout.candidates(outputs, row, self.size, rules.confidence)
                boxes = boxes._replace(scores=checked_scores(boxes.scores, self._shown))
                check_boxes(boxes.xyxy, self._shown)
                if self.layout.extra is None:
                    found.append(self._in_picture(boxes, back, image, rules))
                else:
                    found.append(self._detailed(boxes, outputs, row, back, image, rules))
        return found

    def _detailed(
        self, boxes: Candidates, outputs: Outputs, row: int, back: Affine, image: Image, rules: DetectionRules
    ) -> Candidates:
        """The same with what the model says beside the boxes. Turned boxes are suppressed as such, and their bounds are clipped."""
        extra, rows, inside = self.layout.extra, boxes.rows, boxes.xyxy
        assert extra is not None
        assert rows is not None
        if extra.task == "obb":
            details = extra.details(outputs, row, rows, inside, self.size)
            assert details.corners is not None
            bounds = np.concatenate([details.corners.min(axis=1), details.corners.max(axis=1)], axis=1)
            return self._in_picture(boxes._replace(xyxy=bounds, details=details.mapped(back)), back, image, rules)
        kept = self._in_picture(boxes._replace(rows=np.arange(len(rows))), back, image, rules)
        assert kept.rows is not None
        details = extra.details(outputs, row, rows[kept.rows], inside[kept.rows], self.size)
        return kept._replace(details=details.mapped(back))

    def _in_picture(self, boxes: Candidates, back: Affine, image: Image, rules: DetectionRules) -> Candidates:
        """The best candidates mapped to the picture, suppressed and clipped; what lies outside is dropped."""
        with np.errstate(over="ignore"):
            boxes = boxes._replace(xyxy=back.boxes(boxes.xyxy))
        if self.layout.clips_first:
            return self._suppressed(_best(_clipped(boxes, image)), rules)
        return _clipped(self._suppressed(_best(boxes), rules), image)

    def _all_scores(self, outputs: Outputs, row: int) -> Floats:
        """The scores of every candidate, whatever the threshold; outputs that are final may be filled up with negative ones."""
        every = self.layout.candidates(outputs, row, self.size, -np.inf)
        return checked_scores(every.scores, self._shown, negative=self.layout.suppressed)

    @property
    def _shown(self) -> str:
        return printable(self.name, limit=80)

    def run(self, canvases: Sequence[Image]) -> Outputs:
        """The network's outputs for pictures of its input size."""
        tensors = [
            packed(c, self.form, dtype=self.facts.picture.dtype, channels_first=self.facts.channels_first)
            for c in canvases
        ]
        picture = tensors[0] if len(tensors) == 1 else np.concatenate(tensors)
        return run_model(self.session, self.facts, picture, self.size)


def groups_of(boxes: Candidates, rules: DetectionRules) -> Ints:
    """(N,) boxes of one group suppress each other."""
    alike = rules.alike
    if rules.class_agnostic:
        return np.zeros(len(boxes.scores), np.int64)
    if alike is None:
        return boxes.class_ids
    inside = boxes.class_ids < len(alike)
    return np.asarray(np.where(inside, alike[np.where(inside, boxes.class_ids, 0)], boxes.class_ids), np.int64)


def _clipped(boxes: Candidates, image: Image) -> Candidates:
    """Clipped to the picture; what lies outside is dropped."""
    height, width = image.shape[:2]
    xyxy = np.clip(boxes.xyxy, 0.0, np.array((width, height) * 2, np.float64))
    valid = (xyxy[:, 2] - xyxy[:, 0] >= 1.0) & (xyxy[:, 3] - xyxy[:, 1] >= 1.0)
    return boxes._replace(xyxy=xyxy).chosen(valid)


def _best(boxes: Candidates) -> Candidates:
    """The candidates that go into suppression, in their order."""
    if len(boxes.scores) <= MAX_CANDIDATES:
        return boxes
    return boxes.chosen(np.sort(np.argsort(-boxes.scores, kind="stable")[:MAX_CANDIDATES]))
