"""What real exports have that formulas do not tell: seen in files made by the projects' own exporters, rebuilt here in small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.detector_tables import (
    HEIGHT,
    OBJECTS,
    SCORES,
    WIDTH,
    Case,
    cells,
    detr,
    rt_detr,
    torchvision,
    yolo_nas,
    yolov5,
    yolov8,
    yolox,
    yolox_decoded,
)
from tests.onnx_models import constant_model
from videodag_cli import Detections, Frame
from videodag_cli.errors import ParamError
from videodag_cli.tools.detect import Objects
from videodag_cli.vision.onnx.preprocessing import Values


def names(count: int) -> dict[str, str]:
    return {"names": str({i: f"n{i}" for i in range(count)})}


def model_file(folder: Path, case: Case, **metadata: str) -> Path:
    return constant_model(
        folder / "model.onnx",
        case.outputs,
        shape=(1, 3, HEIGHT, WIDTH),
        metadata={**case.metadata, **metadata},
        more_inputs=case.more_inputs,
    )


def found(tool: Objects) -> Detections:
    return tool([Frame.from_image(np.full((HEIGHT, WIDTH, 3), 90, np.uint8))])[0]


@pytest.mark.parametrize("classes", [1, 3])
def test_end_to_end_by_metadata_holds_whatever_its_weak_rows_look_like(classes: int, tmp_path: Path) -> None:
    """YOLO26 has no floor under its distances: sides of weak boxes may be the wrong way round. With one label, six numbers could
    also be a box, objectness and one class."""
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, :, :4], rows[0, :, 4] = (50, 40, 45, 30), 0.01
    rows[0, 0] = (20, 12, 60, 52, 0.9, 0)
    path = model_file(tmp_path, Case({"output0": rows}), end2end="True", head="Detect", **names(classes))
    tool = Objects(model=path)
    assert tool.description.layout == "end-to-end"
    np.testing.assert_allclose(found(tool).xyxy, OBJECTS[:1], atol=1e-3)


def test_a_head_that_can_choose_is_raw_where_the_export_says_so(tmp_path: Path) -> None:
    """YOLOv10's head with `end2end` False puts out every cell."""
    path = model_file(tmp_path, yolov8(2), end2end="False", head="v10Detect", **names(2))
    tool = Objects(model=path)
    assert (tool.description.layout, tool.description.suppressed) == ("yolov8", False)
    np.testing.assert_allclose(found(tool).xyxy, OBJECTS, atol=0.02)


def test_a_few_cells_of_the_background_may_have_sides_below_zero(tmp_path: Path) -> None:
    table = yolov8(2).outputs["output0"].copy()
    weak = np.argsort(table[0, 4:].max(axis=0))[:20]
    table[0, 2, weak] = -3
    tool = Objects(model=model_file(tmp_path, Case({"output0": table}), **names(2)))
    np.testing.assert_allclose(found(tool).xyxy, OBJECTS, atol=0.02)


def test_a_raw_yolo26_by_its_metadata_may_have_any_share_of_sides_below_zero(tmp_path: Path) -> None:
    """The metadata of Ultralytics (`head`, `end2end`) and the number of names tell that every cell is in the table."""
    table = yolov8(2).outputs["output0"].copy()
    table[0, 2, table[0, 4:].max(axis=0) < 0.1] = -3
    told = {"end2end": "False", "head": "Detect", "task": "detect", "stride": "32"}
    tool = Objects(model=model_file(tmp_path, Case({"output0": table}), **told, **names(2)))
    assert (tool.description.layout, tool.description.suppressed) == ("yolov8", False)
    np.testing.assert_allclose(found(tool).xyxy, OBJECTS, atol=0.02)
    for metadata in ({}, names(2), {**told, "end2end": "", **names(2)}, {**told, **names(3)}):
        with pytest.raises(ParamError):
            Objects(model=model_file(tmp_path, Case({"output0": table}), **metadata))


