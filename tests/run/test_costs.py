"""What a run will cost: found without writing anything, and from the moments at which results come out."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import orjson
import pytest
from jsonschema import Draft202012Validator

from tests.clips import encode, overwrite
from tests.commands import videodag
from tests.graphs import TOYS, document, node, registry, write
from videodag_cli.cli.plan import recommended_command
from videodag_cli.run import costs
from videodag_cli.run.api import plan_for
from videodag_cli.run.costs import run_costs, seconds_each, stretches
from videodag_cli.run.job import Job
from videodag_cli.schemas import load_schema
from videodag_cli.video import pyav

FRAMES = 150


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", indices=range(FRAMES), options={"g": "10"})


@pytest.mark.parametrize("burst", [1, 2, 4, 7])
def test_results_that_come_in_bursts_have_the_rate_of_those_that_do_not(burst: int) -> None:
    moments = [0.05 * burst * (1 + number // burst) + 3.0 for number in range(28)]
    assert seconds_each(moments) == pytest.approx(0.05, rel=0.02 * burst)


def test_the_time_until_everything_is_full_does_not_count() -> None:
    assert seconds_each([9.0, *(9.01 + 0.02 * number for number in range(40))]) == pytest.approx(0.02)


def test_stretches_are_spread_and_keep_the_sampling() -> None:
    targets = np.arange(0, 10_000, 7)
    found = list(stretches(targets, 60, behind=16))
    assert [timed for _, timed in found] == [20, 20, 20]
    for stretch, timed in found:
        assert len(stretch) == timed + 16
        assert set(np.diff(stretch)) == {7}
    middles = [stretch[0] / targets[-1] for stretch, _ in found]
    assert middles == pytest.approx([1 / 6, 3 / 6, 5 / 6], abs=0.02)
    ((every, timed),) = stretches(targets[:70], 60, behind=16)
    assert len(every) == timed == 70


def test_it_says_what_it_tried_and_which_node_holds_everything_up(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videodag_cli.run.costs.WHOLE_S", 0.0)
    monkeypatch.setattr("videodag_cli.run.costs.TIMED_S", 0.1)
    path = write(
        tmp_path, document([node("slow:counter", sleep_s=0.02), "mean", node("bad:fails_at", frames=[80])], id="p")
    )
    costs = run_costs(Job.make(clip, plan_for(str(path), registry=registry()), None, None, registry(), None), frames=60)
    assert (costs.sampled, costs.tried, costs.undecodable) == (FRAMES, 60, 0)
    assert costs.bottleneck == "node slow"
    assert {cost.node: cost.in_order for cost in costs.nodes} == {"slow": True, "mean": False, "bad": False}
    assert costs.nodes[-1].ms >= 20
    assert costs.expected_s >= 0.02 * FRAMES
    assert costs.command[-2:] == ["--workers", "1"]
    assert costs.failed == 1


def test_a_video_that_is_short_is_run_as_a_whole(clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes())
    overwrite(broken, [25])
    path = write(tmp_path, document(["mean", "later"], id="p"))
    costs = run_costs(
        Job.make(broken, plan_for(str(path), registry=registry()), None, None, registry(), None), frames=200
    )
    assert costs.tried + costs.undecodable == FRAMES
    assert costs.undecodable > 0


def test_the_command_writes_nothing_and_keeps_to_its_schema(clip: Path, tmp_path: Path) -> None:
    path = write(tmp_path, document(["mean", "later"], id="p"))
    before = sorted(os.listdir(tmp_path))
    done = videodag("plan", "-p", path, "--plugins-dir", TOYS, "--frame-stride", "2", "--json", clip, cwd=tmp_path)
    assert done.code == 0, done.err
    found = orjson.loads(done.out)
    Draft202012Validator(load_schema("plan")).validate(found)
    assert found["sampled"] == FRAMES // 2
    assert found["command"][:2] == ["videodag", "run"]
    assert "--json" not in found["command"]
    assert sorted(os.listdir(tmp_path)) == before


def test_the_recommended_line_is_the_given_one_with_its_own_options_left_out() -> None:
    given = ["-p", "people", "--frames", "30", "--workers=4", "clip.mp4", "--json", "--workers", "2", "--every", "1"]
    expected = ["videodag", "run", "-p", "people", "clip.mp4", "--every", "1", "--workers", "1"]
    assert recommended_command(["--workers", "1"], given) == expected


def test_several_videos_are_refused(clip: Path) -> None:
    done = videodag("plan", "-p", "quality", clip, clip)
    assert done.code == 2
    assert done.word == "usage"


def test_pictures_that_come_in_bursts_are_run_as_a_whole_where_that_is_quick(clip: Path, tmp_path: Path) -> None:
    path = write(tmp_path, document(["mean"], id="p"))
    job = Job.make(clip, plan_for(str(path), registry=registry()), None, None, registry(), None)
    found = run_costs(job, frames=30)
    assert found.tried == FRAMES
    assert found.frame_ms >= found.decode_ms * 0.9


def test_pictures_that_are_decoded_only_to_begin_in_the_middle_cost_a_whole_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = encode(tmp_path / "clip.mp4", indices=range(FRAMES), options={"g": "1000"})
    path = write(tmp_path, document(["mean"], id="p"))
    job = Job.make(clip, plan_for(str(path), registry=registry()), None, None, registry(), None)
    steps = itertools.count()
    monkeypatch.setattr(pyav, "perf_counter", lambda: next(steps) / 1000)  # each packet and each picture takes 1 ms
    whole = run_costs(job, frames=FRAMES)
    monkeypatch.setattr(costs, "WHOLE_S", 0.0)
    monkeypatch.setattr(costs, "TIMED_S", 0.0)
    parts = run_costs(job, frames=30)
    assert (whole.tried, parts.tried) == (FRAMES, 30)
    assert parts.decode_ms == pytest.approx(whole.decode_ms, rel=0.3)
