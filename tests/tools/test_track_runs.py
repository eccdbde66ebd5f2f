"""Tracking pipelines run over real clips, as a user runs them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import motmetrics
import numpy as np
import pytest

from tests.walks import SAMPLES, synthetic_truth
from videodag_cli.graph.plugins import Registry
from videodag_cli.run.api import run_video
from videodag_cli.run.job import RunOptions, plan_for
from videodag_cli.run.record import RunRecord
from videodag_cli.video.sampling import Sampling
from videodag_cli.vision.boxes import iou_matrix
from videodag_cli.vision.masks import mask_area

pytestmark = pytest.mark.slow

TRUTH_PLUGIN = """
from pathlib import Path
import numpy as np
from videodag_cli import Detections, Frame, tool
from videodag_cli.data import Affine, Points
from videodag_cli.vision.masks import InstanceMask

ROWS = np.loadtxt({truth!r}, delimiter=",")

@tool
def boxes(frame: Frame) -> Detections:
    rows = ROWS[ROWS[:, 0] == frame.index + 1]
    corners = np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], axis=1)
    points = np.stack([corners[:, :2], corners[:, 2:]], axis=1)
    disc = np.hypot(*(np.mgrid[:20, :20] - 9.5)) < 9
    masks = tuple(InstanceMask.on(frame, disc, Affine(w / 20, h / 20, x, y)) for x, y, w, h in rows[:, 2:6])
    data = {{"mask": masks, "corners": tuple(Points(np.stack([p, p + (9, 5), p + (4, 14)])) for p in points[:, 0])}}
    return Detections(corners, confidence=rows[:, 6], class_id=np.zeros(len(rows)), class_name=("box",) * len(rows),
                      keypoints=points, visibility=np.resize((0.9, 0.4), (len(rows), 2)), data=data)
"""
TRUTH_PIPELINE = {
    "id": "exact",
    "name": "exact",
    "nodes": [
        {"id": "detect", "plugin_id": "truth", "tool_id": "boxes"},
        {
            "id": "right",
            "plugin_id": "filter",
            "tool_id": "detections",
            "params": {"min_area": 0.5, "units": "fraction"},
        },
        {"id": "both", "plugin_id": "merge", "tool_id": "detections"},
        {
            "id": "still",
            "plugin_id": "filter",
            "tool_id": "static",
            "params": {"after_s": 0.2, "iou": 0.3, "static": "mark"},
        },
        {"id": "track", "plugin_id": "track", "tool_id": "objects"},
        {
            "id": "line",
            "plugin_id": "zones",
            "tool_id": "line",
            "params": {"lines": [{"name": "middle", "start": [320, 360], "end": [320, 0]}]},
        },
        {"id": "count", "plugin_id": "zones", "tool_id": "count", "params": {"zones": "zones.json"}},
        {"id": "dwell", "plugin_id": "zones", "tool_id": "dwell", "params": {"zones": "zones.json"}},
    ],
    "edges": [
        {"from_node": "detect", "to_node": "right"},
        {"from_node": "detect", "to_node": "both"},
        {"from_node": "right", "to_node": "both"},
        {"from_node": "both", "to_node": "still"},
        {"from_node": "still", "to_node": "track"},
        {"from_node": "track", "to_node": "line"},
        {"from_node": "track", "to_node": "count"},
        {"from_node": "track", "to_node": "dwell"},
    ],
    "entry_nodes": ["detect"],
    "output_nodes": ["track", "line", "count", "dwell"],
}


Run = Callable[..., RunRecord]


@pytest.fixture
def exact(tmp_path: Path) -> Run:
    """A pipeline that tracks the true boxes of the synthetic clip; its zone is the left half."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "truth.py").write_text(TRUTH_PLUGIN.format(truth=str(SAMPLES / "synthetic.mot.txt")))
    (tmp_path / "zones.json").write_text('[{"name": "left", "polygon": [[0, 0], [320, 0], [320, 360], [0, 360]]}]')
    (tmp_path / "exact.json").write_text(json.dumps(TRUTH_PIPELINE))
    registry = Registry([plugins])
    plan = plan_for(tmp_path / "exact.json", registry=registry)
    return partial(run_video, SAMPLES / "synthetic.mp4", plan, registry=registry)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_run_on_true_boxes_makes_no_error(exact: Run, tmp_path: Path, stride: int) -> None:
    record = exact(sampling=Sampling(stride=stride), output=tmp_path / "o.jsonl")
    assert record.exit_code == 0
    truth, accumulator, lines = (
        synthetic_truth(),
        motmetrics.MOTAccumulator(auto_id=True),
        lines_of(tmp_path / "o.jsonl"),
    )
    for line in lines:
        real, rows = truth[line["frame_index"]], line["result"]["track"]
        found = np.reshape([row["xyxy"] for row in rows], (-1, 4))
        distances = 1 - iou_matrix(np.reshape(list(real.values()), (-1, 4)), found)
        distances[distances > 0.5] = np.nan
        accumulator.update(list(real), [row["tracker_id"] for row in rows], distances)
        left = sum(feet <= 320 for feet in ((box[0] + box[2]) / 2 for box in real.values()))
        assert line["result"]["count"]["left"]["count"] == left
    result = motmetrics.metrics.create().compute(accumulator, metrics=["mota", "num_switches"]).iloc[0]
    assert (result.mota, result.num_switches) == (1.0, 0)
    middle = lines[-1]["result"]["line"]["middle"]
    assert (middle["in_count"], middle["out_count"]) == (1, 1)


