"""Every output layout gives the same box in the picture, from a small model that puts it out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from tests.onnx_models import constant_model
from videodag_cli import Frame
from videodag_cli.errors import ParamError
from videodag_cli.tools.detect import Objects

SIDE = 64
NAMES = ("cat", "dog", "owl")
METADATA = {"names": str(dict(enumerate(NAMES)))}
BOX = (60.0, 20.0, 120.0, 80.0)
"""In a picture of 200x100, of which the network sees 64x64."""
SCORE = 0.75
CLASS = 1
CELLS = {(8, 16, 32): 84, (8, 16, 32, 64): 85}
Array = NDArray[Any]


def picture() -> Frame:
    return Frame.from_image(np.full((100, 200, 3), 90, np.uint8))


def centered(box: tuple[float, ...] = BOX) -> Array:
    """The box in the network's pixels when the picture stands in the middle."""
    return np.array(box) * 0.32 + (0, 16, 0, 16)


def corner(box: tuple[float, ...] = BOX) -> Array:
    return np.array(box) * 0.32


def stretched(box: tuple[float, ...] = BOX) -> Array:
    return np.array(box) * (0.32, 0.64, 0.32, 0.64)


def cxcywh(xyxy: Array) -> Array:
    return np.concatenate([(xyxy[:2] + xyxy[2:]) / 2, xyxy[2:] - xyxy[:2]])


def one_hot(score: float = SCORE, count: int = 3) -> Array:
    scores = np.full(count, 0.01)
    scores[CLASS] = score
    return scores


def f32(values: Any) -> Array:
    return np.asarray(values, np.float32)


def yolov5(path: Path) -> Path:
    out = np.zeros((1, 252, 8))
    out[0, 100] = [*cxcywh(centered()), 0.9, *one_hot(SCORE / 0.9)]
    out[0, 101] = [*cxcywh(centered()) + 0.5, 0.8, *one_hot(SCORE / 0.9)]
    return constant_model(path, {"output0": f32(out)}, metadata=METADATA)


def yolov5_with_maps(path: Path) -> Path:
    """Older exports also put out the three raw maps."""
    out = np.zeros((1, 252, 8))
    out[0, 7] = [*cxcywh(centered()), 1, *one_hot()]
    maps = {f"map{n}": np.zeros((1, 3, n, n, 8), np.float32) for n in (8, 4, 2)}
    return constant_model(path, {"output": f32(out), **maps}, metadata=METADATA)


def yolov8(path: Path) -> Path:
    out = np.zeros((1, 7, 84))
    out[0, :, 30] = [*cxcywh(centered()), *one_hot()]
    out[0, :, 31] = [*cxcywh(centered()) + 0.5, *one_hot(0.6)]
    return constant_model(path, {"output0": f32(out)}, metadata=METADATA | {"task": "detect", "stride": "32"})


def yolov8_open(path: Path) -> Path:
    out = np.zeros((1, 7, 84))
    out[0, :, 30] = [*cxcywh(centered()), *one_hot()]
    return constant_model(
        path,
        {"output0": f32(out)},
        shape=("batch", 3, "height", "width"),
        open_outputs=True,
        metadata=METADATA | {"imgsz": "[64, 64]", "task": "detect"},
    )


def yolov8_half(path: Path) -> Path:
    out = np.zeros((1, 7, 84))
    out[0, :, 30] = [*cxcywh(centered()), *one_hot()]
    return constant_model(path, {"output0": out.astype(np.float16)}, dtype="float16", metadata=METADATA)


def yolov8_rows(path: Path) -> Path:
    out = np.zeros((1, 84, 7))
    out[0, 30] = [*cxcywh(centered()), *one_hot()]
    return constant_model(path, {"output0": f32(out)}, metadata=METADATA)


def yolov6(path: Path) -> Path:
    out = np.full((1, 84, 8), 60.0)
    out[0, :, 4] = 1
    out[0, :, 5:] = 0
    out[0, 30] = [*cxcywh(centered()), 1, *one_hot()]
    return constant_model(path, {"outputs": f32(out)}, metadata=METADATA)


def yolox(path: Path) -> Path:
    x, y, w, h = cxcywh(corner())
    out = np.zeros((1, 84, 8))
    out[0, 64 + 5] = [x / 16 - 1, y / 16 - 1, np.log(w / 16), np.log(h / 16), 0.9, *one_hot(SCORE / 0.9)]
    return constant_model(path, {"output": f32(out)}, metadata=METADATA)


def yolox_decoded(path: Path) -> Path:
    out = np.zeros((1, 84, 8))
    out[0, :, :4] = 60
    out[0, 3] = [*cxcywh(corner()), 0.9, *one_hot(SCORE / 0.9)]
    return constant_model(path, {"output": f32(out)}, metadata=METADATA)


