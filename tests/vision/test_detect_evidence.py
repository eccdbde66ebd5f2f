"""Which layout a detector has is decided by all that its file and its outputs show, or it is refused."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.detector_tables import (
    CASES,
    HEIGHT,
    OBJECTS,
    SCORES,
    WIDTH,
    Case,
    candidates,
    centered,
    every_cell,
    every_cell_arrays,
    f32,
    final,
    nanodet,
    rt_detr,
    rt_detr_best,
    yolov5,
    yolov8,
    yolov8_rows,
)
from tests.onnx_models import constant_model, save
from videodag_cli import Detections, Frame
from videodag_cli.errors import ParamError
from videodag_cli.tools.detect import Objects
from videodag_cli.toolspec import spec_of
from videodag_cli.vision.onnx.graph import graph_of
from videodag_cli.vision.onnx.layouts import LAYOUTS

Array = NDArray[Any]


def names(count: int) -> dict[str, str]:
    return {"names": str({i: f"n{i}" for i in range(count)})}


def opened(tmp_path: Path, case: Case, *, metadata: Mapping[str, str] | None = None, **options: Any) -> Objects:
    path = constant_model(
        tmp_path / "model.onnx",
        case.outputs,
        shape=(1, 3, HEIGHT, WIDTH),
        metadata={**case.metadata, **(metadata or {})},
        more_inputs=case.more_inputs,
    )
    return Objects(model=path, **{**case.options, **options})


def found(tool: Objects) -> Detections:
    return tool([Frame.from_image(np.full((HEIGHT, WIDTH, 3), 90, np.uint8))])[0]


def assert_objects(tool: Objects, classes: int | None) -> None:
    """Exactly the objects that were encoded, with their scores and, where labels are known, their names."""
    boxes = found(tool)
    np.testing.assert_allclose(boxes.xyxy, OBJECTS, atol=0.02)
    assert boxes.confidence == pytest.approx(np.array(SCORES), abs=1e-3)
    if classes is not None:
        assert boxes.class_name == tuple(f"n{i % classes}" for i in range(len(OBJECTS)))


def refusal(tmp_path: Path, case: Case, **options: Any) -> str:
    with pytest.raises(ParamError) as caught:
        opened(tmp_path, case, **options)
    assert "\n" not in caught.value.message
    return caught.value.message


ASKED: dict[str, dict[str, Any]] = {"rf-detr": {"background": "last"}}
"""What has to be said where labels are fewer than columns."""


@pytest.mark.parametrize("layout", CASES)
def test_models_of_one_two_and_three_classes_are_read_as_what_they_are(layout: str, tmp_path: Path) -> None:
    for classes in (1, 2, 3):
        tool = opened(tmp_path, CASES[layout](classes), metadata=names(classes), **ASKED.get(layout, {}))
        assert tool.description.layout == layout
        assert_objects(tool, classes)


UNDECIDED = {"yolov8-rows", "yolox-decoded"}
"""Rows of a box and numbers, one for each cell: whether the first number is objectness, only the number of labels tells."""


@pytest.mark.parametrize("layout", CASES)
def test_without_labels_a_model_is_read_right_or_refused(layout: str, tmp_path: Path) -> None:
    for classes in (1, 2):
        case = CASES[layout](classes)
        undecided = {"yolov5", "yolov7-one-class"} if (layout, classes) == ("yolov5", 1) else UNDECIDED
        if layout in undecided and (layout, classes) != ("yolov8-rows", 1):
            message = refusal(tmp_path, case)
            assert "can be read in more than one way" in message
            assert "set param layout" in message
            assert all(name in message for name in undecided)
        else:
            tool = opened(tmp_path, case)
            assert tool.description.layout == layout
            assert_objects(tool, None)


@pytest.mark.parametrize("layout", CASES)
def test_every_layout_can_be_forced(layout: str, tmp_path: Path) -> None:
    tool = opened(tmp_path, CASES[layout](2), metadata=names(2), layout=layout, **ASKED.get(layout, {}))
    assert (tool.description.layout, tool.description.layout_from) == (layout, "param")
    assert_objects(tool, 2)


def test_a_forced_layout_must_fit_the_shapes_and_the_labels(tmp_path: Path) -> None:
    message = refusal(tmp_path, yolov8(2), layout="detr")
    assert message.startswith("param layout: the outputs of model model.onnx cannot be detr")
    assert "layouts whose shape fits: yolov5, yolov6, yolov8," in message
    message = refusal(tmp_path, yolov5(2), metadata=names(2), layout="yolov8-rows")
    assert "outputs 3 classes (yolov8-rows), but there are 2 labels" in message


def test_what_a_file_was_taken_for_has_reasons(tmp_path: Path) -> None:
    description = opened(tmp_path, yolov5(1), metadata=names(1)).description
    assert "945 candidates: three for each cell of strides 8, 16, 32 at 160x96" in description.reasons
    assert any(reason.startswith("not end-to-end: ") for reason in description.reasons)


@pytest.mark.parametrize("each", [1, 3])
def test_a_table_of_every_cell_is_suppressed_here(each: int, tmp_path: Path) -> None:
    tool = opened(tmp_path, every_cell(3, each), metadata=names(3))
    assert not tool.description.suppressed
    assert_objects(tool, 3)
    raw = opened(tmp_path, every_cell(3, each), metadata=names(3), suppressed=True)
    assert len(found(raw)) > 2 * len(OBJECTS)


def test_a_table_whose_boxes_lie_on_each_other_is_suppressed_whatever_its_number_of_rows(tmp_path: Path) -> None:
    table = every_cell(3).outputs["output"][:, :-15]
    tool = opened(tmp_path, Case({"output": np.ascontiguousarray(table)}), metadata=names(3))
    assert tool.description.layout == "every-cell"


@pytest.mark.parametrize("middle", [False, True])
def test_three_outputs_of_every_cell_hold_corners_or_centres(middle: bool, tmp_path: Path) -> None:
    tool = opened(tmp_path, every_cell_arrays(3, middle=middle), metadata=names(3))
    assert tool.description.layout == "every-cell-arrays"
    assert_objects(tool, 3)


def test_rt_detr_by_ultralytics_is_told_by_its_head_or_its_numbers(tmp_path: Path) -> None:
    tool = opened(tmp_path, rt_detr_best(2, head=False), metadata=names(2))
    assert tool.description.layout == "rt-detr-best"
    assert_objects(tool, 2)
    one = np.zeros((1, 300, 6), np.float32)
    one[0, 0] = (0.4, 0.5, 0.6, 0.7, 0.9, 1)  # a centre with a size, and corners too
    assert "more than one way" in refusal(tmp_path, Case({"output0": one}), metadata=names(2))
    tool = opened(tmp_path, Case({"output0": one}, {"head": "RTDETRDecoder"}), metadata=names(2))
    np.testing.assert_allclose(found(tool).xyxy, [[0.1 * WIDTH, 0.15 * HEIGHT, 0.7 * WIDTH, 0.85 * HEIGHT]], atol=1e-3)


def test_metadata_decides_what_numbers_leave_open(tmp_path: Path) -> None:
    empty = Case({"output0": np.zeros((1, 300, 6), np.float32)})
    assert "no known detector" in refusal(tmp_path, empty, metadata=names(3))
    for metadata in ({"end2end": "True"}, {"args": "{'nms': True, 'batch': 1}"}, {"head": "v10Detect"}):
        assert opened(tmp_path, empty, metadata=names(3) | metadata).description.layout == "end-to-end"


@pytest.mark.parametrize("classes", [1, 3])
def test_rf_detr_with_labels_of_its_own_is_read_by_sigmoid(classes: int, tmp_path: Path) -> None:
    """Its scores are each for themselves: 0.60 stays 0.60. Source: `PostProcess` in rfdetr/models/lwdetr.py."""
    tool = opened(tmp_path, CASES["rf-detr"](classes), metadata=names(classes), background="last")
    assert (tool.description.activation, tool.description.values) == ("sigmoid", "imagenet")
    assert found(tool).confidence[3] == pytest.approx(0.6, abs=1e-3)  # type: ignore[index]


def test_rf_detr_asks_which_of_its_columns_is_no_class(tmp_path: Path) -> None:
    """Categories numbered from 1 leave the first column unused, those from 0 the last; the width is the same."""
    case = Case({"dets": np.full((1, 300, 4), 0.5, np.float32), "labels": np.full((1, 300, 4), -8, np.float32)})
    case.outputs["labels"][0, 7, 1] = 2
    assert "set param background" in refusal(tmp_path, case, metadata=names(3))
    labels = list(ast.literal_eval(names(3)["names"]).values())
    for which, label in (("last", labels[1]), ("first", labels[0])):
        assert found(opened(tmp_path, case, metadata=names(3), background=which)).class_name == (label,)


def test_rf_detr_for_coco_has_91_category_numbers(tmp_path: Path) -> None:
    boxes, logits = np.full((1, 300, 4), 0.5, np.float32), np.full((1, 300, 91), -8, np.float32)
    boxes[0, 9], logits[0, 9, 90] = (0.5, 0.5, 0.2, 0.2), 2
    assert found(opened(tmp_path, Case({"dets": boxes, "labels": logits}))).class_name == ("toothbrush",)


def test_a_column_that_means_nothing_is_seen_without_labels(tmp_path: Path) -> None:
    tool = opened(tmp_path, CASES["detr"](4))
    assert tool.description.class_count == 4
    assert_objects(tool, None)


def test_logits_that_may_be_either_are_refused(tmp_path: Path) -> None:
    logits = np.full((1, 100, 3), -4, np.float32)
    logits[0, :30, 2] = 4
    case = Case({"logits": logits, "pred_boxes": np.full((1, 100, 4), 0.5, np.float32)})
    message = refusal(tmp_path, case)
    assert "detr (" in message
    assert "rt-detr (" in message
    assert opened(tmp_path, case, layout="detr").description.class_count == 2
    assert opened(tmp_path, case, layout="rt-detr").description.class_count == 3


def test_equal_widths_of_boxes_and_scores_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    for layout in ("yolo-nas", "rt-detr"):
        case = CASES[layout](4)
        outputs = dict(zip(("a", "b"), case.outputs.values(), strict=True))
        tool = opened(tmp_path, replace(case, outputs=outputs), metadata=names(4))
        assert tool.description.layout == layout
        assert_objects(tool, 4)


@pytest.mark.parametrize("task", [{"task": "detect"}, {}])
def test_feature_maps_beside_the_boxes_do_not_matter(task: dict[str, str], tmp_path: Path) -> None:
    maps = {f"map{s}": np.zeros((1, 16, HEIGHT // s, WIDTH // s), np.float32) for s in (8, 16, 32)}
    case = Case({**yolov8(2).outputs, **maps})
    assert_objects(opened(tmp_path, case, metadata=names(2) | task), 2)


def test_masks_are_for_segmentation_unless_the_metadata_says_otherwise(tmp_path: Path) -> None:
    case = Case({**yolov8(2).outputs, "output1": np.zeros((1, 32, HEIGHT // 4, WIDTH // 4), np.float32)})
    assert "looks like instance segmentation" in refusal(tmp_path, case, metadata=names(2))
    assert_objects(opened(tmp_path, case, metadata=names(2) | {"task": "detect"}), 2)


def test_score_and_class_of_seven_numbers_are_not_exchanged(tmp_path: Path) -> None:
    """YOLOv7 ends with class and score, YOLO-NAS with score and class; only whole class numbers tell, unless the name does."""
    boxes, scores, kinds = final(5, 3)
    for columns, layout in (((kinds, scores), "yolov7-flat"), ((scores, kinds), "yolo-nas-flat")):
        table = f32(np.column_stack([np.zeros(5), boxes, *columns]))
        tool = opened(tmp_path, Case({"output": table}), metadata=names(3))
        assert tool.description.layout == layout
        assert_objects(tool, 3)
    ones = f32(np.column_stack([np.zeros(5), boxes, np.ones(5), np.ones(5)]))
    for table in (ones, np.zeros((0, 7), np.float32)):
        message = refusal(tmp_path, Case({"output": table}), metadata=names(3))
        assert "no row distinguishes the score from the class" in message
        assert opened(tmp_path, Case({"graph2_flat_predictions": table})).description.layout == "yolo-nas-flat"


@pytest.mark.parametrize(("strides", "middle"), [((8, 16, 32), 0.5), ((8, 16, 32), 0.0), ((8, 16, 32, 64), 0.0)])
def test_where_nanodet_predictions_stand_is_known_or_asked(
    strides: tuple[int, ...], middle: float, tmp_path: Path
) -> None:
    case = nanodet(2, strides, middle)
    layout = "nanodet" if middle else "nanodet-plus"
    if len(strides) == 3:
        message = refusal(tmp_path, case, metadata=names(2))
        assert "nanodet (" in message
        assert "nanodet-plus (" in message
    tool = opened(tmp_path, case, metadata=names(2), **({"layout": layout} if len(strides) == 3 else {}))
    assert tool.description.layout == layout
    assert_objects(tool, 2)


def test_what_the_file_does_not_tell_of_its_input_is_asked(tmp_path: Path) -> None:
    pixel_values = {"logits": rt_detr(3).outputs["logits"], "pred_boxes": rt_detr(3).outputs["pred_boxes"]}
    assert "param values" in refusal(tmp_path, replace(CASES["mmdeploy"](3), options={"channels": "bgr"}))
    assert "param channels" in refusal(tmp_path, replace(CASES["mmdeploy"](3), options={"values": "byte"}))
    assert "param values" in refusal(tmp_path, replace(CASES["paddle"](3), options={}))
    assert opened(tmp_path, Case(pixel_values)).description.values == "unit"


def test_the_background_of_an_ssd_is_its_first_class_and_no_detection(tmp_path: Path) -> None:
    case = CASES["ssd-scores"](3)
    background = {"names": str({0: "BACKGROUND", **{i + 1: f"n{i}" for i in range(3)}})}
    for metadata in (names(3), background):
        assert_objects(opened(tmp_path, case, metadata=metadata), 3)


def test_classes_from_0_or_from_1_are_told_by_what_is_found_or_asked(tmp_path: Path) -> None:
    boxes, scores, kinds = final(5, 3)
    for shift, layout in ((0, "arrays"), (1, "arrays-from-1")):
        outputs = {
            "boxes": f32(boxes[None]),
            "scores": f32(scores[None]),
            "labels": kinds[None].astype(np.int64) + shift,
        }
        tool = opened(tmp_path, Case(outputs), metadata=names(3), values="unit")
        assert tool.description.layout == layout
        assert_objects(tool, 3)
    message = refusal(tmp_path, Case(outputs | {"labels": np.full((1, 5), 1, np.int64)}), metadata=names(3))
    assert "arrays (" in message
    assert "arrays-from-1 (" in message


def test_activation_and_form_of_boxes_can_be_set_where_the_layout_has_them(tmp_path: Path) -> None:
    boxes, scores, _, _ = candidates(2)
    logits = np.log(scores / (1 - scores))
    case = Case({"output0": f32(np.concatenate([centered(boxes), logits], axis=1).T[None])})
    assert "numbers outside 0..1 where class scores should be" in refusal(tmp_path, case, metadata=names(2))
    assert_objects(opened(tmp_path, case, metadata=names(2), layout="yolov8", activation="sigmoid"), 2)
    message = refusal(tmp_path, yolov8_rows(2), metadata=names(2), boxes="corners")
    assert message.startswith("param boxes does not apply to layout yolov8-rows")


def test_an_unknown_layout_is_named_with_the_nearest() -> None:
    spec = spec_of(Objects)
    assert spec is not None
    with pytest.raises(ParamError, match="did you mean 'yolov8'"):
        spec.check_params({"model": "m.onnx", "layout": "yolo8"})
    assert len(set(LAYOUTS)) == len(LAYOUTS)


def test_operations_are_read_from_the_files_bytes(tmp_path: Path) -> None:
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 4, 4])]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 48])]
    nodes = [
        helper.make_node("Relu", ["images"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["b"]),
        helper.make_node("Reshape", ["b", "shape"], ["c"]),
        helper.make_node("Concat", ["c"], ["out"], axis=1),
    ]
    path = save(tmp_path / "m.onnx", nodes, inputs, outputs, [numpy_helper.from_array(np.array([1, 48]), "shape")], {})
    graph = graph_of(path.read_bytes())
    assert graph.operations == {"Relu", "Sigmoid", "Reshape", "Concat"}
    assert graph.last == {"out": {"Sigmoid"}}
    assert graph_of(b"nothing").operations == frozenset()


@pytest.mark.parametrize(("side", "stride", "asks"), [(16, 16, True), (14, 14, True), (3, 2, False), (7, 2, False)])
def test_sized_models_that_cut_the_picture_into_patches_are_asked_what_values_they_want(
    side: int, stride: int, asks: bool, tmp_path: Path
) -> None:
    """DEIMv2's own inference normalises as ImageNet for its DINOv3 models, which begin so, and not for its HGNetV2 ones."""
    outputs: dict[str, Array] = {"labels": np.zeros((1, 5), np.int64), "boxes": np.zeros((1, 5, 4), np.float32)}
    outputs["scores"] = np.full((1, 5), 0.5, np.float32)
    more = {"orig_target_sizes": (TensorProto.INT64, ("n", 2))}
    path = constant_model(tmp_path / "m.onnx", outputs, more_inputs=more, metadata=names(3))
    model = onnx.load(str(path))
    weights = numpy_helper.from_array(np.zeros((1, 3, side, side), np.float32), "stem")
    model.graph.initializer.append(weights)
    model.graph.node.append(
        helper.make_node("Conv", ["images", "stem"], ["unused"], kernel_shape=[side, side], strides=[stride, stride])
    )
    onnx.save(model, str(path))
    if asks:
        with pytest.raises(ParamError, match="param values"):
            Objects(model=path)
        assert Objects(model=path, values="imagenet").description.layout == "rt-detr-sized"
    else:
        assert Objects(model=path).description.layout == "rt-detr-sized"


