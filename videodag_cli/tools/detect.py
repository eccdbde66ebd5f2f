"""Objects and faces by neural networks: those that come with the package, or an ONNX file of the user's."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field

from videodag_cli.data import Detections, Faces, Floats, Frame, Points
from videodag_cli.errors import ParamError, printable
from videodag_cli.tools.network_params import (
    MODEL_FOLDER,
    LabelsParam,
    ProviderParam,
    SizeText,
    as_text,
    label_names,
    parse_picture_size,
)
from videodag_cli.tools.params import Names, Share
from videodag_cli.toolspec import tool
from videodag_cli.vision.masks import InstanceMask
from videodag_cli.vision.onnx.builtin import OBJECT_MODELS, alike_map
from videodag_cli.vision.onnx.description import Activation, ModelDescription
from videodag_cli.vision.onnx.detector import DetectionRules, InputChoice
from videodag_cli.vision.onnx.detector_opening import open_detector
from videodag_cli.vision.onnx.faces import FaceDetector, grown
from videodag_cli.vision.onnx.labels import class_filter
from videodag_cli.vision.onnx.layouts import LAYOUTS, Reading
from videodag_cli.vision.onnx.layouts.base import Background, BoxForm, Candidates
from videodag_cli.vision.onnx.layouts.extras import Details, MaskGrid, Task
from videodag_cli.vision.onnx.layouts.tasks import TASK_WORDS
from videodag_cli.vision.onnx.preprocessing import Fit, Values
from videodag_cli.vision.onnx.scores import ScoreWatch, dead_remarks
from videodag_cli.vision.onnx.session import CPU
from videodag_cli.vision.onnx.tiles import parse_grid

if TYPE_CHECKING:
    from videodag_cli.vision.onnx.backs_of_heads import BacksOfHeads

CONFIDENCE, IOU = 0.25, 0.5
"""Thresholds for a model of the user's."""