def test_rt_detr_by_its_head_may_have_boxes_that_reach_beyond_the_picture(tmp_path: Path) -> None:
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, :, :4], rows[0, :, 4] = (0.05, 0.05, 0.9, 0.9), 0.01
    rows[0, 0] = (0.25, 0.5, 0.25, 0.5, 0.9, 1)
    path = model_file(tmp_path, Case({"output0": rows}), head="RTDETRDecoder", **names(2))
    expected = [[WIDTH / 8, HEIGHT / 4, WIDTH * 3 / 8, HEIGHT * 3 / 4]]
    np.testing.assert_allclose(found(Objects(model=path)).xyxy, expected, atol=1e-3)


def test_sizes_of_a_weak_cell_do_not_make_relative_boxes_pixels(tmp_path: Path) -> None:
    """YOLOX: one cell of the background with a huge logarithm, another far from its place."""
    table = yolox(3).outputs["output"].copy()
    weak = np.argsort(table[0, :, 4] * table[0, :, 5:].max(axis=1))[:2]
    table[0, weak[0], 2], table[0, weak[1], 0] = 9, 300
    tool = Objects(model=model_file(tmp_path, Case({"output": table}), **names(3)))
    assert tool.description.layout == "yolox"
    np.testing.assert_allclose(found(tool).xyxy, OBJECTS, atol=0.02)


@pytest.mark.parametrize("classes", [1, 2])
def test_exponentials_in_the_graph_tell_yolox_from_yolov8_without_labels(classes: int, tmp_path: Path) -> None:
    path = model_file(tmp_path, yolox_decoded(classes))
    model = onnx.load(str(path))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "logarithms"))
    model.graph.node.append(helper.make_node("Exp", ["logarithms"], ["sizes"]))
    onnx.save(model, str(path))
    tool = Objects(model=path)
    assert tool.description.layout == "yolox-decoded"
    np.testing.assert_allclose(found(tool).xyxy, OBJECTS, atol=0.02)


def test_a_picture_without_a_person_has_no_key_points(tmp_path: Path) -> None:
    table = np.zeros((1, 5 + 51, len(cells()[1])), np.float32)
    path = model_file(tmp_path, Case({"output0": table}), task="pose", kpt_shape="[17, 3]", **names(1))
    assert len(found(Objects(model=path))) == 0


def test_boxes_suppress_each_other_as_the_network_gave_them_and_are_clipped_then(tmp_path: Path) -> None:
    """Ultralytics' own code clips last. Two boxes that reach far to the left: the parts inside the picture nearly coincide, the boxes
    share 0.38 of their union."""
    table = np.zeros((1, 5, len(cells()[1])), np.float32)
    table[0, :, 0] = (-20, 48, 60, 80, 0.9)  # 50 pixels beyond the edge
    table[0, :, 1] = (-68, 48, 156, 80, 0.8)
    path = model_file(tmp_path, Case({"output0": table}), **names(1))
    np.testing.assert_allclose(found(Objects(model=path)).xyxy, [[0, 8, 10, 88], [0, 8, 10, 88]], atol=1e-3)
    assert len(found(Objects(model=path, iou=0.35))) == 1


def test_the_class_score_of_a_yolov7_with_one_class_means_nothing(tmp_path: Path) -> None:
    """Its own suppression and its end-to-end export take the objectness alone where there is one class (`nc == 1`), as the column is
    not trained; YOLOv5 multiplies, and its column is nearly 1."""
    case = yolov5(1)
    scores = case.outputs["output0"][0, :, 4] * case.outputs["output0"][0, :, 5]
    table = case.outputs["output0"].copy()
    table[0, :, 4], table[0, :, 5] = scores, 0.4
    path = model_file(tmp_path, Case({"output": table}))
    with pytest.raises(ParamError, match=r"yolov5 \(.*or yolov7-one-class \(.*set param layout to the one that it is$"):
        Objects(model=path)
    tool = Objects(model=path, layout="yolov7-one-class")
    np.testing.assert_allclose(found(tool).xyxy, OBJECTS, atol=0.02)
    assert found(tool).confidence == pytest.approx(np.array(SCORES), abs=1e-3)
    table[0, :, 5] = 0.99998
    for metadata in ({}, {"stride": "32", **names(1)}):
        tool = Objects(model=model_file(tmp_path, Case({"output": table}), **metadata))
        assert tool.description.layout == "yolov5"
        assert found(tool).confidence == pytest.approx(np.array(SCORES), abs=1e-3)
    two = model_file(tmp_path, yolov5(2))
    with pytest.raises(ParamError, match="cannot be yolov7-one-class"):
        Objects(model=two, layout="yolov7-one-class")


