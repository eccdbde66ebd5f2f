"""The pipelines of detection and text, run as a user does: the same bytes with any number of workers, and your own model in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.onnx_models import constant_model

ROOT = Path(__file__).parent.parent
PEDESTRIANS, SYNTHETIC = (ROOT / "sample_videos" / name for name in ("pedestrians.mp4", "synthetic.mp4"))
RUN = (sys.executable, "-c", "from videodag_cli.cli.app import main; main()", "run", "-q")
CLIPS = {
    "objects": PEDESTRIANS,
    "people": PEDESTRIANS,
    "vehicles": PEDESTRIANS,
    "faces": PEDESTRIANS,
    "text": SYNTHETIC,
    "objects_text": SYNTHETIC,
}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT)


def lines(*arguments: object) -> list[dict[str, Any]]:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("pipeline", CLIPS)
def test_any_number_of_workers_gives_the_same_bytes(pipeline: str) -> None:
    if "text" in pipeline:
        pytest.importorskip("rapidocr")
    sampling = ("--frame-stride", "15", "--max-frames", "5")
    outputs = {run("-p", f"builtin:{pipeline}", *sampling, "--workers", n, CLIPS[pipeline]).stdout for n in (1, 2, 4)}
    assert len(outputs) == 1
    assert len(outputs.pop().splitlines()) == 5


def test_text_of_a_region_is_the_frame_index_and_lies_where_it_is_in_the_frame() -> None:
    pytest.importorskip("rapidocr")
    region = ("--set", "crop.region=[0.6875, 0.8, 1, 1]", "--set", "text.mode=line")
    for line in lines("-p", "text", *region, "--frame-stride", 17, SYNTHETIC):
        (found,) = line["result"]["text"]
        assert found["text"] == f"{line['frame_index']:06d}"
        assert found["xyxy"] == [440, 288, 640, 360]


def test_a_model_of_the_users_finds_what_is_then_read(tmp_path: Path) -> None:
    """A detector that always reports the place of the counter, 640x360 letterboxed into 64x64."""
    pytest.importorskip("rapidocr")
    out = np.zeros((1, 5, 84), np.float32)
    out[0, :, 3] = [54, 46.5, 20, 7, 0.9]
    model = constant_model(tmp_path / "sign.onnx", {"output0": out}, metadata={"names": "{0: 'sign'}"})
    own = ("--set", f"detect.model={model}", "--set", "text.mode=line")
    (line,) = lines("-p", "objects_text", *own, "--start", "45f", "--max-frames", 1, SYNTHETIC)
    assert [row["class_name"] for row in line["result"]["detect"]] == ["sign"]
    assert line["result"]["detect"][0]["xyxy"] == [440, 290, 640, 360]
    assert [(row["detection"], row["text"]) for row in line["result"]["text"]] == [(0, "000045")]


def test_a_model_that_does_not_fit_ends_with_one_line_and_exit_2(tmp_path: Path) -> None:
    path = constant_model(
        tmp_path / "pose.onnx", {"output0": np.zeros((1, 56, 84), np.float32)}, metadata={"task": "pose"}
    )
    done = run("-p", "objects", "--set", f"detect.model={path}", PEDESTRIANS)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(
        "videodag: error[param.file]: node 'detect': model pose.onnx is made for pose estimation"
    )
