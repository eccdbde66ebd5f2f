"""Classifiers and embeddings from small models whose numbers follow from the picture: its mean blue, green and red."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_models import constant_model, save
from videodag_cli import Detections, Frame
from videodag_cli.errors import ParamError
from videodag_cli.lines import plain
from videodag_cli.tools.classify import ImageClassifier
from videodag_cli.tools.embed import ImageEmbedder
from videodag_cli.tools.match import EmbeddingMatcher

NAMES = {"names": "{0: 'blue', 1: 'green', 2: 'red'}"}
BOXES = np.array([[0, 0, 40, 40], [60, 0, 100, 40], [5, 5, 5, 5], [20, 20, 80, 30]], np.float64)


def frame() -> Frame:
    """Left half pure blue, right half pure red."""
    image = np.zeros((40, 100, 3), np.uint8)
    image[:, :50, 0] = 255
    image[:, 50:, 2] = 255
    return Frame.from_image(image)


def means(path: Path, last: str = "", *, metadata: dict[str, str] | None = None, scale: float = 4.0) -> Path:
    """A model that puts out `scale` times the means of its three planes, through a last operation if one is named."""
    weights = [numpy_helper.from_array(np.array(scale, np.float32), "scale")]
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["scaled" if last else "output0"]),
    ]
    if last:
        nodes.append(helper.make_node(last, ["scaled"], ["output0"]))
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])]
    infos = [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 3])]
    return save(path, nodes, inputs, infos, weights, NAMES if metadata is None else metadata)


def softmax(*values: float) -> NDArray[np.float64]:
    weights = np.exp(np.array(values))
    return np.asarray(weights / weights.sum())


BGR: dict[str, Any] = {"values": "unit", "channels": "bgr"}


def test_the_best_classes_of_a_frame_come_first_with_their_probabilities(tmp_path: Path) -> None:
    tool = ImageClassifier(model=means(tmp_path / "m.onnx", "Softmax"), top=3, fit="stretch", **BGR)
    rows = plain(tool(frame()))
    assert [row["class_name"] for row in rows] == ["blue", "red", "green"]
    assert [row["confidence"] for row in rows] == pytest.approx(softmax(2, 2, 0), abs=0.0001)
    assert list(rows[0]) == ["class_id", "class_name", "confidence"]


def test_each_box_has_its_classes_joined_by_its_place(tmp_path: Path) -> None:
    tool = ImageClassifier(model=means(tmp_path / "m.onnx", "Softmax"), **BGR)
    rows = plain(tool(frame(), Detections(BOXES)))
    assert [(row["detection"], row["class_name"]) for row in rows[:2]] == [(0, "blue"), (1, "red")]
    assert [row["confidence"] for row in rows[:2]] == pytest.approx([softmax(4, 0, 0)[0]] * 2, abs=0.0001)
    assert [row["detection"] for row in rows] == [0, 1, 3]
    assert plain(tool(frame(), Detections.empty())) == []
    strict = ImageClassifier(model=tmp_path / "m.onnx", min_confidence=0.9, **BGR)
    assert [row["detection"] for row in plain(strict(frame(), Detections(BOXES)))] == [0, 1]


def test_a_wide_picture_is_cut_to_its_middle_unless_it_is_to_be_stretched(tmp_path: Path) -> None:
    image = np.zeros((40, 100, 3), np.uint8)
    image[:, :30, 0], image[:, 30:70, 1], image[:, 70:, 2] = 255, 255, 255
    shown = {
        fit: {row["class_name"]: row["confidence"] for row in plain(tool(Frame.from_image(image)))}
        for fit in ("crop", "stretch")
        for tool in [ImageClassifier(model=means(tmp_path / "m.onnx", "Softmax"), top=3, fit=fit, **BGR)]
    }
    assert shown["crop"]["green"] == pytest.approx(softmax(0, 4, 0)[1], abs=0.001)
    assert shown["stretch"]["green"] == pytest.approx(softmax(1.2, 1.6, 1.2)[1], abs=0.04)


def test_logits_become_probabilities_as_the_user_says_and_never_by_a_guess(tmp_path: Path) -> None:
    logits = means(tmp_path / "m.onnx", scale=4.0)
    with pytest.raises(ParamError, match="set param activation to softmax"):
        ImageClassifier(model=logits, **BGR)
    found = {
        how: plain(ImageClassifier(model=logits, activation=how, fit="stretch", top=1, **BGR)(frame()))[0]["confidence"]
        for how in ("softmax", "sigmoid")
    }
    assert found["softmax"] == pytest.approx(softmax(2, 2, 0)[0], abs=0.0001)
    assert found["sigmoid"] == pytest.approx(1 / (1 + np.exp(-2)), abs=0.0001)
    with pytest.raises(ValueError, match="a confidence of 2, which is not within"):
        ImageClassifier(model=logits, activation="none", fit="stretch", **BGR)(frame())
    assert ImageClassifier(model=means(tmp_path / "s.onnx", "Sigmoid"), **BGR).describe()["scores"] == "as they are"


def test_what_a_file_does_not_tell_is_asked_for(tmp_path: Path) -> None:
    path = means(tmp_path / "m.onnx", "Softmax", metadata={})
    with pytest.raises(ParamError, match="does not say how the picture must be prepared: set param values"):
        ImageClassifier(model=path)
    assert plain(ImageClassifier(model=path, **BGR)(frame()))[0]["class_name"] == "class 0"
    with pytest.raises(ParamError, match="outputs 3 numbers, but there are 2 labels"):
        ImageClassifier(model=path, labels=["a", "b"], **BGR)
    ultralytics = means(tmp_path / "u.onnx", "Softmax", metadata=NAMES | {"task": "classify"})
    assert ImageClassifier(model=ultralytics).describe()["input"] == "32x32, RGB, 0..1, cut to its middle, float32"


def test_a_model_that_gives_no_row_of_numbers_is_refused(tmp_path: Path) -> None:
    detector = constant_model(tmp_path / "d.onnx", {"output0": np.zeros((1, 7, 84), np.float32)})
    with pytest.raises(ParamError, match=r"no single output with one row of numbers.*output0 1x7x84"):
        ImageClassifier(model=detector, values="unit")
    with pytest.raises(ParamError, match="no single output with one row of numbers"):
        ImageEmbedder(model=detector, values="unit")


def test_vectors_are_the_networks_numbers_as_base64_or_as_a_list(tmp_path: Path) -> None:
    path = means(tmp_path / "m.onnx", scale=3.0)
    (row,) = plain(ImageEmbedder(model=path, encoding="list", fit="stretch", **BGR)(frame()))
    assert row == {"vector": pytest.approx([1.5, 0, 1.5], abs=0.05)}
    (half,) = plain(ImageEmbedder(model=path, fit="stretch", **BGR)(frame()))
    numbers = np.frombuffer(base64.b64decode(half["vector"]), "<f2")
    assert numbers.tolist() == pytest.approx(row["vector"], rel=0.001)
    (normal,) = plain(ImageEmbedder(model=path, encoding="list", normalize=True, fit="stretch", **BGR)(frame()))
    assert np.linalg.norm(normal["vector"]) == pytest.approx(1)


def test_numbers_that_16_bits_cannot_hold_are_no_vector(tmp_path: Path) -> None:
    tool = ImageEmbedder(model=means(tmp_path / "m.onnx", scale=1e6), fit="stretch", **BGR)
    with pytest.raises(ValueError, match="beyond 65504"):
        plain(tool(frame()))


def reference(folder: Path, found: Any) -> Path:
    path = folder / "known.json"
    path.write_text(json.dumps(found))
    return path


def test_vectors_are_matched_by_their_angle_to_those_that_have_names(tmp_path: Path) -> None:
    embed = ImageEmbedder(model=means(tmp_path / "m.onnx"), **BGR)
    found = embed(frame(), Detections(BOXES[:2]))
    written = [row["vector"] for row in plain(found)]
    known = reference(tmp_path, {"sea": [[0, 1, 0], written[0]], "rose": [0, 0, 7.5], "both": [1, 0, 1]})
    rows = plain(EmbeddingMatcher(reference=known)(found))
    assert [(row["detection"], row["name"], row["similarity"]) for row in rows] == [(0, "sea", 1.0), (1, "rose", 1.0)]
    every = plain(EmbeddingMatcher(reference=known, top=3, min_similarity=0.1)(found))
    assert [(row["detection"], row["name"]) for row in every] == [(0, "sea"), (0, "both"), (1, "rose"), (1, "both")]
    assert every[1]["similarity"] == pytest.approx(1 / np.sqrt(2), abs=1e-4)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([], "is not an object of names and vectors"),
        ({"a": "?"}, "'a' is not a vector"),
        ({"a": [0, 0]}, "'a' is not a vector .* or is all 0"),
        ({"a": [1, 2], "b": [1, 2, 3]}, "holds vectors of 2 and of 3 numbers"),
        ({"a": {"x": 1}}, "'a' is not a vector"),
    ],
)
def test_a_reference_that_is_none_is_refused(found: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ParamError, match=message) as caught:
        EmbeddingMatcher(reference=reference(tmp_path, found))
    assert caught.value.word == "param.file"


def test_a_reference_made_with_another_model_fails_the_frame(tmp_path: Path) -> None:
    vectors = ImageEmbedder(model=means(tmp_path / "m.onnx"), **BGR)(frame())
    with pytest.raises(ValueError, match="vectors of 3 numbers cannot be compared with a reference of 2"):
        EmbeddingMatcher(reference=reference(tmp_path, {"a": [1, 2]}))(vectors)