def test_dwell_of_a_run_equals_the_time_of_the_true_boxes_inside(exact: Run, tmp_path: Path) -> None:
    """Box 1 starts at x = 30 with 5 pixels a frame; its middle, x + 20, is beyond 320 from frame 55 on."""
    exact(output=tmp_path / "o.jsonl")
    ended = [visit for line in lines_of(tmp_path / "o.jsonl") for visit in line["result"]["dwell"]["left"]["left"]]
    assert ended[0] == {
        "tracker_id": 1,
        "class_name": "box",
        "entered_s": 0.0,
        "left_s": 2.2,
        "visit_s": 2.2,
        "total_s": 2.2,
    }


def test_tracks_of_a_run_have_the_points_masks_and_corners_of_their_boxes(exact: Run, tmp_path: Path) -> None:
    exact(sampling=Sampling(max_frames=50), output=tmp_path / "o.jsonl")
    rows = [row for line in lines_of(tmp_path / "o.jsonl") for row in line["result"]["track"]]
    assert {row["static"] for row in rows} == {False, True}
    for row in rows:
        x1, y1, x2, y2 = row["xyxy"]
        assert row["keypoints"] == [[x1, y1, 0.9], [x2, y2, 0.4]]
        assert row["corners"] == [[x1, y1], [x1 + 9, y1 + 5], [x1 + 4, y1 + 14]]
        assert mask_area(row["mask"]) == pytest.approx(0.81 * math.pi / 4 * (x2 - x1) * (y2 - y1), rel=0.03)


def test_any_number_of_workers_gives_the_same_bytes(exact: Run, tmp_path: Path) -> None:
    outputs = []
    for workers in (1, 2, 4):
        path = tmp_path / f"{workers}.jsonl"
        exact(output=path, options=RunOptions(workers=workers))
        outputs.append(path.read_bytes())
    assert outputs[0] == outputs[1] == outputs[2]


def test_an_interrupted_run_continues_with_the_same_bytes(exact: Run, tmp_path: Path) -> None:
    """Stopped behind a checkpoint in the middle of the tracks, then started again."""
    exact(output=tmp_path / "whole.jsonl")
    path = tmp_path / "cut.jsonl"

    def stop(done: int, total: int) -> None:
        if done >= 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exact(output=path, on_progress=stop, options=RunOptions(checkpoint_every_s=0.0))
    note = json.loads(path.with_name("cut.jsonl.part.json").read_text())
    assert note["checkpoint"]["frame_index"] >= 20
    exact(output=path)
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_people_keep_their_ids_on_the_pedestrian_clip(tmp_path: Path) -> None:
    """Three walk towards each other; a fourth and a fifth come in from the right. Places were read off the pictures."""
    places = {
        0: {"left": (270, 264), "top": (514, 195), "right": (662, 282)},
        10: {"left": (336, 250), "top": (484, 207), "right": (567, 280)},
        20: {"left": (381, 234), "right": (460, 274), "red": (703, 324), "blonde": (742, 320)},
        24: {"left": (385, 230), "right": (428, 272), "red": (681, 313), "blonde": (713, 311)},
    }
    run_video(
        SAMPLES / "pedestrians.mp4",
        plan_for("people_tracking"),
        sampling=Sampling(max_frames=25),
        output=tmp_path / "o.jsonl",
    )
    lines = lines_of(tmp_path / "o.jsonl")
    ids: dict[str, set[int]] = {}
    for frame, people in places.items():
        for name, (x, y) in people.items():
            here = [
                row["tracker_id"]
                for row in lines[frame]["result"]["track"]
                if abs((row["xyxy"][0] + row["xyxy"][2]) / 2 - x) < 15
                and abs((row["xyxy"][1] + row["xyxy"][3]) / 2 - y) < 25
            ]
            assert len(here) == 1, (frame, name)
            ids.setdefault(name, set()).update(here)
    assert {name: len(found) for name, found in ids.items()} == dict.fromkeys(ids, 1)
    assert len(set.union(*ids.values())) == 5


def test_line_counting_counts_on_the_pedestrian_clip_at_once(tmp_path: Path) -> None:
    """In the first 30 frames one walks left over the line that the user moves to x = 550, the second at 640 stays."""
    moved = [{"name": "moved", "start": [550, 576], "end": [550, 0]}]
    plan = plan_for("line_counting", set_params={"line": {"lines": moved, "units": "pixel"}})
    run_video(
        SAMPLES / "pedestrians.mp4", plan, sampling=Sampling(stride=2, max_frames=14), output=tmp_path / "o.jsonl"
    )
    lines = lines_of(tmp_path / "o.jsonl")
    events = [crossing for line in lines for crossing in line["result"]["line"]["moved"]["crossings"]]
    assert [(event["class_name"], event["direction"]) for event in events] == [("person", "out")]
    assert lines[-1]["result"]["line"]["moved"]["by_class"] == {"person": {"in_count": 0, "out_count": 1}}
    assert list(lines[0]["result"]) == ["line", "track"]


@pytest.mark.parametrize("pipeline", ["people_tracking", "objects_tracking", "line_counting", "people_pose_tracking"])
def test_shipped_pipelines_are_valid(pipeline: str) -> None:
    assert plan_for(pipeline)
