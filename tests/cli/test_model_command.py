"""What a model file was read as is the same in `model`, `validate --load`, `run --dry-run` and the record."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orjson
import pytest

from tests.commands import Done, command, quick
from tests.onnx_models import constant_model

pytestmark = pytest.mark.slow

CLIP = Path(__file__).parents[2] / "sample_videos" / "synthetic.mp4"
OUT = np.zeros((1, 7, 84), np.float32)
OUT[0, :, 3] = [32, 32, 20, 20, 0, 0.9, 0]
BOX = [220.0, 80.0, 420.0, 280.0]
"""That box of 64x64 in a picture of 640x360 with a letterbox."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    constant_model(tmp_path / "best.onnx", {"output0": OUT}, shape=(1, 3, "h", "w"), metadata={"imgsz": "[64, 64]"})
    (tmp_path / "data.yaml").write_text("names: {0: ant, 1: bee, 2: fly}\n")
    return tmp_path


def model(folder: Path, *arguments: str | Path) -> Done:
    return quick(command("model", *arguments), cwd=folder)


def test_it_says_in_plain_words_what_the_file_was_taken_for_and_who_decided(folder: Path) -> None:
    done = model(
        folder, "best.onnx", "--labels", "data.yaml", "--set", "channels=bgr", "--set", "detect.confidence=0.5"
    )
    assert (done.code, done.err) == (0, "")
    text = done.out.decode()
    for row in (
        "layout       yolov8",
        "input        64x64, float32 (the file's metadata)",
        "fit          letterbox (usual for this layout)",
        "channels     BGR (set by a param)",
        "values       0..1 (usual for this layout)",
        "scores       as they are",
        "suppression  done here",
        "classes      3: ant, bee, fly (given by param labels, data.yaml)",
    ):
        assert f"  {row}\n" in text, row
    assert text.splitlines()[-1] == (
        "videodag run -p objects --set detect.model=best.onnx --set detect.labels=data.yaml --set detect.channels=bgr "
        "--set detect.confidence=0.5 clip.mp4"
    )


def test_the_line_at_the_end_runs_as_it_is(folder: Path) -> None:
    (folder / "best.onnx").rename(folder / "my best.onnx")
    last = model(folder, "my best.onnx", "--labels", "ant, bee,fly").out.decode().splitlines()[-1]
    arguments = shlex.split(last)
    assert arguments[0] == "videodag"
    done = quick(command(*arguments[1:-1], "--max-frames", "1", "-q", CLIP), cwd=folder)
    assert [box["class_name"] for box in done.lines[0]["result"]["detect"]] == ["bee"]


def test_nameless_classes_are_told_how_to_get_names(folder: Path) -> None:
    text = model(folder, "best.onnx").out.decode()
    assert "classes      3: class 0, class 1, class 2 (the file names none)" in text
    assert "! the classes have no names; give them with --labels" in text


def test_the_line_of_a_tried_frame_is_the_line_of_a_run(folder: Path) -> None:
    options = ["--set", "detect.model=best.onnx", "--set", "detect.labels=ant,bee,fly"]
    run = quick(
        command("run", "-p", "builtin:objects", "--start", "2", "--max-frames", "1", "-q", *options, CLIP), cwd=folder
    )
    tried = model(folder, "best.onnx", "--labels", "ant,bee,fly", "--try", CLIP, "--at", "2")
    assert tried.code == 0
    assert tried.out == run.out
    assert tried.lines[0]["result"]["detect"][0]["xyxy"] == BOX
    assert "layout       yolov8" in tried.err


def test_a_picture_is_tried_too_and_has_no_times(folder: Path) -> None:
    cv2.imwrite(str(folder / "still.png"), np.full((360, 640, 3), 90, np.uint8))
    tried = model(folder, "best.onnx", "--labels", "ant,bee,fly", "--try", "still.png")
    assert tried.lines == [
        {
            "frame_index": 0,
            "time_s": 0.0,
            "result": {"detect": [{"xyxy": BOX, "confidence": 0.9, "class_id": 1, "class_name": "bee"}]},
        }
    ]
    assert model(folder, "best.onnx", "--try", "still.png", "--at", "2").word == "usage"


def test_json_holds_everything(folder: Path) -> None:
    done = model(folder, "best.onnx", "--labels", "data.yaml", "--try", CLIP, "--json")
    document = json.loads(done.out)
    assert document["model"]["labels"] == ["ant", "bee", "fly"]
    assert (document["model"]["labels_from"], document["model"]["labels_file"]) == ("param", "data.yaml")
    assert document["set"] == ["detect.model=best.onnx", "detect.labels=data.yaml"]
    assert document["line"]["result"]["detect"][0]["xyxy"] == BOX
    assert document["remarks"] == []
    assert done.err == ""