@pytest.mark.parametrize("sliced", [False, True])
def test_damo_yolo_is_told_from_yolo_nas_which_has_the_same_outputs(sliced: bool, tmp_path: Path) -> None:
    """Its exporter names only the scores, and its networks begin by taking every other pixel; its demo feeds bytes in RGB, with black
    at the right or below."""
    boxes, scores = yolo_nas(3).outputs.values()
    path = model_file(
        tmp_path, Case({"a" if sliced else "output": scores, "b" if sliced else "902": boxes}), **names(3)
    )
    if sliced:
        model = onnx.load(str(path))
        ends = {"start": [0], "end": [2], "axis": [3]}
        model.graph.initializer.extend(numpy_helper.from_array(np.array(v, np.int64), k) for k, v in ends.items())
        model.graph.node.append(helper.make_node("Slice", ["images", *ends], ["half"]))
        onnx.save(model, str(path))
    tool = Objects(model=path)
    description = tool.description
    assert (description.layout, description.values, description.fit) == ("damo-yolo", "byte", "corner")
    np.testing.assert_allclose(found(tool).xyxy, OBJECTS, atol=0.02)
    other = Objects(model=model_file(tmp_path, yolo_nas(3), **names(3))).description
    assert (other.layout, other.values) == ("yolo-nas", "unit")


@pytest.mark.parametrize(
    ("shape", "outputs"), [((3, HEIGHT, WIDTH), "torchvision"), ((3, "height", "width"), "torchvision")]
)
def test_torchvision_takes_one_picture_without_a_batch_axis(
    shape: tuple[int | str, ...], outputs: str, tmp_path: Path
) -> None:
    """`torch.onnx.export(model, ([picture],), ...)`, as its documentation shows."""
    path = constant_model(tmp_path / "m.onnx", torchvision(3).outputs, shape=shape, metadata=names(3))
    tool = Objects(model=path, size=None if shape[1] == HEIGHT else f"{WIDTH}x{HEIGHT}")
    description = tool.description
    assert (description.layout, description.width, description.height) == (outputs, WIDTH, HEIGHT)
    assert description.fixed_batch
    np.testing.assert_allclose(found(tool).xyxy, OBJECTS, atol=0.02)


@pytest.mark.parametrize(
    ("operations", "patches", "asks"),
    [((), 0, True), (("TopK",), 0, True), (("TopK", "GridSample"), 0, False), (("TopK", "GridSample"), 16, True)],
)
def test_what_transformers_exports_is_asked_for_its_values_unless_the_graph_tells(
    operations: tuple[str, ...], patches: int, asks: bool, tmp_path: Path
) -> None:
    """RT-DETR's image processor only rescales; those of Conditional and Deformable DETR and RF-DETR also normalise, with 80 classes too."""
    case = rt_detr(80)
    path = model_file(tmp_path, case, **names(80))
    model = onnx.load(str(path))
    model.graph.input[0].name = "pixel_values"
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 4, 2, 2), np.float32), "grid"))
    model.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.int64), "one"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 3, 16, 16), np.float32), "stem"))
    if "TopK" in operations:
        model.graph.node.append(helper.make_node("TopK", ["grid", "one"], ["best", "places"]))
    if "GridSample" in operations:
        model.opset_import[0].version = 16
        model.graph.node.append(helper.make_node("GridSample", ["pixel_values", "grid"], ["sampled"]))
    if patches:
        sides = [patches, patches]
        conv = helper.make_node("Conv", ["pixel_values", "stem"], ["patches"], kernel_shape=sides, strides=sides)
        model.graph.node.append(conv)
    onnx.save(model, str(path))
    if asks:
        with pytest.raises(ParamError, match="set param values"):
            Objects(model=path)
        assert Objects(model=path, values="imagenet").description.values == "imagenet"
    else:
        assert Objects(model=path).description.values == "unit"


