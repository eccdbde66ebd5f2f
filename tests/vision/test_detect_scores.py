"""Numbers that cannot be confidences or boxes are errors of the model; a model that never finds anything is remarked on once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from tests.commands import command, quick
from tests.onnx_models import brightness_model, constant_model
from videodag_cli import Frame, Sampling, run_video
from videodag_cli.tools.detect import Objects
from videodag_cli.vision.onnx.layouts.blazeface import anchor_centers
from videodag_cli.vision.onnx.scores import ModelError, check_boxes, check_outputs, checked_scores

CLIP = Path(__file__).parents[2] / "sample_videos" / "synthetic.mp4"
METADATA = {"names": "{0: 'cat', 1: 'dog', 2: 'owl'}"}


def table(*columns: list[float]) -> NDArray[Any]:
    """YOLOv8's output on 64x64 with the given candidates."""
    out = np.zeros((1, 7, 84), np.float32)
    for i, column in enumerate(columns):
        out[0, :, i] = column
    return out


def frame() -> Frame:
    return Frame.from_image(np.full((100, 200, 3), 90, np.uint8))


GOOD = [32.0, 32, 20, 20, 0.9, 0, 0]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([np.nan, 32, 10, 10, 0.9, 0, 0], "not numbers"),
        ([np.inf, 32, 10, 10, 0.9, 0, 0], "a box with infinite"),
    ],
)
def test_a_box_or_score_that_is_no_number_is_an_error(bad: list[float], message: str, tmp_path: Path) -> None:
    model = constant_model(tmp_path / "m.onnx", {"output0": table(GOOD, bad)}, metadata=METADATA)
    with pytest.raises(ModelError, match=f"model m.onnx outputs .*{message}"):
        Objects(model=model)([frame()])


def scaled_model(path: Path, factor: float) -> Path:
    """Its one score is the mean of the picture times `factor`, so that an empty picture shows nothing of it."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(brightness_model(path)))
    mul = next(node for node in model.graph.node if node.op_type == "Mul")
    model.graph.initializer.append(numpy_helper.from_array(np.array([factor], np.float32), "factor"))
    model.graph.node.insert(
        list(model.graph.node).index(mul), helper.make_node("Mul", [mul.input[0], "factor"], ["scaled"])
    )
    mul.input[0] = "scaled"
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(("factor", "shown"), [(6.0, "2.11"), (-3.0, "-1.05")])
def test_a_confidence_outside_0_to_1_is_never_a_line(factor: float, shown: str, tmp_path: Path) -> None:
    """A picture of grey level 90 makes 90 / 255 of itself: 0.353."""
    model = scaled_model(tmp_path / "m.onnx", factor)
    stretched = {"fit": "stretch", "labels": ["lamp"]}
    with pytest.raises(ModelError, match=f"model m.onnx outputs a confidence of {shown}[0-9]*, which is not within"):
        Objects(model=model, **stretched)([frame()])  # type: ignore[arg-type]
    done = quick(
        command(
            *("run", "-p", "builtin:objects", "--max-frames", "2", "--set", f"detect.model={model}"),
            *("--set", "detect.labels=lamp,", CLIP),
        )
    )
    assert done.code == 4
    assert [line["result"] for line in done.lines] == [None, None]
    assert {line["error"]["type"] for line in done.lines} == {"ModelError"}


def test_rounding_is_forgiven_and_fillers_below_0_only_where_they_are_never_shown() -> None:
    assert checked_scores([1.0005, -0.0002, 0.5], "m").tolist() == [1.0, 0.0, 0.5]
    assert checked_scores([-1.0, 0.5], "m", negative=True).tolist() == [0.0, 0.5]
    assert checked_scores([], "m").tolist() == []
    for scores in ([1.01], [-0.01], [np.nan, 0.5], [np.inf]):
        with pytest.raises(ModelError):
            checked_scores(scores, "m")
    with pytest.raises(ModelError):
        checked_scores([np.nan, -1.0], "m", negative=True)
    with pytest.raises(ModelError):
        check_boxes(np.array([[0, 0, np.inf, 1]]), "m")
    check_outputs({"map": np.full((1, 2, 2, 2), np.nan), "ids": np.zeros((1, 2), np.int64)}, "m")


def test_a_face_whose_score_is_no_number_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from videodag_cli.vision.onnx.faces import FaceDetector

    detector = FaceDetector("short")
    count = len(anchor_centers(128))

    class Session:
        def run(self, names: object, feed: object) -> list[NDArray[Any]]:
            return [np.zeros((1, count, 16), np.float32), np.full((1, count, 1), np.nan, np.float32)]

    monkeypatch.setattr(detector._model, "_session", Session())
    with pytest.raises(ModelError, match=r"blazeface_short_range_128\.onnx outputs values that are not numbers"):
        detector.detect(frame().image, [np.array([0.0, 0, 200, 100])], confidence=0.5, iou=0.3)


def test_class_agnostic_suppression_leaves_one_box_per_object(tmp_path: Path) -> None:
    columns = table([32, 32, 20, 20, 0.9, 0, 0], [32, 32, 20, 20, 0, 0.8, 0], [10, 32, 8, 8, 0, 0, 0.7])
    raw = constant_model(tmp_path / "raw.onnx", {"output0": columns}, metadata=METADATA)
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, :3] = [[22, 22, 42, 42, 0.9, 0], [22, 22, 42, 42, 0.8, 1], [6, 28, 14, 36, 0.7, 2]]
    done = constant_model(tmp_path / "done.onnx", {"output0": rows}, metadata=METADATA | {"end2end": "True"})
    for model in (raw, done):
        each = Objects(model=model)([frame()])[0]
        together = Objects(model=model, class_agnostic=True)([frame()])[0]
        assert each.class_name == ("cat", "dog", "owl")
        assert together.class_name == ("cat", "owl")


def test_a_model_that_never_finds_anything_is_remarked_on_once(tmp_path: Path) -> None:
    model = constant_model(tmp_path / "dead.onnx", {"output0": table()}, metadata=METADATA)
    output = tmp_path / "out.jsonl"
    arguments = ["-p", "builtin:objects", "--frame-stride", "10", "--workers", "3", "--set", f"detect.model={model}"]
    done = quick(command("run", *arguments, "-o", output, CLIP))
    assert done.code == 0
    said = [line for line in done.err.splitlines() if "dead.onnx" in line]
    assert len(said) == 1
    frames = len(output.read_bytes().splitlines())
    assert f"note: node 'detect': model dead.onnx: every score is 0 in all {frames} frames" in said[0]
    record = orjson.loads((tmp_path / "out.jsonl.run.json").read_bytes())
    assert [f"note: {remark}" for remark in record["remarks"]] == said
    assert record["exit_code"] == 0


@pytest.mark.parametrize(("score", "remarked"), [(0.009, True), (0.02, False)])
def test_a_score_below_the_threshold_shows_that_a_model_lives(score: float, remarked: bool, tmp_path: Path) -> None:
    model = constant_model(tmp_path / "m.onnx", {"output0": table([32, 32, 9, 9, score, 0, 0])}, metadata=METADATA)
    params = {"detect": {"model": str(model)}}
    record = run_video(CLIP, "builtin:objects", sampling=Sampling(max_frames=5), set_params=params)
    assert bool(record.remarks) is remarked
    if remarked:
        assert "no score is above 0.01 (the best is 0.009) in all 5 frames" in record.remarks[0]


def test_shipped_models_are_not_called_dead() -> None:
    record = run_video(CLIP, "builtin:people", sampling=Sampling(stride=40))
    assert record.remarks == []
