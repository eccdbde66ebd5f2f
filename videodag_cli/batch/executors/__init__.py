"""Where tasks run. Each executor takes a task and gives a future of its outcomes, as those of `concurrent.futures` do."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, Self

from videodag_cli.batch.expectation import Expectation
from videodag_cli.batch.outcome import VideoOutcome
from videodag_cli.batch.task import VideoTask

TaskProgress = Callable[[VideoTask, int, int], None]
"""Receives the task, frames done and frames in all; may be called from any thread."""
PROGRESS_EVERY_S = 0.2


class TaskExecutor(Protocol):
    """A context manager: on exit nothing of it is left running."""

    @property
    def jobs(self) -> int:
        """Tasks that run at once."""

    @property
    def workers(self) -> int | None:
        """Frames that each of them works on at once, where the user does not say; None: it is decided where the task runs."""

    @property
    def what(self) -> str:
        """What there is to be shared, in a few words."""

    @property
    def ahead(self) -> int:
        """Tasks to hand over before the first has ended, so that none has to wait for its next one."""

    def prepare(self, expected: Expectation) -> None:
        """Told before the first task. Raises `RequestError` where the place is not as the batch expects."""

    def left(self, count: int) -> None:
        """So many tasks have not ended. Where that is fewer than may run at once, each can have more of the machine."""

    def submit(self, task: VideoTask, on_progress: TaskProgress | None = None) -> Future[list[VideoOutcome]]:
        """Start a task, or let it wait for its turn. A process that dies is the failure of its task alone."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Seldom:
    """Passes on how far a task is, at most so often; the end always."""

    def __init__(self, send: Callable[[int, int], None]) -> None:
        self._send = send
        self._last = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= PROGRESS_EVERY_S or done == total:
            self._last = now
            self._send(done, total)
