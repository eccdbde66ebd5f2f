"""Tasks side by side, each in one of several processes that are started once and used again.

One thread for each process waits for it, so that a process that dies is noticed at once and is the failure of the video it was
running; the next video gets a new process. The processes end with this one, however that ends.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from concurrent.futures import Future
from typing import Self

from videodag_cli.batch.allotment import share_of
from videodag_cli.batch.executors import TaskProgress
from videodag_cli.batch.executors.worker_process import STOP_WITHIN_S, Died, WorkerProcess
from videodag_cli.batch.expectation import Expectation
from videodag_cli.batch.outcome import VideoOutcome
from videodag_cli.batch.task import VideoTask
from videodag_cli.errors import StopSignal
from videodag_cli.run.job import default_workers
from videodag_cli.system.shared_memory import SharedNumber

_Item = tuple[VideoTask, TaskProgress | None, "Future[list[VideoOutcome]]"]


class Processes:
    """`jobs` processes. A context manager: on exit, what still runs is stopped, and continues when the same batch is run again."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._cpus = default_workers()
        self.workers: int | None = share_of(self._cpus, jobs)
        self.what = f"{self._cpus} CPUs"
        self.ahead = 2 * jobs
        self._waiting: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._lanes: list[_Lane] = []
        self._share: SharedNumber | None = None

    def prepare(self, expected: Expectation) -> None:
        return

    def left(self, count: int) -> None:
        if self._share is not None:
            self._share.value = max(self._share.value, share_of(self._cpus, min(self.jobs, count)))

    def submit(self, task: VideoTask, on_progress: TaskProgress | None = None) -> Future[list[VideoOutcome]]:
        future: Future[list[VideoOutcome]] = Future()
        self._waiting.put((task, on_progress, future))
        return future

    def __enter__(self) -> Self:
        self._share = SharedNumber.create(share_of(self._cpus, self.jobs))
        self._lanes = [_Lane(self._waiting, self._share) for _ in range(self.jobs)]
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
        if self._share is not None:
            self._share.close()


class _Lane:
    """One process after the other, and the thread that waits for them."""

    def __init__(self, waiting: queue.SimpleQueue[_Item | None], share: SharedNumber) -> None:
        self._waiting = waiting
        self._share = share
        self._worker: WorkerProcess | None = None
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
                        self._worker = WorkerProcess(self._share)
                    future.set_result(self._worker.run(task, on_progress))
                except Died as died:
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