@pytest.mark.parametrize(
    ("arguments", "word", "message"),
    [
        (["none.onnx"], "param.file", "model none.onnx cannot be read: No such file"),
        (["data.yaml"], "param.file", "model data.yaml is text"),
        (["best.onnx", "--set", "siez=64"], "param.invalid", "unknown param 'siez'; did you mean 'size'"),
        (["best.onnx", "--set", "size"], "usage", "give PARAM=VALUE"),
        (["best.onnx", "--labels", "a,b"], "param.invalid", "outputs 3 classes"),
        (["best.onnx", "--labels", "a,b,c", "--set", "labels=a"], "usage", "labels is given already"),
        (["best.onnx", "--at", "1"], "usage", "--at needs --try"),
        (["best.onnx", "--try", "none.mp4"], "input.missing", "none.mp4: there is no such file"),
        (["best.onnx", "--try", "data.yaml"], "input.not_mp4", "neither an MP4 or MOV file nor a picture"),
        (["best.onnx", "--try", "."], "input.not_file", "is not a regular file"),
        (["best.onnx", "--try", str(CLIP), "--at", "99999"], "input.no_frames", "has no frame from 99999 on"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: list[str], word: str, message: str, folder: Path) -> None:
    done = model(folder, *arguments)
    assert (done.word, done.out, len(done.err.splitlines())) == (word, b"", 1)
    assert message in done.error
    assert done.code == (3 if word.startswith("input") else 2)


def test_a_model_whose_numbers_cannot_be_scores_fails_with_the_line(folder: Path) -> None:
    from tests.vision.test_detect_scores import scaled_model

    scaled_model(folder / "bad.onnx", 6.0)
    cv2.imwrite(str(folder / "still.png"), np.full((64, 64, 3), 200, np.uint8))
    done = model(folder, "bad.onnx", "--labels", "lamp,", "--try", "still.png")
    assert done.code == 4
    assert done.lines[0]["result"] is None
    assert "outputs a confidence of 4.7" in done.error


def test_a_dead_model_is_remarked_on_when_it_is_tried(folder: Path) -> None:
    constant_model(
        folder / "dead.onnx", {"output0": np.zeros((1, 7, 84), np.float32)}, metadata={"names": "['a','b','c']"}
    )
    done = model(folder, "dead.onnx", "--try", CLIP)
    assert done.code == 0
    assert "note: node 'detect': model dead.onnx: every score is 0 in the only frame" in done.err


def test_validate_takes_params_and_opens_the_model_they_name(folder: Path) -> None:
    (folder / "params.json").write_text('{"detect": {"model": "best.onnx", "labels": ["ant", "bee", "fly"]}}')
    for options in (
        ["--set", "detect.model=best.onnx", "--set", "detect.labels=data.yaml"],
        ["--params", "params.json"],
    ):
        done = quick(command("pipelines", "validate", "builtin:objects", "--load", *options), cwd=folder)
        assert done.code == 0, done.err
        assert "layout yolov8, " in done.out.decode()
        assert "labels 3: ant, bee, fly" in done.out.decode()
    for options in (["--set", "detect.model=data.yaml"], ["--set", "detect.confidence=2"]):
        assert quick(command("pipelines", "validate", "builtin:objects", "--load", *options), cwd=folder).code == 2
    assert quick(command("pipelines", "validate", "--set", "detect.model=best.onnx"), cwd=folder).word == "usage"


def test_dry_run_and_record_hold_what_the_model_command_says(folder: Path) -> None:
    told: dict[str, Any] = json.loads(model(folder, "best.onnx", "--labels", "data.yaml", "--json").out)["model"]
    options = f"-p builtin:objects --set detect.model=best.onnx --set detect.labels=data.yaml {CLIP}".split()
    dry = json.loads(quick(command("run", "--dry-run", *options), cwd=folder).out)
    assert dry["models"] == {"detect": told}
    assert quick(command("run", "--max-frames", "2", "-o", "out.jsonl", *options), cwd=folder).code == 0
    record = orjson.loads((folder / "out.jsonl.run.json").read_bytes())
    assert record["models"] == {"detect": told}
    assert (told["layout"], told["width"], told["values"], told["size_from"]) == ("yolov8", 64, "unit", "metadata")


def test_dry_run_names_a_file_that_is_no_model(folder: Path) -> None:
    done = quick(
        command("run", "--dry-run", "-p", "builtin:objects", "--set", "detect.model=data.yaml", CLIP), cwd=folder
    )
    assert (done.code, done.word) == (2, "param.file")


def test_shipped_models_say_where_their_names_come_from(tmp_path: Path) -> None:
    text = model(tmp_path, "vehicles").out.decode()
    assert "classes      24: ???, Bicycle" in text
    assert "(those of the shipped model)" in text
