"""Key points, masks and turned boxes from small models whose outputs are constructed by each project's documented formula.

The picture is 200x100, and a network of 128x96 sees it letterboxed (scale 0.64, 16 grey rows above) or stretched (0.64, 0.96).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from faster_coco_eval.core import mask as coco
from numpy.typing import NDArray

from tests.onnx_models import constant_model
from videodag_cli import Frame
from videodag_cli.errors import ParamError
from videodag_cli.lines import plain
from videodag_cli.tools.detect import Objects

Array = NDArray[Any]
WIDTH, HEIGHT = 128, 96
CELLS = 16 * 12 + 8 * 6 + 4 * 3
NAMES = {"names": "{0: 'cat', 1: 'dog'}"}
BOXES = np.array([(50.0, 25.0, 100.0, 75.0), (125.0, 50.0, 175.0, 100.0)])
"""In the picture."""
POINTS = np.array([[(60.0, 30.0), (70.0, 40.0), (95.0, 70.0)], [(130.0, 55.0), (150.0, 60.0), (170.0, 95.0)]])
SEEN = np.array([(1.0, 0.5, 0.25), (0.0, 0.75, 1.0)])


def frame() -> Frame:
    return Frame.from_image(np.full((100, 200, 3), 90, np.uint8))


def lettered(points: Array) -> Array:
    return np.asarray(0.64 * points + np.resize((0, 16), points.shape[-1]))


def stretched(points: Array) -> Array:
    return np.asarray(points * np.resize((0.64, 0.96), points.shape[-1]))


def cxcywh(xyxy: Array) -> Array:
    return np.concatenate([(xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]], axis=1)


def f32(values: Any) -> Array:
    return np.asarray(values, np.float32)


def raw(behind: Array, *, objectness: bool = False, each: int = 1) -> Array:
    """(N, 4 + 2 + ...) one row for each cell: a cat and a dog in cells 20 and 50, weaker doubles of them beside."""
    table = np.zeros((CELLS * each, 4 + objectness + 2 + behind.shape[1]))
    table[:, :4], table[:, -behind.shape[1] :] = (60, 60, 8, 8), behind[0]
    for cell, (box, more, kind) in enumerate(zip(cxcywh(lettered(BOXES)), behind, (0, 1), strict=True)):
        for place, score in ((20 + 30 * cell, 0.8), (21 + 30 * cell, 0.6)):
            scores = np.eye(2)[kind] * score + 0.01
            table[place] = [*box, *((1.0,) if objectness else ()), *scores, *more]
    return table


def final(behind: Array) -> Array:
    """(300, 6 + ...) corners, score, class, what is behind; chosen already."""
    table = np.zeros((300, 6 + behind.shape[1]))
    table[0] = [*lettered(BOXES)[0], 0.81, 0, *behind[0]]
    table[1] = [*lettered(BOXES)[1], 0.81, 1, *behind[1]]
    return table


def found(path: Path, **params: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = plain(Objects(model=path, **params)([frame()])[0])
    return sorted(rows, key=lambda row: row["class_id"])


def point_numbers(each: int) -> Array:
    numbers = lettered(POINTS)
    if each == 3:
        numbers = np.concatenate([numbers, SEEN[..., None]], axis=2)
    return numbers.reshape(2, -1)


def pose_yolov8(path: Path, each: int = 3, metadata: dict[str, str] | None = None) -> Path:
    told = {"task": "pose", "kpt_shape": f"[3, {each}]"} if metadata is None else metadata
    return constant_model(
        path, {"output0": f32(raw(point_numbers(each)).T[None])}, shape=(1, 3, HEIGHT, WIDTH), metadata=NAMES | told
    )


def pose_final(path: Path) -> Path:
    told = {"task": "pose", "kpt_shape": "[3, 3]", "end2end": "True"}
    return constant_model(
        path, {"output0": f32(final(point_numbers(3))[None])}, shape=(1, 3, HEIGHT, WIDTH), metadata=NAMES | told
    )


@pytest.mark.parametrize("make", [pose_yolov8, pose_final])
def test_key_points_of_a_pose_model_lie_in_the_picture(make: Callable[[Path], Path], tmp_path: Path) -> None:
    rows = found(make(tmp_path / "pose.onnx"))
    assert [row["class_name"] for row in rows] == ["cat", "dog"]
    for row, box, points, seen in zip(rows, BOXES, POINTS, SEEN, strict=True):
        assert row["xyxy"] == pytest.approx(box, abs=0.01)
        assert np.array(row["keypoints"]) == pytest.approx(np.column_stack([points, seen]), abs=0.01)


def test_key_points_without_visibility_are_pairs(tmp_path: Path) -> None:
    rows = found(pose_yolov8(tmp_path / "pose.onnx", each=2))
    assert np.array([row["keypoints"] for row in rows]) == pytest.approx(POINTS, abs=0.01)


def test_what_a_pose_model_does_not_say_of_itself_is_asked_for(tmp_path: Path) -> None:
    silent = pose_yolov8(tmp_path / "pose.onnx", metadata={})
    with pytest.raises(ParamError, match=r"looks like pose estimation.*set param task=pose"):
        Objects(model=silent)
    with pytest.raises(ParamError, match="5 key points of 3 numbers do not go into rows of 15"):
        Objects(model=silent, task="pose", points="5x3")
    for params in ({"task": "pose"}, {"task": "pose", "points": "3"}, {"task": "pose", "points": "3x3"}):
        assert [len(row["keypoints"]) for row in found(silent, **params)] == [3, 3]
    with pytest.raises(ParamError, match="param points goes with task=pose"):
        Objects(model=silent, points="3x3")
    with pytest.raises(ParamError, match="its metadata says 3 key points of 3 numbers"):
        Objects(model=pose_yolov8(tmp_path / "told.onnx"), points="17")


def discs(size: tuple[int, int], places: Array, radius: float) -> Array:
    """(N, h, w) heights above 0 within a disc, falling by 1 for each cell away from its border."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]] + 0.5
    return np.stack([radius - np.hypot(x - cx, y - cy) for cx, cy in places])


