"""One behaviour for every place where tasks run."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.batch.cluster import Cluster
from tests.batch.tasks import task
from tests.graphs import document, node, registry, write
from videodag_cli.batch.api import Batch
from videodag_cli.batch.executors import TaskExecutor
from videodag_cli.batch.executors.dask import OnDask
from videodag_cli.batch.executors.in_process import InProcess
from videodag_cli.batch.executors.processes import Processes
from videodag_cli.batch.task import VideoTask
from videodag_cli.errors import StoppedError
from videodag_cli.run.api import run_video

pytestmark = [pytest.mark.slow, pytest.mark.waits]

Make = Callable[..., Batch]


@pytest.fixture(params=["in process", "processes", "dask"])
def executor(request: pytest.FixtureRequest) -> Iterator[TaskExecutor]:
    with place(request) as executor:
        yield executor


def place(request: pytest.FixtureRequest) -> AbstractContextManager[TaskExecutor]:
    if request.param == "in process":
        return InProcess()
    if request.param == "processes":
        return Processes(2)
    cluster: Cluster = request.getfixturevalue("cluster")
    return OnDask(cluster.address)


@pytest.fixture
def processes() -> Iterator[Processes]:
    with Processes(2) as place:
        yield place


def children() -> set[str]:
    found = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True
    )
    return {line.strip() for line in found.stdout.splitlines() if "executors.worker" in line}


def test_the_output_is_that_of_a_single_run(executor: TaskExecutor, clip: Path, tmp_path: Path) -> None:
    (outcome,) = executor.submit(task(clip, tmp_path / "out.jsonl")).result(60)
    assert (outcome.status, outcome.exit_code, outcome.sampled) == ("done", 0, 12)
    run_video(clip, os.fspath(tmp_path / "p0.json"), output=tmp_path / "alone.jsonl", registry=registry())
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "alone.jsonl").read_bytes()


def test_what_goes_wrong_is_in_the_outcome(executor: TaskExecutor, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (outcome,) = executor.submit(task(tmp_path / "text.mp4", tmp_path / "out.jsonl")).result(60)
    assert (outcome.status, outcome.exit_code, outcome.word) == ("failed", 3, "input.not_mp4")


def test_tasks_end_in_any_order_and_none_is_lost(executor: TaskExecutor, clip: Path, tmp_path: Path) -> None:
    futures = [executor.submit(task(clip, tmp_path / f"{n}.jsonl", number=n)) for n in range(6)]
    assert {future.result(60)[0].output for future in futures} == {str(tmp_path / f"{n}.jsonl") for n in range(6)}


def test_progress_reaches_the_end(executor: TaskExecutor, clip: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    executor.submit(task(clip, tmp_path / "out.jsonl"), lambda _, done, total: told.append((done, total))).result(60)
    assert told[-1] == (12, 12)


def test_a_pipeline_that_changed_meanwhile_is_refused(executor: TaskExecutor, clip: Path, tmp_path: Path) -> None:
    made = task(clip, tmp_path / "out.jsonl")
    write(tmp_path, document(["index"], id="p0"))
    (outcome,) = executor.submit(made).result(60)
    assert (outcome.word, outcome.exit_code) == ("pipeline.invalid", 2)


@pytest.mark.parametrize(
    ("kind", "limits", "word", "text"),
    [
        ("regex", {"node_timeout_s": 1.0}, "stopped.timeout", "frame 7 in node 'stateless' (hostile.stateless)"),
        ("c_hang", {"timeout_s": 6.0}, "stopped.timeout", "took longer than --timeout 6 s"),
        ("memory", {"max_memory_bytes": 400 << 20}, "stopped.memory", "more than --max-memory 400 MiB"),
        ("crash", {"timeout_s": 60.0}, "stopped.crash", "the process died (SIGSEGV) during frame"),
    ],
)
def test_a_limit_ends_one_video_which_can_be_continued(
    executor: TaskExecutor, clip: Path, tmp_path: Path, kind: str, limits: dict[str, Any], word: str, text: str
) -> None:
    bad = [node("hostile.stateless", at=[7], kind=kind, once=str(tmp_path / "once")), "counter"]
    futures = [executor.submit(task(clip, tmp_path / "bad.jsonl", bad, **limits))]
    futures.append(executor.submit(task(clip, tmp_path / "good.jsonl", number=1, **limits)))
    ((ended,), (good,)) = (future.result(60) for future in futures)
    assert (ended.status, ended.exit_code, ended.word, good.status) == ("failed", 7, word, "done")
    assert text in (ended.message or "")
    assert (tmp_path / "bad.jsonl.part").exists()
    (ended,) = executor.submit(task(clip, tmp_path / "bad.jsonl", bad)).result(60)
    assert (ended.status, ended.message, ended.sampled) == ("done", None, 12)
    assert orjson.loads((tmp_path / "bad.jsonl").read_bytes().splitlines()[-1])["result"]["counter"] == 12


def test_a_call_that_kills_an_isolated_process_costs_one_frame(
    executor: TaskExecutor, clip: Path, tmp_path: Path
) -> None:
    bad = [node("hostile.stateless", at=[5], kind="sigkill")]
    made = task(clip, tmp_path / "out.jsonl", bad, isolate=True)
    (ended,) = executor.submit(made).result(60)
    assert (ended.status, ended.ok, ended.failed) == ("damaged", 11, 1)
    lines = [orjson.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [line["frame_index"] for line in lines if line["result"] is None] == [5]


def both(bad: VideoTask, good: VideoTask) -> VideoTask:
    """One task with the pipelines of two."""
    return replace(
        bad, pipelines=bad.pipelines + good.pipelines, outputs=bad.outputs + good.outputs, forced=(False,) * 2
    )


@pytest.mark.parametrize(
    ("kind", "limits", "word"),
    [
        (None, {"timeout_s": 60.0}, None),
        ("regex", {"node_timeout_s": 1.0}, "stopped.timeout"),
        ("memory", {"max_memory_bytes": 400 << 20}, "stopped.memory"),
        ("crash", {"timeout_s": 60.0}, "stopped.crash"),
    ],
)
def test_pipelines_over_one_decode_are_each_ended_by_their_own_faults(
    clip: Path, tmp_path: Path, kind: str | None, limits: dict[str, Any], word: str | None
) -> None:
    bad = [node("hostile.stateless", at=[7] if kind else [], kind=kind or "crash"), "counter"]
    together = both(
        task(clip, tmp_path / "bad.jsonl", bad, **limits), task(clip, tmp_path / "good.jsonl", number=1, **limits)
    )
    ended, good = InProcess().submit(together).result(60)
    assert (ended.status, ended.word) == (("failed", word) if word else ("done", None))
    assert (good.status, good.ok) == ("done", 12)
    for name, pipeline in (("good", "p1"), *(() if word else (("bad", "p0"),))):
        run_video(clip, tmp_path / f"{pipeline}.json", output=tmp_path / "alone.jsonl", registry=registry())
        assert (tmp_path / f"{name}.jsonl").read_bytes() == (tmp_path / "alone.jsonl").read_bytes()
        (tmp_path / "alone.jsonl").unlink()
    assert (tmp_path / "bad.jsonl.part").exists() == (word is not None)


def test_pipelines_with_limits_share_one_process(executor: TaskExecutor, clip: Path, tmp_path: Path) -> None:
    limits: dict[str, Any] = {"timeout_s": 60.0, "isolate": True}
    one = task(clip, tmp_path / "a.jsonl", ["hostile.process"], **limits)
    other = task(clip, tmp_path / "b.jsonl", ["hostile.process"], number=1, **limits)
    assert [outcome.status for outcome in executor.submit(both(one, other)).result(60)] == ["done", "done"]
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_a_frame_lost_in_one_pipeline_is_not_lost_in_the_other(
    executor: TaskExecutor, clip: Path, tmp_path: Path
) -> None:
    bad = task(clip, tmp_path / "bad.jsonl", [node("hostile.stateless", at=[5], kind="sigkill")], isolate=True)
    good = task(clip, tmp_path / "good.jsonl", [node("hostile.stateless", at=[])], number=1, isolate=True)
    assert [outcome.failed for outcome in executor.submit(both(bad, good)).result(60)] == [1, 0]


def test_a_process_that_dies_is_the_failure_of_its_video_alone(
    processes: Processes, clip: Path, tmp_path: Path
) -> None:
    deadly = task(clip, tmp_path / "dead.jsonl", [node("hostile.stateless", at=[5], kind="sigkill")])
    futures = [processes.submit(deadly)]
    futures += [processes.submit(task(clip, tmp_path / f"{n}.jsonl", number=n)) for n in range(1, 5)]
    with pytest.raises(StoppedError, match=r"the process that ran it died \(SIGKILL\)") as died:
        futures[0].result(60)
    assert died.value.word == "stopped.crash"
    assert [future.result(60)[0].status for future in futures[1:]] == ["done"] * 4


def test_leaving_stops_what_runs_and_leaves_no_process(clip: Path, tmp_path: Path) -> None:
    before = children()
    started = time.monotonic()
    with Processes(2) as place:
        futures = [
            place.submit(task(clip, tmp_path / f"{n}.jsonl", [node("hostile.slow", sleep_s=5)], number=n))
            for n in range(4)
        ]
        while len(running := children() - before) < 2 and time.monotonic() - started < 60:
            time.sleep(0.05)
        assert len(running) == 2, [future.exception(0) for future in futures if future.done()]
    until = time.monotonic() + 30  # what was killed has yet to go, on a machine that is busy
    while (children() != before or not all(future.done() for future in futures)) and time.monotonic() < until:
        time.sleep(0.05)
    assert children() == before
    assert all(future.done() for future in futures)
    assert not list(tmp_path.glob("*.jsonl"))
