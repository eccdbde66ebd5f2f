"""Tasks one after the other, in this process and thread."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Self

from videodag_cli.batch.executors import TaskProgress
from videodag_cli.batch.executors.child import run_guarded
from videodag_cli.batch.expectation import Expectation
from videodag_cli.batch.outcome import VideoOutcome
from videodag_cli.batch.task import VideoTask
from videodag_cli.run.job import default_workers


class InProcess:
    """Runs a task when it is submitted. A tool that takes the process down takes the batch with it."""

    jobs = 1
    what = "this process"
    ahead = 1

    def __init__(self) -> None:
        self.workers: int | None = default_workers()

    def prepare(self, expected: Expectation) -> None:
        return

    def left(self, count: int) -> None:
        return

    def submit(self, task: VideoTask, on_progress: TaskProgress | None = None) -> Future[list[VideoOutcome]]:
        future: Future[list[VideoOutcome]] = Future()
        progress = None if on_progress is None else lambda done, total: on_progress(task, done, total)
        future.set_result(run_guarded(task, progress))
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return
