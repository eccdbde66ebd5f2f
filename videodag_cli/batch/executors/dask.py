"""Tasks on a Dask cluster: each is a future of its own, and runs in a child of the worker that takes it.

The cluster decides what runs where, and sends a task elsewhere when a worker is lost; the next one continues what was written. Outputs
are written by the workers, so videos and the output folder are on storage that all of them share. A task whose future is dropped, as
when this process ends, is stopped.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

from videodag_cli.batch.executors import TaskProgress
from videodag_cli.batch.executors.worker_process import Died, WorkerProcess
from videodag_cli.batch.expectation import Expectation, file_sizes, unseen
from videodag_cli.batch.outcome import VideoOutcome
from videodag_cli.batch.task import VideoTask
from videodag_cli.errors import MissingExtraError, RequestError, StoppedError, StopSignal, VideodagError, printable
from videodag_cli.run.job import default_workers

LOCAL = "local"
CONNECT_WITHIN_S = 15
REACHED_WITHIN_S = 5
RETRIES = 2
AHEAD = 1000
"""Tasks that the scheduler knows of at once: enough for a cluster that grows with its work."""
STOP_WITHIN_S = 0.7
IDLE_S = 60.0
"""A process of a worker that has no task for so long ends."""
UNLOCKED_WITHIN_S = 10.0
"""So long a task waits for what a lost worker left running."""


class OnDask:
    """A cluster that exists, by the address of its scheduler or its scheduler file, or one of this machine for as long as this lasts."""

    workers: int | None = None
    what = "threads of the cluster's workers"

    def __init__(self, address: str, *, jobs: int | None = None) -> None:
        self._id = uuid.uuid4().hex[:12]
        """Topic of the messages from the workers, and part of the keys."""
        self._numbers = count()
        self._address = address
        self._jobs = jobs
        self._client: Any = None
        self._cluster: Any = None
        self._expected: Expectation | None = None
        self._progress: dict[str, tuple[VideoTask, TaskProgress]] = {}
        self._futures: dict[str, Any] = {}
        self._lock = threading.Lock()

    @property
    def jobs(self) -> int:
        """Threads of the workers that are there."""
        return self._jobs or max(1, sum(self._client.nthreads().values()))

    @property
    def ahead(self) -> int:
        return self._jobs or AHEAD

    def __enter__(self) -> Self:
        try:
            distributed: Any = import_module("distributed")
        except ImportError as error:
            raise MissingExtraError("--dask", "dask") from error
        more: dict[str, Any] = {"set_as_default": False, "timeout": CONNECT_WITHIN_S}
        try:
            if self._address == LOCAL:
                self._cluster = distributed.LocalCluster(
                    n_workers=self._jobs or default_workers(), threads_per_worker=1, host="127.0.0.1",
                    dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0",
                )  # fmt: skip
                self._client = distributed.Client(self._cluster, **more)
            elif os.path.isfile(self._address):
                _require_listener(str(orjson.loads(Path(self._address).read_bytes())["address"]))
                self._client = distributed.Client(scheduler_file=self._address, **more)
            else:
                _require_listener(self._address)
                self._client = distributed.Client(self._address, **more)
        except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
            raise RequestError(
                f"--dask {printable(self._address)}: no scheduler answers there ({_reason(error)}); give an address such "
                "as tcp://host:8786, a scheduler file, or local"
            ) from error
        self._client.subscribe_topic(self._id, self._told)
        return self

    def __exit__(self, *exc: object) -> None:
        client = self._client
        with contextlib.suppress(Exception):
            if self._futures:
                client.cancel(list(self._futures.values()), force=True)
                until = time.monotonic() + STOP_WITHIN_S
                while time.monotonic() < until and any(client.run(_running_count, on_error="ignore").values()):
                    time.sleep(0.05)
        with contextlib.suppress(Exception):
            client.run(_end_idle, on_error="ignore")
        with contextlib.suppress(Exception):
            client.close(timeout=0.3)
        if self._cluster is not None:
            with contextlib.suppress(Exception):
                self._cluster.close(timeout=1)

    def prepare(self, expected: Expectation) -> None:
        """Compare what is installed and visible on every worker that is there; one that comes later is compared when it comes.

        Raises `RequestError` with the first difference.
        """
        self._expected = expected
        for worker, found in self._client.run(_version, on_error="return").items():
            if isinstance(found, BaseException):
                raise RequestError(f"worker {worker}: videodag {expected.version} is not installed there ({found})")
        workers = list(self._client.nthreads())
        checks = [
            self._client.submit(
                _compare, expected, key=f"videodag-check-{number}-{expected.batch_id}", workers=[worker], pure=False,
                allow_other_workers=False,
            )
            for number, worker in enumerate(workers)
        ]  # fmt: skip
        for worker, problems in zip(workers, self._client.gather(checks, errors="raise"), strict=True):
            if problems:
                more = f" (and {len(problems) - 1} more differences)" if len(problems) > 1 else ""
                raise RequestError(f"worker {worker}: {problems[0]}{more}")

    def left(self, count: int) -> None:
        return

    def submit(self, task: VideoTask, on_progress: TaskProgress | None = None) -> Future[list[VideoOutcome]]:
        future: Future[list[VideoOutcome]] = Future()
        key = f"videodag-{printable(Path(task.video).name, limit=60)}-{next(self._numbers)}-{self._id}"
        if on_progress is not None:
            self._progress[key] = (task, on_progress)
        task = _absolute(task)
        sizes = file_sizes([task.video])
        far = self._client.submit(_run, task, sizes, self._expected, self._id, key=key, pure=False, retries=RETRIES)
        with self._lock:
            self._futures[key] = far
        future.set_running_or_notify_cancel()
        far.add_done_callback(lambda done: self._ended(key, done, future))
        return future

    def _ended(self, key: str, far: Any, future: Future[list[VideoOutcome]]) -> None:
        with self._lock:
            self._futures.pop(key, None)
        self._progress.pop(key, None)
        if future.done():
            return
        try:
            if far.status == "finished":
                future.set_result(far.result())
            elif far.status == "error":
                future.set_exception(_as_ours(far.exception()))
            else:
                future.set_exception(StoppedError("the connection to the cluster was lost", word="stopped.crash"))
        except Exception as error:
            future.set_exception(StoppedError(f"the cluster: {printable(error, limit=200)}", word="stopped.crash"))

    def _told(self, event: Any) -> None:
        key, done, total = event[1]
        entry = self._progress.get(key)
        if entry is not None:
            task, on_progress = entry
            on_progress(task, done, total)


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return "the file names no address"
    return printable(getattr(error, "strerror", None) or error, limit=200)


def _require_listener(address: str) -> None:
    """Raise `OSError` at once where nobody listens: a client would go on trying."""
    parts = urlsplit(address)
    if parts.scheme in ("tcp", "tls") and parts.hostname and parts.port:
        socket.create_connection((parts.hostname, parts.port), timeout=REACHED_WITHIN_S).close()


def _absolute(task: VideoTask) -> VideoTask:
    outputs = tuple(Path(os.path.abspath(output)) for output in task.outputs)
    return replace(task, video=os.path.abspath(task.video), outputs=outputs)


def _as_ours(error: BaseException) -> VideodagError:
    if isinstance(error, VideodagError):
        return error
    if type(error).__name__ == "KilledWorker":
        return StoppedError("the workers that ran it died, one after the other", word="stopped.crash")
    return StoppedError(f"{type(error).__name__}: {printable(error, limit=300)}", word="stopped.crash")


# --- on the workers ---


class _Children:
    """The processes of this worker: each runs one task after the other, of one batch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[tuple[str, WorkerProcess]] = []
        self.compared: set[str] = set()
        self.running = 0

    @contextlib.contextmanager
    def one(self, batch_id: str) -> Iterator[WorkerProcess]:
        """A process for one task; it is kept for the next one where nothing is raised."""
        with self._lock:
            self.running += 1
            mine = [process for owner, process in self._idle if owner == batch_id]
            others = [process for owner, process in self._idle if owner != batch_id]
            self._idle = [(batch_id, process) for process in mine[1:]]
        for process in others:
            process.close()
        try:
            process = mine[0] if mine else WorkerProcess()
            yield process
            with self._lock:
                self._idle.append((batch_id, process))
            timer = threading.Timer(IDLE_S, self._forget, (process,))
            timer.daemon = True
            timer.start()
        finally:
            with self._lock:
                self.running -= 1

    def end_idle(self) -> None:
        """End every process that waits for a task."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, process in idle:
            process.close()

    def _forget(self, process: WorkerProcess) -> None:
        """End a process that waits for a task."""
        with self._lock:
            found = [entry for entry in self._idle if entry[1] is process]
            self._idle = [entry for entry in self._idle if entry[1] is not process]
        if found:
            process.close()


_children = _Children()


def _version() -> str:
    from videodag_cli import __version__

    return __version__


def _running_count() -> int:
    return _children.running


def _end_idle() -> None:
    _children.end_idle()


def _compare(expected: Expectation) -> list[str]:
    """What is not as expected; looked at in a child, so that this process loads no tool."""
    if expected.batch_id in _children.compared:
        return []
    try:
        with _children.one(expected.batch_id) as process:
            problems = process.unmet(expected)
    except Died as died:
        raise died.error from died
    if not problems:
        _children.compared.add(expected.batch_id)
    return problems


def _run(
    task: VideoTask, sizes: tuple[tuple[str, int], ...], expected: Expectation | None, topic: str
) -> list[VideoOutcome]:
    """Run a task in a child of this worker; how far it is, is told under `topic`."""
    distributed: Any = import_module("distributed")
    worker = distributed.get_worker()
    key = worker.get_current_task()
    problems = [*(_compare(expected) if expected is not None else ()), *unseen(sizes)]
    if problems:
        raise RequestError(f"worker {worker.address}: {problems[0]}")

    def is_dropped() -> bool:
        state = worker.state.tasks.get(key)
        return state is None or state.state in ("cancelled", "resumed", "released")

    def send(_: VideoTask, done: int, total: int) -> None:
        worker.log_event(topic, (key, done, total))

    threads = max(1, worker.state.nthreads)
    options = replace(task.options, workers=task.options.workers or max(1, default_workers() // threads))
    task = replace(task, options=options)
    until = time.monotonic() + UNLOCKED_WITHIN_S
    try:
        while True:
            with _children.one(topic if expected is None else expected.batch_id) as process:
                outcomes = process.run(task, send, is_dropped)
            if time.monotonic() > until or not any(outcome.word == "output.locked" for outcome in outcomes):
                return outcomes
            time.sleep(0.2)
    except StopSignal as stopped:
        raise StoppedError("the task was dropped", word="stopped.signal") from stopped
    except Died as died:
        raise died.error from died
