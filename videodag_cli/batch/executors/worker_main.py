"""The process that `Processes` starts: it takes tasks from a connection, one at a time, until the connection ends.

python -m videodag_cli.batch.executors.worker_main
"""

from __future__ import annotations

import os
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videodag_cli.system.shared_memory import SharedNumber

ENVIRONMENT = "VIDEODAG_WORKER"
"""`<descriptor of the connection>,<descriptor that closes with the parent>,<parent's id>,<descriptor of its share, or -1>`."""


def main() -> None:
    """Serve the parent that started this process; ends with it."""
    from videodag_cli.errors import StopSignal
    from videodag_cli.system.loading import on_one_stack
    from videodag_cli.system.parent import end_with_parent
    from videodag_cli.system.shared_memory import SharedNumber
    from videodag_cli.system.signals import keep_process, leave, said, stop_signals

    fd, alive, parent, share_fd = map(int, os.environ.pop(ENVIRONMENT).split(","))
    end_with_parent(alive, parent)
    connection: Connection[Any, Any] = Connection(fd)
    code = 0
    with stop_signals():
        said()  # the parent says it
        keep_process()
        try:
            on_one_stack(lambda: _serve(connection, None if share_fd < 0 else SharedNumber(share_fd)))
        except StopSignal as stopped:
            code = stopped.exit_code
        except BrokenPipeError:
            code = 0
        finally:
            leave(code)


def _serve(connection: Connection[Any, Any], share: SharedNumber | None) -> None:
    from videodag_cli.system.loading import without_collections

    with without_collections():
        from videodag_cli.batch.executors import Seldom
        from videodag_cli.batch.executors.child import run_guarded
        from videodag_cli.batch.expectation import Expectation, unmet
        from videodag_cli.system.memory import peak_bytes

    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        if isinstance(task, Expectation):
            connection.send(("answer", list(unmet(task))))
            continue
        progress = Seldom(lambda done, total: connection.send(("progress", (done, total))))
        outcomes = run_guarded(task, progress, share)
        peak = peak_bytes()
        connection.send(("answer", [outcome.model_copy(update={"peak_bytes": peak}) for outcome in outcomes]))


if __name__ == "__main__":
    main()
