"""A process that runs one task at a time, and what becomes of the task when it dies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from videodag_cli.batch.executors import TaskProgress
from videodag_cli.batch.executors.worker_main import ENVIRONMENT
from videodag_cli.batch.expectation import Expectation
from videodag_cli.batch.outcome import VideoOutcome, shown_path
from videodag_cli.batch.task import VideoTask
from videodag_cli.errors import StoppedError, StopSignal
from videodag_cli.guard.supervise import ending
from videodag_cli.system.shared_memory import SharedNumber

STOP_WITHIN_S = 0.7
"""A process that has not ended this long after it was asked to is killed: the batch has a table to print before it is ended itself."""
POLL_S = 0.2


class Died(Exception):  # noqa: N818 - carries the error
    def __init__(self, error: StoppedError) -> None:
        super().__init__(error)
        self.error = error


class WorkerProcess:
    """A process that runs one task at a time."""

    def __init__(self, share: SharedNumber | None = None) -> None:
        """share: CPUs that a task may use now; it is read while the task runs."""
        mine, theirs = _pair()
        alive_read, self._alive = os.pipe()
        told = (theirs.fileno(), alive_read, os.getpid(), -1 if share is None else share.fd)
        try:
            from videodag_cli.system.loading import as_this_one

            self._process = subprocess.Popen(
                [*as_this_one(), "-m", "videodag_cli.batch.executors.worker_main"],
                env={**os.environ, ENVIRONMENT: ",".join(map(str, told))},
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=(theirs.fileno(), alive_read, *(() if share is None else (share.fd,))),
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

    def run(
        self,
        task: VideoTask,
        on_progress: TaskProgress | None = None,
        is_dropped: Callable[[], bool] | None = None,
    ) -> list[VideoOutcome]:
        """The outcomes of a task. Raises `Died` when the process ended instead.

        is_dropped: asked several times a second; once it is true the process is stopped, and `StopSignal` raised.
        """

        def progress(done: int, total: int) -> None:
            if on_progress is not None:
                on_progress(task, done, total)

        outcomes: list[VideoOutcome] = self._ask(task, shown_path(task.video), progress, is_dropped)
        return outcomes

    def unmet(self, expected: Expectation) -> list[str]:
        """What the process finds not to be as expected. Raises `Died`."""
        problems: list[str] = self._ask(expected, "comparing this machine", None, None)
        return problems

    def _ask(
        self,
        question: object,
        shown: str,
        on_progress: Callable[[int, int], None] | None,
        is_dropped: Callable[[], bool] | None,
    ) -> Any:
        try:
            self._connection.send(question)
            while True:
                if is_dropped is not None and is_dropped():
                    self.signal(signal.SIGTERM)
                    self.close()
                    raise StopSignal(signal.SIGTERM)
                # the process may be gone while something it started still holds its end of the connection
                if not self._connection.poll(POLL_S):
                    if self._process.poll() is not None and not self._connection.poll():
                        raise EOFError
                    continue
                kind, content = self._connection.recv()
                if kind == "answer":
                    return content
                if on_progress is not None:
                    on_progress(*content)
        except (EOFError, OSError) as error:
            self.close()
            raise Died(
                StoppedError(
                    f"{shown}: the process that ran it died ({ending(self._process.returncode)}); "
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
