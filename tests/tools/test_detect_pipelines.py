"""The pipelines of detection and text, run as a user does: the same bytes with any number of workers, and your own model in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.commands import videodag
from tests.onnx_models import constant_model
from videodag_cli import FrameResult, RunOptions, Sampling, iter_video, run_video

ROOT = Path(__file__).parents[2]
PEDESTRIANS, SYNTHETIC = (ROOT / "sample_videos" / name for name in ("pedestrians.mp4", "synthetic.mp4"))
CLIPS = {
    "objects": PEDESTRIANS,
    "people": PEDESTRIANS,
    "vehicles": PEDESTRIANS,
    "faces": PEDESTRIANS,
    "people_pose": PEDESTRIANS,
    "text": SYNTHETIC,
    "objects_text": SYNTHETIC,
}


def json_of(result: FrameResult) -> dict[str, Any]:
    assert result.values is not None
    return result.values


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", CLIPS)
def test_any_number_of_workers_gives_the_same_bytes(pipeline: str, tmp_path: Path) -> None:
    if "text" in pipeline:
        pytest.importorskip("rapidocr")
    written = set()
    for workers in (1, 2, 4):
        output = tmp_path / f"{workers}.jsonl"
        options = RunOptions(workers=workers, batch_size=workers)
        sampling = Sampling(stride=15, max_frames=4)
        record = run_video(CLIPS[pipeline], f"builtin:{pipeline}", sampling=sampling, output=output, options=options)
        assert record.exit_code == 0
        written.add(output.read_bytes())
    assert len(written) == 1
    assert len(written.pop().splitlines()) == 4


def test_text_of_a_region_is_the_frame_index_and_lies_where_it_is_in_the_frame() -> None:
    pytest.importorskip("rapidocr")
    params: dict[str, dict[str, Any]] = {"crop": {"region": [0.6875, 0.8, 1, 1]}, "text": {"mode": "line"}}
    results = list(iter_video(SYNTHETIC, "builtin:text", sampling=Sampling(stride=17), set_params=params))
    assert len(results) == 8
    for result in results:
        (found,) = json_of(result)["text"]
        assert found["text"] == f"{result.frame_index:06d}"
        assert found["xyxy"] == [440, 288, 640, 360]


def test_a_model_of_the_users_finds_what_is_then_read(tmp_path: Path) -> None:
    """A detector that always reports the place of the counter, 640x360 letterboxed into 64x64."""
    pytest.importorskip("rapidocr")
    out = np.zeros((1, 5, 84), np.float32)
    out[0, :, 3] = [54, 46.5, 20, 7, 0.9]
    model = constant_model(tmp_path / "sign.onnx", {"output0": out}, metadata={"names": "{0: 'sign'}"})
    params = {"detect": {"model": str(model)}, "text": {"mode": "line"}}
    (result,) = iter_video(SYNTHETIC, "builtin:objects_text", sampling=Sampling(max_frames=1), set_params=params)
    line = json_of(result)
    assert [row["class_name"] for row in line["detect"]] == ["sign"]
    assert line["detect"][0]["xyxy"] == [440, 290, 640, 360]
    assert [(row["detection"], row["text"]) for row in line["text"]] == [(0, "000000")]


@pytest.mark.slow
def test_a_model_that_does_not_fit_ends_with_one_line_and_exit_2(tmp_path: Path) -> None:
    path = constant_model(
        tmp_path / "depth.onnx", {"output0": np.zeros((1, 56, 84), np.float32)}, metadata={"task": "depth"}
    )
    done = videodag("run", "-q", "-p", "builtin:objects", "--set", f"detect.model={path}", PEDESTRIANS)
    assert done.code == 2
    assert done.text == ""
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith(
        "videodag: error[param.file]: node 'detect': model depth.onnx is made for depth estimation"
    )