CENTERS = (BOXES[:, :2] + BOXES[:, 2:]) / 2
QUARTER = (WIDTH // 4, HEIGHT // 4)


def upsampled(heights: Array, fit: Callable[[Array], Array]) -> Array:
    """(N, 100, 200) what OpenCV makes of the maps at the network's size, cut to the picture and put into its pixels."""
    masks = []
    for height in heights:
        large = cv2.resize(height.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
        ends = fit(np.array([[0.0, 0.0], [200.0, 100.0]])).round().astype(int)
        part = np.ascontiguousarray(large[ends[0, 1] : ends[1, 1], ends[0, 0] : ends[1, 0]])
        masks.append(cv2.resize(part, (200, 100), interpolation=cv2.INTER_LINEAR) > 0)
    return np.array(masks)


def masks_of(rows: list[dict[str, Any]]) -> Array:
    return np.array([coco.decode(row["mask"]).astype(bool) for row in rows])


def close(masks: Array, expected: Array) -> bool:
    """The same but for pixels of the rim: the expected ones went through the network's size first."""
    shared, union = (masks & expected).sum(axis=(1, 2)), (masks | expected).sum(axis=(1, 2))
    return masks.shape == expected.shape and bool((shared / union > 0.96).all())


def prototypes() -> tuple[Array, Array]:
    """(5, h, w) pictures and (2, 5) coefficients whose sums are two discs."""
    heights = discs(QUARTER, lettered(CENTERS) / 4, 4.0)
    pictures = np.concatenate([heights[:1] * 2, heights[1:], np.ones((1, *heights.shape[1:])), heights])
    return pictures, np.array([(0.25, 0, 0.0, 0.5, 0), (0, 0.5, 0.0, 0, 0.5)])


def seg_yolov8(path: Path, **metadata: str) -> Path:
    pictures, weights = prototypes()
    outputs = {"output0": f32(raw(weights).T[None]), "output1": f32(pictures[None])}
    return constant_model(path, outputs, shape=(1, 3, HEIGHT, WIDTH), metadata=NAMES | metadata)


def seg_yolov5(path: Path) -> Path:
    pictures, weights = prototypes()
    outputs = {"output0": f32(raw(weights, objectness=True, each=3)[None]), "output1": f32(pictures[None])}
    return constant_model(path, outputs, shape=(1, 3, HEIGHT, WIDTH), metadata=NAMES)


def seg_final(path: Path) -> Path:
    pictures, weights = prototypes()
    outputs = {"output0": f32(final(weights)[None]), "output1": f32(pictures[None])}
    return constant_model(
        path, outputs, shape=(1, 3, HEIGHT, WIDTH), metadata=NAMES | {"task": "segment", "end2end": "True"}
    )


@pytest.mark.parametrize("make", [seg_yolov8, lambda p: seg_yolov8(p, task="segment"), seg_yolov5, seg_final])
def test_masks_by_prototypes_are_the_discs_that_were_put_in(make: Callable[[Path], Path], tmp_path: Path) -> None:
    rows = found(make(tmp_path / "seg.onnx"))
    assert [row["class_name"] for row in rows] == ["cat", "dog"]
    expected = upsampled(discs(QUARTER, lettered(CENTERS) / 4, 4.0), lettered)
    for mask, (left, top, right, bottom) in zip(expected, BOXES.astype(int), strict=True):
        mask[:top], mask[bottom:], mask[:, :left], mask[:, right:] = False, False, False, False
    assert close(masks_of(rows), expected)
    assert [mask.sum() > 1000 for mask in expected] == [True, True]


def rf_detr(path: Path) -> Path:
    boxes, logits = np.full((1, 30, 4), 0.05), np.full((1, 30, 2), -6.0)
    masks = np.full((1, 30, QUARTER[1], QUARTER[0]), -9.0)
    boxes[0, [4, 9]] = cxcywh(stretched(BOXES)) / np.array((WIDTH, HEIGHT) * 2)
    logits[0, 4, 0], logits[0, 9, 1] = 2.0, 1.5
    masks[0, [4, 9]] = discs(QUARTER, stretched(CENTERS) / 4, 4.0)
    outputs = {"dets": f32(boxes), "labels": f32(logits), "masks": f32(masks)}
    return constant_model(path, outputs, shape=(1, 3, HEIGHT, WIDTH), metadata=NAMES)


def test_rf_detr_puts_out_a_map_of_logits_for_each_query(tmp_path: Path) -> None:
    rows = found(rf_detr(tmp_path / "rf.onnx"))
    assert close(masks_of(rows), upsampled(discs(QUARTER, stretched(CENTERS) / 4, 4.0), stretched))


def mmdeploy(path: Path, cells: tuple[int, int], maps: Array) -> Path:
    dets = np.zeros((1, 10, 5))
    dets[0, :2] = np.column_stack([BOXES * 0.64, (0.9, 0.8)])
    masks = np.zeros((1, 10, cells[1], cells[0]))
    masks[0, :2] = maps
    labels = np.array([[0, 1, *[0] * 8]], np.int64)
    outputs = {"dets": f32(dets), "labels": labels, "masks": f32(masks)}
    return constant_model(path, outputs, shape=(1, 3, HEIGHT, WIDTH), metadata=NAMES)


MM = {"values": "coco_bgr", "channels": "bgr"}


def test_rtmdet_puts_out_shares_of_the_size_of_its_input(tmp_path: Path) -> None:
    heights = discs((WIDTH, HEIGHT), CENTERS * 0.64, 14.0)
    rows = found(mmdeploy(tmp_path / "rtmdet.onnx", (WIDTH, HEIGHT), 1 / (1 + np.exp(-heights))), **MM)
    assert close(masks_of(rows), upsampled(heights, lambda points: points * 0.64))


def test_mask_r_cnn_puts_out_28_by_28_cells_on_each_box(tmp_path: Path) -> None:
    heights = discs((28, 28), np.array([(14.0, 14.0), (14.0, 7.0)]), 7.0)
    rows = found(mmdeploy(tmp_path / "rcnn.onnx", (28, 28), 1 / (1 + np.exp(-heights))), **MM)
    expected = np.zeros((2, 100, 200), bool)
    for mask, height, (left, top, right, bottom) in zip(expected, heights, BOXES.astype(int), strict=True):
        mask[top:bottom, left:right] = cv2.resize(height, (right - left, bottom - top)) > 0
    assert close(masks_of(rows), expected)


def test_masks_that_may_cover_the_picture_or_their_boxes_are_asked_about(tmp_path: Path) -> None:
    dets = np.zeros((1, 10, 5))
    dets[0, 0] = (10, 10, 60, 60, 0.9)
    outputs = {"dets": f32(dets), "labels": np.zeros((1, 10), np.int64), "masks": f32(np.ones((1, 10, 28, 28)))}
    path = constant_model(tmp_path / "m.onnx", outputs, shape=(1, 3, 112, 112), metadata=NAMES)
    with pytest.raises(
        ParamError, match="28x28 cells may cover the whole picture or the box of each; set param masks=picture"
    ):
        Objects(model=path, **MM)  # type: ignore[arg-type]
    areas = [coco.area(found(path, masks=grid, **MM)[0]["mask"]) for grid in ("picture", "box")]
    assert areas[0] == 200 * 100
    assert areas[1] < 200 * 100


def torchvision(path: Path) -> Path:
    heights = discs((WIDTH, HEIGHT), stretched(CENTERS), 14.0)
    outputs = {
        "boxes": f32(stretched(BOXES)),
        "labels": np.array([1, 2], np.int64),
        "scores": f32([0.9, 0.8]),
        "masks": f32(1 / (1 + np.exp(-heights)))[:, None],
    }
    return constant_model(path, outputs, shape=(1, 3, HEIGHT, WIDTH), metadata=NAMES)


def test_torchvision_puts_out_masks_without_an_axis_for_the_batch(tmp_path: Path) -> None:
    rows = found(torchvision(tmp_path / "tv.onnx"))
    assert close(masks_of(rows), upsampled(discs((WIDTH, HEIGHT), stretched(CENTERS), 14.0), stretched))


ANGLES = np.array([0.5, -0.3])
TURNED = np.array([(80.0, 50.0, 60.0, 20.0), (140.0, 60.0, 30.0, 50.0)])
"""Centre, width, height in the picture, before they are turned by the angles."""


def turned_corners() -> Array:
    """Top left, top right, bottom right, bottom left of each box, turned about its centre; y points down, so clockwise."""
    corners = []
    for (cx, cy, w, h), angle in zip(TURNED, ANGLES, strict=True):
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        flat = np.array([(-w, -h), (w, -h), (w, h), (-w, h)]) / 2
        corners.append(flat @ matrix.T + (cx, cy))
    return np.array(corners)


def obb_yolov8(path: Path) -> Path:
    table = raw(ANGLES[:, None])
    boxes = np.concatenate([lettered(TURNED[:, :2]), TURNED[:, 2:] * 0.64], axis=1)
    table[[20, 21], :4], table[[50, 51], :4] = boxes[0], boxes[1]
    return constant_model(
        path, {"output0": f32(table.T[None])}, shape=(1, 3, HEIGHT, WIDTH), metadata=NAMES | {"task": "obb"}
    )


def obb_final(path: Path) -> Path:
    table = final(ANGLES[:, None])
    table[:2, :4] = np.concatenate([lettered(TURNED[:, :2]), TURNED[:, 2:] * 0.64], axis=1)
    told = {"task": "obb", "end2end": "True"}
    return constant_model(path, {"output0": f32(table[None])}, shape=(1, 3, HEIGHT, WIDTH), metadata=NAMES | told)


@pytest.mark.parametrize("make", [obb_yolov8, obb_final])
def test_turned_boxes_have_their_corners_and_bounds(make: Callable[[Path], Path], tmp_path: Path) -> None:
    rows = found(make(tmp_path / "obb.onnx"))
    assert [row["class_name"] for row in rows] == ["cat", "dog"]
    expected = turned_corners()
    assert np.array([row["corners"] for row in rows]) == pytest.approx(expected, abs=0.01)
    bounds = np.concatenate([expected.min(axis=1), expected.max(axis=1)], axis=1)
    assert np.array([row["xyxy"] for row in rows]) == pytest.approx(np.clip(bounds, 0, (200, 100) * 2), abs=0.01)


def test_turned_boxes_suppress_each_other_by_their_own_overlap_not_by_that_of_their_bounds(tmp_path: Path) -> None:
    """Two long boxes side by side at 45 degrees: their bounds overlap by more than half, they themselves not at all."""
    table = raw(np.full((2, 1), np.pi / 4))
    table[:, 4:6] = 0
    table[20] = [60, 48, 50, 8, 0.8, 0, np.pi / 4]
    table[21] = [66, 42, 50, 8, 0.7, 0, np.pi / 4]
    table[22] = [60.5, 48, 50, 8, 0.6, 0, np.pi / 4]
    path = constant_model(
        tmp_path / "obb.onnx",
        {"output0": f32(table.T[None])},
        shape=(1, 3, HEIGHT, WIDTH),
        metadata=NAMES | {"task": "obb"},
    )
    assert [row["confidence"] for row in found(path)] == [0.8, 0.7]


def test_details_found_behind_a_crop_lie_in_the_source_frame(tmp_path: Path) -> None:
    source = Frame.from_image(np.full((300, 400, 3), 90, np.uint8))
    inner = source.cropped(120, 80, 320, 180)
    for make, name in ((pose_yolov8, "keypoints"), (obb_yolov8, "corners")):
        path = make(tmp_path / f"{name}.onnx")
        (alone,) = Objects(model=path)([frame()])
        (behind,) = Objects(model=path)([inner])
        for one, two in zip(plain(behind.mapped(inner.to_source)), plain(alone), strict=True):
            moved = np.array(two[name])[:, :2] + (120, 80)
            assert np.array(one[name])[:, :2] == pytest.approx(moved, abs=0.011)
    (behind,) = Objects(model=seg_yolov8(tmp_path / "seg.onnx"))([inner])
    whole = masks_of(plain(behind.mapped(inner.to_source)))
    assert whole.shape == (2, 300, 400)
    (alone,) = Objects(model=tmp_path / "seg.onnx")([frame()])
    assert (whole[:, 80:180, 120:320] == masks_of(plain(alone))).all()
    assert whole.sum() == masks_of(plain(alone)).sum()


def test_tiles_do_not_go_with_more_than_boxes(tmp_path: Path) -> None:
    with pytest.raises(ParamError, match="param tiles: the model outputs boxes with masks"):
        Objects(model=seg_yolov8(tmp_path / "seg.onnx"), tiles="1x2")


def test_numbers_that_are_none_fail_the_frame(tmp_path: Path) -> None:
    pictures, weights = prototypes()
    outputs = {"output0": f32(raw(weights).T[None]), "output1": f32(np.full_like(pictures, np.nan)[None])}
    path = constant_model(tmp_path / "nan.onnx", outputs, shape=(1, 3, HEIGHT, WIDTH), metadata=NAMES)
    with pytest.raises(ValueError, match="a mask with infinite or undefined numbers"):
        Objects(model=path)([frame()])


def test_a_model_says_what_it_gives(tmp_path: Path) -> None:
    assert Objects(model=seg_yolov8(tmp_path / "seg.onnx")).describe()["gives"] == "boxes with masks"
    assert "gives" not in Objects().describe()