def end_to_end(path: Path) -> Path:
    out = np.zeros((1, 300, 6))
    out[0, 0] = [*centered(), SCORE, CLASS]
    return constant_model(path, {"output0": f32(out)}, metadata=METADATA)


def end_to_end_flat(path: Path) -> Path:
    return constant_model(path, {"output": f32([[0, *centered(), CLASS, SCORE]])}, metadata=METADATA)


def paddle(path: Path) -> Path:
    outputs = {"multiclass_nms3_0.tmp_0": f32([[CLASS, SCORE, *stretched()]]), "count": np.array([1], np.int32)}
    more = {"im_shape": (TensorProto.FLOAT, (1, 2)), "scale_factor": (TensorProto.FLOAT, (1, 2))}
    return constant_model(path, outputs, more_inputs=more, metadata=METADATA)


def nanodet_codes(xyxy: Array, column: float, row: float, stride: int, bins: int) -> tuple[Array, float]:
    """Logits whose expected bin is each side's distance from the cell's place, within the number of bins."""
    place = np.array([column, row]) * stride
    distances = np.concatenate([place - xyxy[:2], xyxy[2:] - place]) / stride
    logits = np.full((4, bins), -60.0)
    for side, distance in enumerate(distances):
        low = int(distance)
        part = distance - low
        logits[side, low] = np.log(max(1 - part, 1e-9))
        logits[side, low + 1] = np.log(max(part, 1e-9))
    return logits.reshape(-1), stride


def nanodet(path: Path) -> Path:
    codes, _ = nanodet_codes(corner(), 3.5, 2.5, 8, 8)
    out = np.zeros((1, 84, 3 + 32))
    out[0, :, 3:] = -3
    out[0, 2 * 8 + 3] = [*one_hot(), *codes]
    return constant_model(path, {"output": f32(out)}, metadata=METADATA)


def nanodet_plus(path: Path) -> Path:
    """Its published configurations stretch the picture (`keep_ratio: False`)."""
    codes, _ = nanodet_codes(stretched(), 3, 2, 8, 8)
    out = np.zeros((1, 85, 3 + 32))
    out[0, :, 3:] = -3
    out[0, 2 * 8 + 3] = [*one_hot(), *codes]
    return constant_model(path, {"output": f32(out)}, metadata=METADATA)


def nanodet_pairs(path: Path) -> Path:
    codes, _ = nanodet_codes(corner(), 1.5, 1.5, 16, 11)
    outputs: dict[str, Array] = {}
    for cells in (16, 4, 64):
        scores, distances = np.zeros((1, cells, 3)), np.full((1, cells, 44), -3.0)
        if cells == 16:
            scores[0, 5], distances[0, 5] = one_hot(), codes
        outputs |= {f"distances{cells}": f32(distances), f"scores{cells}": f32(scores)}
    return constant_model(path, outputs, metadata=METADATA)


def pico_outputs(names: tuple[str, str]) -> dict[str, Array]:
    """Pairs of outputs at strides 8, 16, 32 and 64, with the box in the second cell of the second row at 16."""
    codes, _ = nanodet_codes(stretched(), 1.5, 1.5, 16, 8)
    outputs: dict[str, Array] = {}
    for level, cells in enumerate((64, 16, 4, 1)):
        scores, distances = np.zeros((1, cells, 3)), np.full((1, cells, 32), -3.0)
        if cells == 16:
            scores[0, 5], distances[0, 5] = one_hot(), codes
        outputs[names[0].format(2 * level)] = f32(scores)
        outputs[names[1].format(2 * level + 1)] = f32(distances)
    return outputs


def picodet(path: Path) -> Path:
    return constant_model(path, pico_outputs(("transpose_{}.tmp_0", "transpose_{}.tmp_0")), metadata=METADATA)


def logit(p: Array) -> Array:
    return np.asarray(np.log(p / (1 - p)))


def rt_detr_logits(path: Path) -> Path:
    logits, boxes = np.full((1, 20, 3), -9.0), np.full((1, 20, 4), 0.5)
    logits[0, 4], boxes[0, 4] = logit(one_hot()), cxcywh(stretched()) / SIDE
    return constant_model(path, {"logits": f32(logits), "pred_boxes": f32(boxes)}, metadata=METADATA)


def detr(path: Path) -> Path:
    logits, boxes = np.full((1, 20, 4), -9.0), np.full((1, 20, 4), 0.5)
    logits[:, :, 3] = 9
    logits[0, 4] = np.log([0.01, SCORE, 0.01, 0.23])
    boxes[0, 4] = cxcywh(stretched()) / SIDE
    return constant_model(path, {"logits": f32(logits), "pred_boxes": f32(boxes)}, metadata=METADATA)


