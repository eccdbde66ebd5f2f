"""On a cluster: what differs between machines is said before anything runs, and a worker that dies changes nothing but time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.batch.cluster import WORKERS, Cluster
from tests.batch.tasks import task
from tests.clips import encode
from tests.graphs import TOYS, document, node, registry, write
from videodag_cli import BatchOptions, run_videos
from videodag_cli.batch.api import Batch, run_batch
from videodag_cli.batch.expectation import Expectation, file_sizes, unmet
from videodag_cli.batch.task import VideoTask
from videodag_cli.errors import MissingExtraError, RequestError, StoppedError
from videodag_cli.graph.plugins import Registry
from videodag_cli.run.api import run_video

pytest.importorskip("distributed")
from videodag_cli.batch.executors.dask import OnDask

Make = Callable[..., Batch]


@pytest.fixture
def place(cluster: Cluster) -> Iterator[OnDask]:
    with OnDask(cluster.address) as place:
        place._client.wait_for_workers(WORKERS, timeout=60)
        yield place


def kill_worker_of(place: OnDask, cluster: Cluster, once: Path) -> None:
    """Kill the worker that runs a task which has come so far; another one takes its place."""
    while not once.exists():
        time.sleep(0.02)
    once.unlink()
    (address,) = (worker for worker, keys in place._client.processing().items() if keys)
    (pid,) = place._client.run(os.getpid, workers=[address]).values()
    os.kill(pid, signal.SIGKILL)
    cluster.add_worker()


def waiting(clip: Path, folder: Path, *, then: str = "") -> VideoTask:
    """A task that comes to frame 6, says so in `once`, and waits there for a minute, as often as `once` is not there."""
    return task(
        clip,
        folder / "out.jsonl",
        [node("hostile.stateless", at=[6], kind="sleep", once=str(folder / "once")), "counter"],
    )


def test_killing_a_worker_changes_nothing_but_time(place: OnDask, cluster: Cluster, clip: Path, tmp_path: Path) -> None:
    future = place.submit(waiting(clip, tmp_path))
    kill_worker_of(place, cluster, tmp_path / "once")
    (tmp_path / "once").touch()  # it does not wait again
    (outcome,) = future.result(60)
    assert (outcome.status, outcome.sampled) == ("done", 12)
    run_video(clip, os.fspath(tmp_path / "p0.json"), output=tmp_path / "alone.jsonl", registry=registry())
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "alone.jsonl").read_bytes()


def test_a_video_whose_workers_keep_dying_fails_alone(
    place: OnDask, cluster: Cluster, clip: Path, tmp_path: Path
) -> None:
    future = place.submit(waiting(clip, tmp_path))
    for _ in range(2):
        kill_worker_of(place, cluster, tmp_path / "once")
    with pytest.raises(StoppedError, match="the workers that ran it died") as found:
        future.result(60)
    assert found.value.word == "stopped.crash"
    (outcome,) = place.submit(task(clip, tmp_path / "other.jsonl", number=1)).result(60)
    assert outcome.status == "done"


def test_leaving_stops_the_children_of_the_workers(cluster: Cluster, clip: Path, tmp_path: Path) -> None:
    with OnDask(cluster.address) as place:
        place._client.wait_for_workers(WORKERS, timeout=60)
        place.submit(waiting(clip, tmp_path))
        while not (tmp_path / "once").exists():
            time.sleep(0.02)
        children = f"--ppid {','.join(map(str, place._client.run(os.getpid).values()))}"
    until = time.monotonic() + 10
    while (left := running(children)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left
    assert (tmp_path / "out.jsonl.part").exists()


def running(children: str) -> list[str]:
    shown = subprocess.run(["ps", "-o", "pid=,args=", *children.split()], capture_output=True, text=True, check=False)
    return [line for line in shown.stdout.splitlines() if "executors.worker" in line]


def test_a_folder_of_videos_ends_as_on_one_machine(cluster: Cluster, videos: Path, tmp_path: Path) -> None:
    encode(videos / "deadly.mp4", indices=range(20))
    pipeline = write(tmp_path, document([node("hostile.stateless", at=[15], kind="sigkill"), "mean"], id="p"))

    def run(output_dir: Path, **more: Any) -> dict[str, tuple[str, str | None]]:
        found = run_videos([videos], [pipeline], output_dir=output_dir, registry=Registry((TOYS,)), **more)
        return {Path(outcome.video).name: (outcome.status, outcome.word) for outcome in found}

    expected = {
        "a.mp4": ("done", None),
        "b.MOV": ("done", None),
        "text.mp4": ("failed", "input.not_mp4"),
        "deadly.mp4": ("failed", "stopped.crash"),
    }
    assert run(tmp_path / "far", dask=cluster.address) == expected
    assert run(tmp_path / "near", batch_options=BatchOptions(jobs=1)) == expected
    for output in ("a.mp4.p.jsonl", "cam/b.MOV.p.jsonl"):
        assert (tmp_path / "far" / output).read_bytes() == (tmp_path / "near" / output).read_bytes()


def test_a_worker_that_is_not_as_expected_is_told_before_anything_runs(
    cluster: Cluster, batch: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Expectation, "__init__", older(Expectation.__init__))
    with OnDask(cluster.address) as place:
        place._client.wait_for_workers(WORKERS, timeout=60)
        with pytest.raises(RequestError, match=r"worker tcp://.*: videodag .* 0\.0\.1 here"):
            list(run_batch(batch(), executor=place))
    assert not list((tmp_path / "out").glob("*.jsonl*"))


def older(init: Callable[..., None]) -> Callable[..., None]:
    return lambda self, **more: init(self, **{**more, "version": "0.0.1"})


def test_an_address_where_nobody_answers_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("distributed.Client", lambda *a, **k: pytest.fail("it would go on trying"))
    file = tmp_path / "scheduler.json"
    file.write_text('{"address": "tcp://127.0.0.1:1"}')
    for address in ("tcp://127.0.0.1:1", str(file)):
        with (
            pytest.raises(RequestError, match=rf"--dask {address}: no scheduler answers there \(Connection refused"),
            OnDask(address),
        ):
            pass
    file.write_text("{}")
    with pytest.raises(RequestError, match="the file names no address"), OnDask(str(file)):
        pass
    monkeypatch.undo()
    with pytest.raises(RequestError, match=r"--dask nothing\.json"), OnDask("nothing.json"):
        pass


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"videodag\[dask\]"), OnDask("local"):
        pass


# --- what is compared, without a cluster ---


@pytest.fixture
def expected(batch: Make, tmp_path: Path) -> Expectation:
    made = batch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "batch.json").write_text('{"schema": "videodag.batch/1", "id": "abc"}')
    video, verdicts = next(iter(made.verdicts(None)))
    return made.expectation("abc", [made.task(0, video, verdicts)])


def test_the_machine_a_batch_begins_on_is_as_expected(expected: Expectation) -> None:
    assert list(unmet(expected)) == []


def test_another_folder_under_the_same_path_is_told(expected: Expectation) -> None:
    (problem,) = unmet(replace(expected, batch_id="def"))
    assert "is not the same folder there" in problem


def test_videos_that_are_missing_or_others_are_told(expected: Expectation, tmp_path: Path, clip: Path) -> None:
    sizes = (*file_sizes([os.fspath(clip)]), (str(tmp_path / "no.mp4"), 1), (str(clip), 7))
    problems = list(unmet(replace(expected, sizes=sizes)))
    assert [
        problem.startswith(str(path)) for problem, path in zip(problems, (tmp_path / "no.mp4", clip), strict=True)
    ] == [True] * 2
    assert "is not there" in problems[0]
    assert "7 here" in problems[1]


def test_another_version_of_a_tool_and_other_files_are_told(expected: Expectation) -> None:
    (request,) = expected.requests
    changed = {
        **request,
        "tools": {"mean": {**request["tools"]["mean"], "version": 7}},
        "plugins": {"toys": "sha256:00"},
    }
    problems = list(unmet(replace(expected, requests=(changed,))))
    assert len(problems) == 2
    assert any("v7" in problem for problem in problems)
    assert any("toys" in problem for problem in problems)
