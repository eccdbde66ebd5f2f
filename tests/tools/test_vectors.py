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
from videodag_cli.vision.onnx.vectors import Tokens

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
    assert shown["crop"]["green"] == pytest.approx(softmax(0, 4, 0)[1], abs=0.002)
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
    assert (
        ImageClassifier(model=ultralytics).describe()["input"]
        == "32x32, RGB, 0..1, cut to its middle, bilinear, float32"
    )


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


def per_pixel(path: Path, outputs: dict[str, tuple[int, ...]], side: int = 24) -> Path:
    """A model that puts out its input: every number of the picture that goes in, in the shapes given."""
    nodes = [helper.make_node("Reshape", ["images", f"{name}_shape"], [name]) for name in outputs]
    weights = [numpy_helper.from_array(np.array(shape, np.int64), f"{name}_shape") for name, shape in outputs.items()]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, side, side])]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
    return save(path, nodes, inputs, infos, weights, {})


def noise(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("width", "height"), [(97, 61), (61, 97), (24, 24), (11, 19), (500, 40)])
def test_pictures_go_in_exactly_as_torchvision_resizes_them_and_cuts_out_their_middle(
    kernel: Any, width: int, height: int, tmp_path: Path
) -> None:
    """Pillow is the other implementation; the sizes are those of torchvision's `Resize(28)` and `CenterCrop(24)`."""
    from PIL import Image

    image = noise(width, height)
    path = per_pixel(tmp_path / "m.onnx", {"features": (1, 3 * 24 * 24)})
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    whole = (28, int(28 * height / width)) if width < height else (int(28 * width / height), 28)
    scaled = Image.fromarray(image[..., ::-1].copy()).resize(whole, filters[kernel])
    left, top = (round((whole[axis] - 24) / 2.0) for axis in (0, 1))
    cut = np.asarray(scaled.crop((left, top, left + 24, top + 24)), np.float64)
    tool = ImageEmbedder(model=path, values="byte", resize=28, kernel=kernel, encoding="list")
    found = np.array(plain(tool(Frame.from_image(image)))[0]["vector"]).reshape(3, 24, 24)
    np.testing.assert_array_equal(found, cut.transpose(2, 0, 1))
    stretched = np.asarray(Image.fromarray(image[..., ::-1].copy()).resize((24, 24), filters[kernel]), np.float64)
    tool = ImageEmbedder(model=path, values="byte", fit="stretch", kernel=kernel, encoding="list")
    found = np.array(plain(tool(Frame.from_image(image)))[0]["vector"]).reshape(3, 24, 24)
    np.testing.assert_array_equal(found, stretched.transpose(2, 0, 1))


def test_numbers_are_normalised_as_the_projects_publish_it(tmp_path: Path) -> None:
    """OpenAI's CLIP: mean 0.48145466, 0.4578275, 0.40821073 and deviation 0.26862954, 0.26130258, 0.27577711 of 0..1."""
    path = per_pixel(tmp_path / "m.onnx", {"image_embeds": (1, 3 * 24 * 24)})
    tool = ImageEmbedder(model=path, values="clip", encoding="list")
    white = Frame.from_image(np.full((24, 24, 3), 255, np.uint8))
    found = np.array(plain(tool(white))[0]["vector"]).reshape(3, -1)
    expected = (1 - np.array([0.48145466, 0.4578275, 0.40821073])) / np.array([0.26862954, 0.26130258, 0.27577711])
    np.testing.assert_allclose(found, np.repeat(expected[:, None], 576, axis=1), atol=1e-6)
    assert tool.describe()["input"] == "24x24, RGB, normalised as CLIP, cut to its middle, bilinear, float32"


def test_the_output_that_counts_and_what_becomes_of_several_rows_are_asked_for(tmp_path: Path) -> None:
    """As Transformers exports vision models: rows for a class token and each patch, and a pooled row."""
    both = per_pixel(tmp_path / "b.onnx", {"last_hidden_state": (1, 9, 192), "pooler_output": (1, 1728)})
    assert ImageEmbedder(model=both, values="byte").describe()["output"] == "1728 numbers of pooler_output"
    hidden = per_pixel(tmp_path / "h.onnx", {"last_hidden_state": (1, 9, 192)})
    with pytest.raises(
        ParamError, match=r"last_hidden_state 1x9x192; where there is a row for each part.*param tokens"
    ):
        ImageEmbedder(model=hidden, values="byte")
    image = Frame.from_image(noise(24, 24))
    rows = np.asarray(image.image)[..., ::-1].transpose(2, 0, 1).reshape(9, 192).astype(np.float64)
    choices: tuple[tuple[Path, Tokens, str | None, NDArray[Any]], ...] = (
        (hidden, "first", None, rows[0]),
        (hidden, "mean", None, rows.mean(axis=0)),
        (both, "first", "last_hidden_state", rows[0]),
    )
    for path, tokens, output, expected in choices:
        tool = ImageEmbedder(model=path, values="byte", encoding="list", tokens=tokens, output=output)
        np.testing.assert_allclose(plain(tool(image))[0]["vector"], expected, atol=1e-6)
    two = per_pixel(tmp_path / "t.onnx", {"image_embeds": (1, 1728), "pooler_output": (1, 1728)})
    with pytest.raises(ParamError, match="set param output to the name of the one that counts"):
        ImageEmbedder(model=two, values="byte")
    assert ImageEmbedder(model=two, values="byte", output="image_embeds").describe()["output"].endswith("image_embeds")
    with pytest.raises(
        ParamError, match=r"param output: model t\.onnx has no output 'logits'; found image_embeds 1x1728"
    ):
        ImageEmbedder(model=two, values="byte", output="logits")
    with pytest.raises(ParamError, match=r"param resize is the shorter side .* at least 24 .* only with fit=crop"):
        ImageEmbedder(model=two, values="byte", output="image_embeds", resize=48, fit="stretch")