def rt_detr_joined(path: Path) -> Path:
    out = np.zeros((1, 300, 7))
    out[0, 17] = [*cxcywh(stretched()) / SIDE, *one_hot()]
    return constant_model(path, {"output0": f32(out)}, metadata=METADATA)


def rt_detr_sized(path: Path) -> Path:
    labels, boxes, scores = np.zeros((1, 5), np.int64), np.zeros((1, 5, 4)), np.zeros((1, 5))
    labels[0, 0], boxes[0, 0], scores[0, 0] = CLASS, stretched(), SCORE
    more = {"orig_target_sizes": (TensorProto.INT64, ("n", 2))}
    outputs = {"labels": labels, "boxes": f32(boxes), "scores": f32(scores)}
    return constant_model(path, outputs, more_inputs=more, metadata=METADATA)


def yolo_nas(path: Path) -> Path:
    boxes, scores = np.zeros((1, 84, 4)), np.zeros((1, 84, 3))
    boxes[0, 9], scores[0, 9] = corner(), one_hot()
    return constant_model(path, {"902": f32(boxes), "894": f32(scores)}, metadata=METADATA)


def tensorflow_ssd(path: Path) -> Path:
    """Boxes are top, left, bottom, right as shares; classes count from 1; the picture is NHWC bytes."""
    x1, y1, x2, y2 = stretched() / SIDE
    boxes, scores, classes = np.zeros((1, 10, 4)), np.zeros((1, 10)), np.ones((1, 10))
    boxes[0, 0], scores[0, 0], classes[0, 0] = (y1, x1, y2, x2), SCORE, CLASS + 1
    scores[0, 5] = 0.99  # beyond the count: does not exist
    outputs = {
        "detection_boxes": f32(boxes),
        "detection_classes": f32(classes),
        "detection_scores": f32(scores),
        "num_detections": f32([1]),
    }
    return constant_model(path, outputs, shape=(1, 64, 64, 3), dtype="uint8", metadata=METADATA)


def torchvision(path: Path) -> Path:
    outputs = {
        "boxes": f32([stretched()]),
        "labels": np.array([CLASS + 1], np.int64),
        "scores": f32([SCORE]),
    }
    return constant_model(path, outputs, metadata=METADATA)


def plugin_outputs(path: Path) -> Path:
    boxes, scores, classes = np.zeros((1, 10, 4)), np.zeros((1, 10)), np.zeros((1, 10), np.int32)
    boxes[0, 0], scores[0, 0], classes[0, 0] = centered(), SCORE, CLASS
    outputs = {
        "num_dets": np.array([[1]], np.int32),
        "det_boxes": f32(boxes),
        "det_scores": f32(scores),
        "det_classes": classes,
    }
    return constant_model(path, outputs, metadata=METADATA)


def mmdetection(path: Path) -> Path:
    dets, labels = np.zeros((1, 10, 5)), np.zeros((1, 10), np.int64)
    dets[0, 0], labels[0, 0] = [*corner(), SCORE], CLASS
    return constant_model(path, {"dets": f32(dets), "labels": labels}, metadata=METADATA)


LAYOUTS: dict[Callable[[Path], Path], str] = {
    yolov5: "yolov5",
    yolov5_with_maps: "yolov5",
    yolov8: "yolov8",
    yolov8_open: "yolov8",
    yolov8_half: "yolov8",
    yolov8_rows: "yolov8-rows",
    yolov6: "yolov6",
    yolox: "yolox",
    yolox_decoded: "yolox-decoded",
    end_to_end: "end-to-end",
    end_to_end_flat: "yolov7-flat",
    paddle: "paddle",
    nanodet: "nanodet",
    nanodet_plus: "nanodet-plus",
    nanodet_pairs: "nanodet-pairs",
    picodet: "picodet",
    rt_detr_logits: "rt-detr",
    detr: "detr",
    rt_detr_joined: "rt-detr-table",
    rt_detr_sized: "rt-detr-sized",
    yolo_nas: "yolo-nas",
    tensorflow_ssd: "tensorflow",
    torchvision: "torchvision",
    plugin_outputs: "num-dets",
    mmdetection: "mmdeploy",
}


GIVEN: dict[Callable[[Path], Path], dict[str, Any]] = {
    mmdetection: {"values": "imagenet", "channels": "rgb"},
    nanodet: {"layout": "nanodet"},
}
"""What the file does not tell."""