def test_further_outputs_of_tensorflow_and_of_transformers_do_not_matter(tmp_path: Path) -> None:
    raw = {
        "raw_detection_boxes": np.zeros((1, 90, 4), np.float32),
        "raw_detection_scores": np.zeros((1, 90, 4), np.float32),
    }
    case = CASES["tensorflow"](3)
    assert_objects(opened(tmp_path, replace(case, outputs={**case.outputs, **raw}), metadata=names(3)), 3)
    hidden = {"last_hidden_state": np.zeros((1, 300, 256), np.float32), "encoder": np.zeros((1, 315, 256), np.float32)}
    case = CASES["rt-detr"](3)
    assert_objects(opened(tmp_path, replace(case, outputs={**case.outputs, **hidden}), metadata=names(3)), 3)


def test_num_dets_of_mmyolo_count_from_0_and_ask_for_the_input(tmp_path: Path) -> None:
    case = CASES["num-dets"](3)
    outputs = dict(zip(("num_dets", "boxes", "scores", "labels"), case.outputs.values(), strict=True))
    case = replace(case, outputs=outputs)
    assert "param values" in refusal(tmp_path, case, metadata=names(3))
    assert_objects(opened(tmp_path, case, metadata=names(3), values="unit", channels="rgb"), 3)


@pytest.mark.parametrize(
    ("last", "layout"), [(("kinds", "scores"), "yolov7-flat"), (("scores", "kinds"), "yolo-nas-flat")]
)
def test_the_graph_tells_class_from_score_where_nothing_is_found(
    last: tuple[str, str], layout: str, tmp_path: Path
) -> None:
    """Picture and class number are whole numbers that the graph casts before it joins them with the rest."""
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 7])]
    weights = [
        numpy_helper.from_array(np.zeros((0, n), t), f"{name}_")
        for name, n, t in (
            ("picture", 1, np.int64),
            ("boxes", 4, np.float32),
            ("kinds", 1, np.int64),
            ("scores", 1, np.float32),
        )
    ]
    nodes = [helper.make_node("Cast", [f"{name}_"], [name], to=TensorProto.FLOAT) for name in ("picture", "kinds")]
    nodes += [helper.make_node("Relu", [f"{name}_"], [name]) for name in ("boxes", "scores")]
    nodes.append(helper.make_node("Concat", ["picture", "boxes", *last], ["output"], axis=1))
    path = save(tmp_path / "m.onnx", nodes, inputs, outputs, weights, {})
    assert Objects(model=path).description.layout == layout


def test_the_guide_names_every_layout() -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
    assert [name for name in LAYOUTS if f"`{name}`" not in text] == []
