"""Tasks side by side, each in one of several processes that are started once and used again.

One thread for each process waits for it, so that a process that dies is noticed at once and is the failure of the video it was
running; the next video gets a new process. The processes end with this one, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from multiprocessing.connection import Connection
from typing import Any, Self

from videodag_cli.batch.executors import TaskProgress
from videodag_cli.batch.executors.worker import ENVIRONMENT
from videodag_cli.batch.outcome import VideoOutcome, shown_path
from videodag_cli.batch.task import VideoTask
from videodag_cli.errors import StoppedError, StopSignal
from videodag_cli.guard.supervise import ending

STOP_WITHIN_S = 1.3
"""A process that has not ended this long after it was asked to is killed."""
POLL_S = 0.2

_Item = tuple[VideoTask, TaskProgress | None, "Future[list[VideoOutcome]]"]


class Processes:
    """`jobs` processes. A context manager: on exit, what still runs is stopped, and continues when the same batch is run again."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._waiting: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._lanes: list[_Lane] = []

    def submit(self, task: VideoTask, on_progress: TaskProgress | None = None) -> Future[list[VideoOutcome]]:
        future: Future[list[VideoOutcome]] = Future()
        self._waiting.put((task, on_progress, future))
        return future

    def __enter__(self) -> Self:
        self._lanes = [_Lane(self._waiting) for _ in range(self.jobs)]
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(queue.Empty):
            while (item := self._waiting.get_nowait()) is None or item[2].cancel():
                pass
        for lane in self._lanes:
            lane.stop()
        for _ in self._lanes:
            self._waiting.put(None)
        deadline = time.monotonic() + STOP_WITHIN_S
        for lane in self._lanes:
            lane.join(deadline)


class _Lane:
    """One process after the other, and the thread that waits for them."""

    def __init__(self, waiting: queue.SimpleQueue[_Item | None]) -> None:
        self._waiting = waiting
        self._worker: _Worker | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._serve, name="videodag-lane", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            while (item := self._waiting.get()) is not None:
                task, on_progress, future = item
                if self._stopped or not future.set_running_or_notify_cancel():
                    future.cancel()
                    continue
                try:
                    if self._worker is None:
                        self._worker = _Worker()
                    future.set_result(self._worker.run(task, on_progress))
                except _Died as died:
                    self._worker = None
                    future.set_exception(StopSignal(signal.SIGTERM) if self._stopped else died.error)
                except BaseException as error:
                    future.set_exception(error)
        finally:
            if self._worker is not None:
                self._worker.close()

    def stop(self) -> None:
        """Ask the process to stop; what it runs can be continued."""
        self._stopped = True
        worker = self._worker
        if worker is not None:
            worker.signal(signal.SIGTERM)

    def join(self, deadline: float) -> None:
        """Wait for the end; after the deadline the process is killed."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive() and self._worker is not None:
            self._worker.signal(signal.SIGKILL)
            self._thread.join(1)


class _Died(Exception):  # noqa: N818 - carries the error
    def __init__(self, error: StoppedError) -> None:
        super().__init__(error)
        self.error = error


class _Worker:
    """A process that runs one task at a time."""

    def __init__(self) -> None:
        mine, theirs = _pair()
        alive_read, self._alive = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "videodag_cli.batch.executors.worker"],
                env={**os.environ, ENVIRONMENT: f"{theirs.fileno()},{alive_read},{os.getpid()}"},
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=(theirs.fileno(), alive_read),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._alive)
            mine.close()
            raise
        finally:
            theirs.close()
            os.close(alive_read)
        self._connection = mine

    def run(self, task: VideoTask, on_progress: TaskProgress | None) -> list[VideoOutcome]:
        """The outcomes of a task. Raises `_Died` when the process ended instead."""
        try:
            self._connection.send(task)
            while True:
                # the process may be gone while something it started still holds its end of the connection
                if not self._connection.poll(POLL_S):
                    if self._process.poll() is not None and not self._connection.poll():
                        raise EOFError
                    continue
                kind, content = self._connection.recv()
                if kind == "progress" and on_progress is not None:
                    on_progress(task, *content)
                elif kind == "outcomes":
                    outcomes: list[VideoOutcome] = content
                    return outcomes
        except (EOFError, OSError) as error:
            self.close()
            raise _Died(
                StoppedError(
                    f"{shown_path(task.video)}: the process that ran it died ({ending(self._process.returncode)}); "
                    "run the same command again to finish it",
                    word="stopped.crash",
                )
            ) from error

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def close(self) -> None:
        """End the process, with everything its tools have started."""
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_WITHIN_S)
        self.signal(signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(OSError):
            os.close(self._alive)


def _pair() -> tuple[Connection[Any, Any], Connection[Any, Any]]:
    import socket

    one, other = socket.socketpair()
    return Connection(one.detach()), Connection(other.detach())
