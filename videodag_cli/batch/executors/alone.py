"""The process that `child` starts: one task, read from a descriptor; what becomes of it goes to standard output.

python -m videodag_cli.batch.executors.alone DESCRIPTOR [DESCRIPTOR OF ITS SHARE]
"""

from __future__ import annotations

import pickle
import sys
from typing import Any


def main() -> None:
    """Run the task and say its outcome; ends with the parent."""
    from videodag_cli.errors import StopSignal
    from videodag_cli.guard.supervise import mark_finished
    from videodag_cli.system import stdio
    from videodag_cli.system.signals import keep_process, leave, said, stop_signals

    code = 0
    with stop_signals():
        said()  # the parent says it
        try:
            out = stdio.require_stdout(stdio.claim_stdout())
            keep_process()
            _run(*map(int, sys.argv[1:]), out=out)
        except StopSignal as stopped:
            code = stopped.exit_code
        except BrokenPipeError:
            code = 0
        mark_finished()
        leave(code)


def _run(descriptor: int, share_fd: int | None = None, *, out: Any) -> None:
    import orjson

    from videodag_cli.batch.executors import Seldom
    from videodag_cli.batch.outcome import as_row
    from videodag_cli.batch.work import run_task
    from videodag_cli.guard.supervise import continuation
    from videodag_cli.system.shared_memory import SharedNumber

    def say(message: dict[str, Any]) -> None:
        out.write(orjson.dumps(message) + b"\n")

    told = continuation()
    share = None if share_fd is None else SharedNumber(share_fd)
    with open(descriptor, "rb") as file:
        file.seek(0)
        task = pickle.load(file)
    run_task(
        task,
        Seldom(lambda done, total: say({"progress": [done, total]})),
        told,
        share=None if share is None else lambda: share.value,
        on_outcome=lambda number, outcome: say({"number": number, "outcome": as_row(outcome)}),
    )


if __name__ == "__main__":
    main()
