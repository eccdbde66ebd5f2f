"""The process that `Processes` starts: it takes tasks from a connection, one at a time, until the connection ends.

python -m videodag_cli.batch.executors.worker
"""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection
from typing import Any

PROGRESS_EVERY_S = 0.2


class _Progress:
    """Sends how far a task is, at most so often."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._last = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= PROGRESS_EVERY_S or done == total:
            self._last = now
            self._connection.send(("progress", (done, total)))


def main() -> None:
    """Serve the parent that started this process; ends with it."""
    from videodag_cli.batch.executors.processes import ENVIRONMENT
    from videodag_cli.cli import streams
    from videodag_cli.errors import StopSignal
    from videodag_cli.guard.supervise import end_with_parent
    from videodag_cli.system.signals import leave, said, stop_signals

    fd, alive, parent = map(int, os.environ.pop(ENVIRONMENT).split(","))
    end_with_parent(alive, parent)
    connection: Connection[Any, Any] = Connection(fd)
    code = 0
    with stop_signals():
        said()  # the parent says it
        streams.keep_process()
        try:
            _serve(connection)
        except StopSignal as stopped:
            code = stopped.exit_code
        except BrokenPipeError:
            code = 0
        finally:
            leave(code)


def _serve(connection: Connection[Any, Any]) -> None:
    from videodag_cli.batch.work import run_task

    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(("outcomes", run_task(task, _Progress(connection))))


if __name__ == "__main__":
    main()
