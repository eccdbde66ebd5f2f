"""What detectors of every kind put out for known objects: boxes are constructed first, then encoded by each project's documented formula.

Every cell holds a candidate, as in a real network: near an object its box with a slip and a score that falls off, elsewhere a small box
with a low score. `expected` are the objects themselves, which stand exactly in the cell next to their centre.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

Array = NDArray[Any]
WIDTH, HEIGHT = 160, 96
STRIDES = (8, 16, 32)
OBJECTS = (
    (20.0, 12.0, 60.0, 52.0),
    (70.0, 30.0, 110.0, 80.0),
    (118.0, 10.0, 150.0, 70.0),
    (15.0, 60.0, 45.0, 90.0),
    (66.0, 4.0, 96.0, 26.0),
)
SCORES = (0.9, 0.8, 0.7, 0.6, 0.5)
SIZE = np.array((WIDTH, HEIGHT) * 2, np.float64)


@dataclass(frozen=True)
class Case:
    """Outputs of a model, and what else its file says."""

    outputs: Mapping[str, Array]
    metadata: Mapping[str, str] = field(default_factory=dict)
    more_inputs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def cells(strides: tuple[int, ...] = STRIDES, each: int = 1) -> tuple[Array, Array]:
    """(N, 2) column and row and (N,) stride of every cell; with three anchors for each, anchor by anchor within a stride."""
    places, steps = [], []
    for stride in strides:
        y, x = np.mgrid[0 : -(-HEIGHT // stride), 0 : -(-WIDTH // stride)]
        grid = np.stack([x.ravel(), y.ravel()], axis=1)
        for _ in range(each):
            places.append(grid)
            steps.append(np.full(len(grid), stride))
    return np.concatenate(places).astype(np.float64), np.concatenate(steps).astype(np.float64)


def candidates(classes: int, strides: tuple[int, ...] = STRIDES, each: int = 1) -> tuple[Array, Array, Array, Array]:
    """(N, 4) corners in pixels, (N, classes) scores, and the cells with their strides."""
    random = np.random.default_rng(5)
    places, steps = cells(strides, each)
    centers = (places + 0.5) * steps[:, None]
    half = steps[:, None] * (0.4 + random.random((len(steps), 2)))
    boxes = np.concatenate([centers - half, centers + half], axis=1)
    scores = (0.001 + 0.02 * random.random((len(steps), classes))) / classes
    for number, (box, score) in enumerate(zip(OBJECTS, SCORES, strict=True)):
        middle = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
        distance = np.abs(centers - middle).max(axis=1)
        near = np.flatnonzero(distance < 12)
        boxes[near] = np.array(box) + random.uniform(-1, 1, (len(near), 4))
        scores[near, number % classes] = score * 0.6
        exact = int(np.argmin(distance))
        boxes[exact], scores[exact, number % classes] = box, score
    return boxes, scores, places, steps


def centered(boxes: Array) -> Array:
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)


def f32(values: Any) -> Array:
    return np.asarray(values, np.float32)


def final(count: int, classes: int) -> tuple[Array, Array, Array]:
    """The objects, then weak boxes up to `count`: corners in pixels, scores, classes; best first and none on another."""
    random = np.random.default_rng(7)
    boxes = np.zeros((count, 4))
    boxes[: len(OBJECTS)] = OBJECTS
    for i in range(len(OBJECTS), count):
        x, y = random.uniform(0, WIDTH - 12), random.uniform(0, HEIGHT - 12)
        boxes[i] = (x, y, x + random.uniform(3, 10), y + random.uniform(3, 10))
    scores = np.concatenate([SCORES, np.sort(random.uniform(0.001, 0.05, count - len(OBJECTS)))[::-1]])
    kinds = np.concatenate([np.arange(len(OBJECTS)) % classes, random.integers(0, classes, count - len(OBJECTS))])
    return boxes, scores, kinds.astype(np.float64)


def logit(scores: Array) -> Array:
    return np.asarray(np.log(scores / (1 - scores)))


def yolov5(classes: int) -> Case:
    boxes, scores, _, _ = candidates(classes, each=3)
    objectness = np.sqrt(scores.max(axis=1, keepdims=True))
    return Case({"output0": f32(np.concatenate([centered(boxes), objectness, scores / objectness], axis=1)[None])})


def yolov8(classes: int) -> Case:
    boxes, scores, _, _ = candidates(classes)
    return Case({"output0": f32(np.concatenate([centered(boxes), scores], axis=1).T[None])})


def yolov8_rows(classes: int) -> Case:
    boxes, scores, _, _ = candidates(classes)
    return Case({"output0": f32(np.concatenate([centered(boxes), scores], axis=1)[None])})


def yolov6(classes: int) -> Case:
    boxes, scores, _, _ = candidates(classes)
    return Case({"outputs": f32(np.concatenate([centered(boxes), np.ones((len(boxes), 1)), scores], axis=1)[None])})


def yolox(classes: int) -> Case:
    boxes, scores, places, steps = candidates(classes)
    middle = centered(boxes)
    codes = np.concatenate([middle[:, :2] / steps[:, None] - places, np.log(middle[:, 2:] / steps[:, None])], axis=1)
    objectness = np.sqrt(scores.max(axis=1, keepdims=True))
    return Case({"output": f32(np.concatenate([codes, objectness, scores / objectness], axis=1)[None])})


def yolox_decoded(classes: int) -> Case:
    boxes, scores, _, _ = candidates(classes)
    objectness = np.sqrt(scores.max(axis=1, keepdims=True))
    return Case({"output": f32(np.concatenate([centered(boxes), objectness, scores / objectness], axis=1)[None])})


def nanodet(classes: int, strides: tuple[int, ...] = STRIDES, middle: float = 0.5, bins: int = 8) -> Case:
    """Each side's distance from the cell's place, in strides, as the expected value of a distribution over the bins."""
    places, steps = cells(strides)
    scores = np.full((len(steps), classes), 0.01)
    logits = np.full((len(steps), 4, bins), -20.0)
    logits[:, :, 1] = 0
    points = (places + middle) * steps[:, None]
    for number, (box, score) in enumerate(zip(OBJECTS, SCORES, strict=True)):
        center = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        at = int(np.argmin(np.abs(points - center).max(axis=1) + 1000 * (steps != 8)))
        distances = np.concatenate([points[at] - box[:2], np.array(box[2:]) - points[at]]) / steps[at]
        logits[at] = -20
        for side, distance in enumerate(distances):
            low = int(distance)
            logits[at, side, low] = np.log(max(1 - (distance - low), 1e-9))
            logits[at, side, low + 1] = np.log(max(distance - low, 1e-9))
        scores[at, number % classes] = score
    return Case({"output": f32(np.concatenate([scores, logits.reshape(len(steps), -1)], axis=1)[None])})


def nanodet_plus(classes: int) -> Case:
    return nanodet(classes, (8, 16, 32, 64), 0.0)


def end_to_end(classes: int) -> Case:
    boxes, scores, kinds = final(300, classes)
    return Case({"output0": f32(np.column_stack([boxes, scores, kinds])[None])})


def every_cell(classes: int, each: int = 1) -> Case:
    boxes, scores, _, _ = candidates(classes, each=each)
    return Case({"output": f32(np.column_stack([boxes, scores.max(axis=1), scores.argmax(axis=1)])[None])})


def every_cell_arrays(classes: int, *, middle: bool = False) -> Case:
    boxes, scores, _, _ = candidates(classes)
    boxes = centered(boxes) if middle else boxes
    best, kinds = scores.max(axis=1), scores.argmax(axis=1)
    return Case({"boxes": f32(boxes[None]), "scores": f32(best[None, :, None]), "classes": f32(kinds[None, :, None])})


def rt_detr_best(classes: int, *, head: bool = True) -> Case:
    boxes, scores, kinds = final(300, classes)
    table = np.column_stack([centered(boxes / SIZE), scores, kinds])[None]
    return Case({"output0": f32(table)}, {"task": "detect", "head": "RTDETRDecoder"} if head else {})


def queries(classes: int, count: int = 300) -> tuple[Array, Array]:
    """Corners in pixels and a score for every class."""
    boxes, scores, kinds = final(count, classes)
    every = 0.0001 + 0.0004 * np.random.default_rng(3).random((count, classes))
    every[np.arange(count), kinds.astype(int)] = scores
    order = np.random.default_rng(4).permutation(count)
    return boxes[order], every[order]


def rt_detr_table(classes: int) -> Case:
    boxes, scores = queries(classes)
    return Case({"output0": f32(np.concatenate([centered(boxes / SIZE), scores], axis=1)[None])})


def rt_detr(classes: int) -> Case:
    boxes, scores = queries(classes)
    return Case({"logits": f32(logit(scores)[None]), "pred_boxes": f32(centered(boxes / SIZE)[None])})


def rf_detr(classes: int) -> Case:
    """A model of one's own: one column more than classes, the last of them means nothing."""
    boxes, scores = queries(classes)
    scores = np.concatenate([scores, np.full((len(scores), 1), 0.002)], axis=1)
    return Case({"dets": f32(centered(boxes / SIZE)[None]), "labels": f32(logit(scores)[None])})