@pytest.mark.parametrize("build", LAYOUTS, ids=lambda build: build.__name__)
def test_layout_is_recognised_and_its_box_lands_in_the_picture(build: Callable[[Path], Path], tmp_path: Path) -> None:
    tool = Objects(model=build(tmp_path / "model.onnx"), **GIVEN.get(build, {}))
    found = tool([picture()])[0]
    assert tool.describe()["layout"] == LAYOUTS[build]
    assert len(found) == 1
    tolerance = 0.6 if build is yolov8_half else 1e-3
    np.testing.assert_allclose(found.xyxy[0], BOX, atol=tolerance)
    assert found.confidence is not None
    assert found.confidence[0] == pytest.approx(SCORE, abs=1e-3)
    assert found.class_name == (NAMES[CLASS],)


def test_pairs_at_four_strides_without_paddles_names_are_refused_with_the_layouts_they_may_be(tmp_path: Path) -> None:
    model = constant_model(tmp_path / "m.onnx", pico_outputs(("cls_{}", "reg_{}")), metadata=METADATA)
    with pytest.raises(ParamError, match=r"more than one way.*nanodet-pairs \(.*picodet \(.*set param layout"):
        Objects(model=model)
    found = Objects(model=model, layout="picodet")([picture()])[0]
    np.testing.assert_allclose(found.xyxy[0], BOX, atol=0.1)


def test_nms_of_one_class_leaves_other_classes_alone(tmp_path: Path) -> None:
    out = np.zeros((1, 7, 84))
    out[0, :, 0] = [*cxcywh(centered()), 0.9, 0, 0]
    out[0, :, 1] = [*cxcywh(centered()), 0, 0.8, 0]
    out[0, :, 2] = [*cxcywh(centered()), 0.7, 0, 0]
    model = constant_model(tmp_path / "m.onnx", {"output0": f32(out)}, metadata=METADATA)
    assert Objects(model=model)([picture()])[0].class_name == ("cat", "dog")
    assert Objects(model=model, classes=["dog"])([picture()])[0].class_name == ("dog",)
    assert len(Objects(model=model, max_detections=1)([picture()])[0]) == 1
    assert len(Objects(model=model, iou=1.0)([picture()])[0]) == 3
    assert len(Objects(model=model, confidence=0.85)([picture()])[0]) == 1


def test_boxes_are_clipped_to_the_picture(tmp_path: Path) -> None:
    out = np.zeros((1, 7, 84))
    out[0, :, 0] = [32, 32, 200, 200, 0.9, 0, 0]
    out[0, :, 3] = [-90, 32, 10, 10, 0.9, 0, 0]
    model = constant_model(tmp_path / "m.onnx", {"output0": f32(out)}, metadata=METADATA)
    found = Objects(model=model)([picture()])[0]
    assert found.xyxy.tolist() == [[0, 0, 200, 100]]


def test_labels_come_from_a_file_a_list_or_json_and_must_be_as_many_as_the_classes(tmp_path: Path) -> None:
    out = np.zeros((1, 7, 84))
    out[0, :, 0] = [*cxcywh(centered()), 0.9, 0, 0]
    model = constant_model(tmp_path / "m.onnx", {"output0": f32(out)})
    lines, as_json = tmp_path / "labels.txt", tmp_path / "labels.json"
    lines.write_text("ant\nbee\nfly\n")
    as_json.write_text('{"0": "ant", "1": "bee", "2": "fly"}')
    for labels in (lines, as_json, ["ant", "bee", "fly"]):
        assert Objects(model=model, labels=labels)([picture()])[0].class_name == ("ant",)
    assert Objects(model=model)([picture()])[0].class_name == ("class 0",)
    with pytest.raises(ParamError, match=r"outputs 3 classes .* but there are 2 labels"):
        Objects(model=model, labels=["ant", "bee"])


def test_names_in_metadata_are_read_as_a_literal_and_never_evaluated(tmp_path: Path) -> None:
    out = np.zeros((1, 7, 84))
    out[0, :, 0] = [*cxcywh(centered()), 0.9, 0, 0]
    trap = tmp_path / "trap"
    metadata = {"names": f"{{0: open({str(trap)!r}, 'w').name, 1: 'b', 2: 'c'}}"}
    model = constant_model(tmp_path / "m.onnx", {"output0": f32(out)}, metadata=metadata)
    assert Objects(model=model)([picture()])[0].class_name == ("class 0",)
    assert not trap.exists()


def test_size_and_kind_of_input_can_be_given(tmp_path: Path) -> None:
    out = np.zeros((1, 7, 84))
    out[0, :, 0] = [*cxcywh(stretched()), 0.9, 0, 0]
    model = constant_model(tmp_path / "m.onnx", {"output0": f32(out)}, shape=(1, 3, "h", "w"), metadata=METADATA)
    tool = Objects(model=model, size="64", fit="stretch", channels="bgr", values="byte")
    np.testing.assert_allclose(tool([picture()])[0].xyxy[0], BOX, atol=1e-3)
    assert tool.describe()["input"] == "64x64 open, BGR, 0..255, stretched, float32"