def _layout(value: str) -> str:
    if value not in LAYOUTS:
        close = difflib.get_close_matches(value, LAYOUTS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown layout{hint} known: {', '.join(LAYOUTS)}")
    return value


LayoutName = Annotated[str, AfterValidator(_layout), Field(json_schema_extra={"enum": list(LAYOUTS)})]

PointsText = Annotated[str, BeforeValidator(as_text), Field(pattern=r"^[0-9]{1,3}(x[23])?$")]


@tool(version=3, stateless=True, batch_size=4, cache=True)
class Objects:
    """Objects found by a neural network, best first.

    A model file may be YOLOv5, YOLOv6, YOLOv8, YOLO11, YOLOX, NanoDet, DETR, RT-DETR or SSD, or anything exported with suppression
    inside; what it is follows from its outputs and metadata. Where a model outputs more than boxes, rows also have `keypoints`, `mask`
    (COCO run lengths) or `corners` (of a rotated box, clockwise from its own top left; `xyxy` are their bounds).
    """

    def __init__(
        self,
        *,
        model: Annotated[
            Literal["people", "vehicles"] | Path,
            MODEL_FOLDER,
            Field(
                description="an ONNX file, or people (NanoDet-g: the 80 classes of COCO, best for people) "
                "or vehicles (SSD MobileNet: 23 classes of Open Images, best for cars)"
            ),
        ] = "people",
        labels: Annotated[
            LabelsParam,
            Field(
                description="class names: cat,dog (a single one as cat,), a list, coco or coco91, or a file: one name per line, JSON, "
                "COCO annotations, or the data.yaml of the training; default: the model's metadata"
            ),
        ] = None,
        confidence: Annotated[
            Share | None, Field(description="lowest score of a box; default: people 0.45, vehicles 0.4, a file 0.25")
        ] = None,
        iou: Annotated[
            Share | None,
            Field(
                description="overlap (IoU) above which the weaker of two boxes is dropped; default: people 0.6, vehicles 0.5, a file 0.5"
            ),
        ] = None,
        class_agnostic: Annotated[
            bool, Field(description="let boxes of different classes suppress each other: one box per object")
        ] = False,
        classes: Annotated[Names | None, Field(description="keep only these classes, by name: person,car")] = None,
        max_detections: Annotated[int, Field(ge=1, description="largest number of boxes; the best are kept")] = 300,
        tiles: Annotated[
            str,
            Field(
                description="look at rows x columns of overlapping tiles (1x2), for objects that are small in the picture"
            ),
        ] = "1x1",
        overlap: Annotated[
            float, Field(ge=0, le=0.9, description="share of a tile that its neighbour covers too")
        ] = 0.2,
        provider: ProviderParam = CPU,
        size: Annotated[
            SizeText | None,
            Field(
                description="size of the network's input in pixels, such as 640 or 640x384 (width x height), for models that leave it open"
            ),
        ] = None,
        fit: Annotated[
            Fit | None,
            Field(
                description="how the picture is fitted into the network's input; default: as usual for this kind of model"
            ),
        ] = None,
        channels: Annotated[
            Literal["rgb", "bgr"] | None,
            Field(description="order of the colours; default: as usual for this kind of model"),
        ] = None,
        values: Annotated[
            Values | None,
            Field(
                description="range of the pixel values: unit 0 to 1, byte 0 to 255, signed -1 to 1, or normalised; "
                "default: as usual for this kind of model"
            ),
        ] = None,
        layout: Annotated[
            LayoutName | None,
            Field(description="how the model's outputs are laid out, where its file does not decide it"),
        ] = None,
        activation: Annotated[
            Activation | None,
            Field(description="what turns the model's scores into probabilities; default: depends on the layout"),
        ] = None,
        boxes: Annotated[
            BoxForm | None,
            Field(
                description="corners: left, top, right, bottom; center: centre, width, height; default: depends on the layout"
            ),
        ] = None,
        background: Annotated[
            Background | None,
            Field(description="the column of scores for the background; default: depends on the layout"),
        ] = None,
        suppressed: Annotated[
            bool | None,
            Field(description="whether the model drops overlapping boxes itself; default: depends on the layout"),
        ] = None,
        task: Annotated[
            Task | None,
            Field(
                description="what comes beside boxes: detect nothing, pose key points, segment masks, obb the angle of turned boxes; "
                "default: by the model's metadata and outputs"
            ),
        ] = None,
        points: Annotated[
            PointsText | None,
            Field(
                description="number of key points of a pose model, and of numbers for each: 17x3 (x, y, visibility) or 17x2; "
                "default: the model's metadata",
            ),
        ] = None,
        masks: Annotated[
            MaskGrid | None,
            Field(
                description="what a model's masks cover, the whole picture or the box of each, where their size does not say"
            ),
        ] = None,
    ) -> None:
        self._limit = max_detections
        self._is_shipped = isinstance(model, str)
        self._labels_file = printable(labels.name) if isinstance(labels, Path) else None
        reading = Reading(layout, activation, boxes, background, suppressed, task, _parse_points(points), masks)
        choice = InputChoice(parse_picture_size(size), fit, channels, values)
        if isinstance(model, str):
            shipped = OBJECT_MODELS[model]
            if reading != Reading():
                raise ParamError(
                    f"the model {model!r} comes with its layout; layout, task and their details are only for model files"
                )
            if labels is not None:
                raise ParamError(
                    f"param labels: the model {model!r} has its own names; labels are only for model files"
                )
            self._detector = open_detector(
                shipped.path(),
                labels=shipped.names(),
                choice=choice,
                reading=Reading(shipped.layout),
                provider=provider,
            )
            rules = DetectionRules(
                shipped.confidence, shipped.iou, alike_map(self._detector.labels, shipped.alike), shipped.bridges
            )
        else:
            self._detector = open_detector(
                model, labels=label_names(labels), choice=choice, reading=reading, provider=provider
            )
            rules = DetectionRules(CONFIDENCE, IOU)
        grid, extra = parse_grid(tiles, overlap), self._detector.layout.extra
        if extra is not None and grid.count > 1:
            raise ParamError(
                f"param tiles: the model outputs {TASK_WORDS[extra.task]}, which cannot be joined across tiles; crop with image.crop"
            )
        self._rules = replace(
            rules,
            confidence=rules.confidence if confidence is None else confidence,
            iou=rules.iou if iou is None else iou,
            grid=grid,
            class_agnostic=class_agnostic,
        )
        self._watch = ScoreWatch()
        self._classes = None
        if classes:
            self._classes = self._detector.class_ids(class_filter(classes, self._detector.labels))
        self.batch_size = self._detector.batch_size

    def __call__(self, frames: list[Frame]) -> list[Detections]:
        found = self._detector.detect([frame.image for frame in frames], self._rules, self._watch)
        return [self._detections(frame, boxes) for frame, boxes in zip(frames, found, strict=True)]

    def describe(self) -> dict[str, str]:
        """What the model is, for `pipelines validate --load`."""
        return self.description.rows()

    @property
    def description(self) -> ModelDescription:
        """What the model was read as, with its input, labels and reasons."""
        description = self._detector.description
        if self._is_shipped:
            return description.model_copy(update={"layout_from": "shipped", "labels_from": "shipped"})
        return description.model_copy(update={"labels_file": self._labels_file})

    @staticmethod
    def remarks(instances: Sequence[Objects]) -> list[str]:
        """A model that finds nothing at all, in no frame of the run."""
        watches = [instance._watch for instance in instances]
        return dead_remarks(watches, printable(instances[0]._detector.name, limit=80)) if instances else []

    def _detections(self, frame: Frame, boxes: Candidates) -> Detections:
        rows = np.arange(len(boxes.scores))
        if self._classes is not None:
            rows = rows[np.isin(boxes.class_ids, self._classes)]
        boxes = boxes.chosen(rows[: self._limit])
        details = boxes.details or Details()
        columns: dict[str, tuple[Any, ...]] = {}
        if details.corners is not None:
            columns["corners"] = tuple(Points(corners) for corners in details.corners)
        if details.masks is not None:
            limits = boxes.xyxy if details.in_box else [None] * len(boxes.scores)
            columns["mask"] = tuple(
                InstanceMask.on(frame, *grid, limit) for grid, limit in zip(details.masks, limits, strict=True)
            )
        return Detections(
            xyxy=boxes.xyxy,
            confidence=boxes.scores,
            class_id=boxes.class_ids,
            class_name=tuple(self._detector.label(int(i)) for i in boxes.class_ids),
            keypoints=details.points,
            visibility=details.visibility,
            data=columns,
        )


@tool(version=1, stateless=True, cache=True, id="faces")
class FaceFinder:
    """Faces with six key points (right eye, left eye, nose tip, middle of the mouth, right ear, left ear), best first.

    With detections as a second input, also looks inside each of their boxes, so that faces are found that are small in the picture:
    feed it people. CenterFace has five key points: left eye, right eye, nose tip, left and right corner of the mouth, as in the picture.
    """

    def __init__(
        self,
        *,
        model: Annotated[
            Literal["short", "full"] | Path,
            MODEL_FOLDER,
            Field(
                description="full: also faces further away; short: close faces, less work; or an ONNX file of CenterFace, which is slower "
                "and takes no heads from behind for faces"
            ),
        ] = "full",
        confidence: Annotated[Share, Field(description="lowest score of a face")] = 0.5,
        iou: Annotated[Share, Field(description="overlap (IoU) above which the weaker of two boxes is dropped")] = 0.3,
        margin: Annotated[
            float,
            Field(
                ge=0,
                le=2,
                description="how far a detection's box is grown before looking inside, as a share of its sides",
            ),
        ] = 0.1,
        whole_frame: Annotated[
            bool,
            Field(description="where detections are given, look at the whole picture as well as inside their boxes"),
        ] = True,
        max_detections: Annotated[int, Field(ge=1, description="largest number of boxes; the best are kept")] = 300,
        backs: Annotated[
            Literal["keep", "drop"],
            Field(
                description="drop faces of people who are seen from behind, by the pose of the person whose box holds the face: one more "
                "network for each person with a face"
            ),
        ] = "keep",
        provider: ProviderParam = CPU,
    ) -> None:
        self._detector = FaceDetector(model, provider=provider)
        self._backs: BacksOfHeads | None = None
        if backs == "drop":
            from videodag_cli.vision.onnx.backs_of_heads import BacksOfHeads

            self._backs = BacksOfHeads(provider=provider)
        self._confidence, self._iou = confidence, iou
        self._margin, self._limit, self._whole_frame = margin, max_detections, whole_frame

    def __call__(self, frame: Frame, detections: Detections | None = None) -> Faces:
        regions: list[Floats] = []
        if detections is None or self._whole_frame:
            regions.append(np.array((0, 0, frame.width, frame.height), np.float64))
        if detections is not None:
            regions += [grown(box, self._margin) for box in detections.xyxy]
        found = self._detector.detect(frame.image, regions, confidence=self._confidence, iou=self._iou)
        if self._backs is not None and detections is not None and len(found.scores) and len(detections):
            found = found.chosen(~self._backs.among(frame.image, found.xyxy, detections.xyxy))
        count = min(len(found.scores), self._limit)
        return Faces(
            Detections(
                xyxy=found.xyxy[:count],
                confidence=found.scores[:count],
                class_id=np.zeros(count, np.int64),
                class_name=("face",) * count,
                keypoints=found.keypoints[:count],
            )
        )

    def describe(self) -> dict[str, str]:
        """What the model is, for `pipelines validate --load`."""
        return self._detector.describe()


def _parse_points(text: str | None) -> tuple[int, int | None] | None:
    """`17x3` -> (17, 3), `17` -> (17, None)."""
    if text is None:
        return None
    count, _, each = text.partition("x")
    return int(count), int(each) if each else None