def detr(classes: int) -> Case:
    boxes, scores = queries(classes, 100)
    scores = scores / np.maximum(scores.sum(axis=1, keepdims=True) / 0.98, 1)
    rest = 1 - scores.sum(axis=1, keepdims=True)
    logits = np.log(np.concatenate([scores, rest], axis=1)) + 5
    return Case({"logits": f32(logits[None]), "pred_boxes": f32(centered(boxes / SIZE)[None])})


def yolo_nas(classes: int) -> Case:
    boxes, scores, _, _ = candidates(classes)
    return Case({"902": f32(boxes[None]), "894": f32(scores[None])})


def yolov4(classes: int) -> Case:
    boxes, scores, _, _ = candidates(classes, each=3)
    return Case({"boxes": f32((boxes / SIZE)[None, :, None]), "confs": f32(scores[None])})


def ssd_scores(classes: int) -> Case:
    boxes, scores, _, _ = candidates(classes)
    boxes, scores = boxes[:-7], scores[:-7]
    scores = scores / np.maximum(scores.sum(axis=1, keepdims=True) / 0.98, 1)
    every = np.concatenate([1 - scores.sum(axis=1, keepdims=True), scores], axis=1)
    return Case({"scores": f32(every[None]), "boxes": f32((boxes / SIZE)[None])}, options={"values": "signed"})