@pytest.mark.parametrize("classes", [1, 3])
def test_a_detr_of_transformers_that_finds_something_everywhere_is_not_read_as_independent_classes(
    classes: int, tmp_path: Path
) -> None:
    """DETR, YOLOS and Conditional DETR have the same names and no operation that tells them apart; in a picture full of objects the
    background wins nowhere. Read through a sigmoid, DETR's numbers would be other classes and confidences."""
    case = detr(classes)
    logits, boxes = case.outputs["logits"][:, :5].copy(), case.outputs["pred_boxes"][:, :5]
    order = np.argsort(-np.sort(logits[0, :, :-1].max(axis=1)))
    logits[0, :, :-1] = np.where(np.arange(classes) == (order % classes)[:, None], 4.0, -4.0)
    logits[0, :, -1] = 1.0
    path = model_file(tmp_path, Case({"logits": logits, "pred_boxes": boxes}))
    model = onnx.load(str(path))
    model.graph.input[0].name = "pixel_values"
    onnx.save(model, str(path))
    values: tuple[Values | None, ...] = (None, "imagenet")
    for wanted in values:
        with pytest.raises(ParamError, match=r"detr \(.*or rt-detr \(.*set param layout to the one that it is"):
            Objects(model=path, values=wanted)
    tool = Objects(model=path, layout="detr", confidence=0.5)
    exact = np.exp(4) / (np.exp(4) + (classes - 1) * np.exp(-4) + np.exp(1))
    assert found(tool).confidence == pytest.approx(np.full(5, exact), abs=1e-6)


@pytest.mark.parametrize("first", [0, 1])
def test_classes_of_retinanet_and_fcos_are_numbers_of_columns(first: int, tmp_path: Path) -> None:
    """torchvision takes the remainder of a place and the number of columns; whether the first was a class depends on the training."""
    case = torchvision(3)
    labels = case.outputs["labels"] - 1 + first
    path = model_file(tmp_path, Case({**case.outputs, "labels": labels}), **names(3))
    with_remainder(path)
    tool = Objects(model=path)
    assert tool.description.layout == ("torchvision", "torchvision-from-0")[1 - first]
    rows = found(tool)
    np.testing.assert_allclose(rows.xyxy, OBJECTS, atol=0.02)
    assert rows.class_id is not None
    assert rows.class_id.tolist() == [first + n % 3 for n in range(5)]
    assert rows.class_name == tuple(f"n{n % 3}" for n in range(5))


def test_columns_of_retinanet_that_nothing_tells_are_asked_for_where_names_depend_on_them(tmp_path: Path) -> None:
    case = torchvision(3)
    outputs = {**case.outputs, "labels": np.full_like(case.outputs["labels"], 1)}
    path = with_remainder(model_file(tmp_path, Case(outputs), **names(3)))
    with pytest.raises(ParamError, match=r"torchvision \(.*or torchvision-from-0 \(.*set param layout"):
        Objects(model=path)
    named = {
        layout: found(Objects(model=path, layout=layout)).class_name for layout in ("torchvision", "torchvision-from-0")
    }
    assert named == {"torchvision": ("n0",) * 5, "torchvision-from-0": ("n1",) * 5}
    unnamed = with_remainder(model_file(tmp_path, Case(outputs)))
    assert found(Objects(model=unnamed)).class_name == ("class 1",) * 5
    zero = model_file(tmp_path, Case({**outputs, "labels": outputs["labels"] - 1}))
    with pytest.raises(ParamError, match="class 0 is found, which would be the background"):
        Objects(model=zero)


def with_remainder(path: Path) -> Path:
    """The model with an operation beside the others that takes a remainder."""
    model = onnx.load(str(path))
    model.graph.initializer.append(numpy_helper.from_array(np.array([7], np.int64), "place"))
    model.graph.node.append(helper.make_node("Mod", ["place", "place"], ["column"]))
    onnx.save(model, str(path))
    return path