def yolov7_flat(classes: int) -> Case:
    boxes, scores, kinds = final(5, classes)
    return Case({"output": f32(np.column_stack([np.zeros(5), boxes, kinds, scores]))})


def yolo_nas_flat(classes: int) -> Case:
    boxes, scores, kinds = final(5, classes)
    return Case({"graph2_flat_predictions": f32(np.column_stack([np.zeros(5), boxes, scores, kinds]))})


def yolo_nas_batch(classes: int) -> Case:
    boxes, scores, kinds = (np.concatenate([v, np.full((15, *v.shape[1:]), -1)]) for v in final(5, classes))
    return Case(
        {
            "num_predictions": np.array([[5]], np.int64),
            "pred_boxes": f32(boxes[None]),
            "pred_scores": f32(scores[None]),
            "pred_classes": kinds[None].astype(np.int64),
        }
    )


def num_dets(classes: int) -> Case:
    boxes, scores, kinds = final(20, classes)
    return Case(
        {
            "num_dets": np.array([[5]], np.int32),
            "det_boxes": f32(boxes[None]),
            "det_scores": f32(scores[None]),
            "det_classes": kinds[None].astype(np.int32),
        }
    )


def sized(classes: int) -> Case:
    boxes, scores, kinds = final(300, classes)
    outputs = {"labels": kinds[None].astype(np.int64), "boxes": f32(boxes[None]), "scores": f32(scores[None])}
    return Case(outputs, more_inputs={"orig_target_sizes": (TensorProto.INT64, ("n", 2))})


def mmdeploy(classes: int) -> Case:
    boxes, scores, kinds = final(100, classes)
    outputs = {"dets": f32(np.column_stack([boxes, scores])[None]), "labels": kinds[None].astype(np.int64)}
    return Case(outputs, options={"values": "coco_bgr", "channels": "bgr"})


def torchvision(classes: int) -> Case:
    boxes, scores, kinds = final(20, classes)
    return Case({"boxes": f32(boxes), "labels": kinds.astype(np.int64) + 1, "scores": f32(scores)})


def tensorflow(classes: int) -> Case:
    boxes, scores, kinds = final(20, classes)
    return Case(
        {
            "detection_boxes": f32((boxes / SIZE)[None][..., [1, 0, 3, 2]]),
            "detection_classes": f32(kinds[None] + 1),
            "detection_scores": f32(scores[None]),
            "num_detections": f32([20]),
        },
        options={"values": "unit"},
    )


def paddle(classes: int) -> Case:
    boxes, scores, kinds = final(5, classes)
    more = {"scale_factor": (TensorProto.FLOAT, (1, 2))}
    outputs = {
        "multiclass_nms3_0.tmp_0": f32(np.column_stack([kinds, scores, boxes])),
        "multiclass_nms3_0.tmp_2": np.array([5], np.int32),
    }
    return Case(outputs, more_inputs=more, options={"values": "unit"})


CASES: dict[str, Callable[[int], Case]] = {
    "yolov5": yolov5,
    "yolov6": yolov6,
    "yolov8": yolov8,
    "yolov8-rows": yolov8_rows,
    "yolox": yolox,
    "yolox-decoded": yolox_decoded,
    "nanodet": lambda classes: nanodet(classes, bins=11),
    "nanodet-plus": nanodet_plus,
    "end-to-end": end_to_end,
    "every-cell": every_cell,
    "rt-detr-best": rt_detr_best,
    "rt-detr-table": rt_detr_table,
    "rt-detr": rt_detr,
    "rf-detr": rf_detr,
    "detr": detr,
    "yolo-nas": yolo_nas,
    "yolov4": yolov4,
    "ssd-scores": ssd_scores,
    "yolov7-flat": yolov7_flat,
    "yolo-nas-flat": yolo_nas_flat,
    "yolo-nas-batch": yolo_nas_batch,
    "num-dets": num_dets,
    "rt-detr-sized": sized,
    "mmdeploy": mmdeploy,
    "torchvision": torchvision,
    "tensorflow": tensorflow,
    "paddle": paddle,
    "every-cell-arrays": every_cell_arrays,
}
"""Layout -> what a model of so many classes puts out."""
