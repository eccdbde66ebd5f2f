"""A `videodag` command that ends with the process that started it, however that ended.

python -m videodag_cli.server.command_main ARGUMENTS, with `VIDEODAG_PARENT` set to `<parent's id>,<descriptor that closes with the parent>`
"""

from __future__ import annotations

import os
import runpy
import signal
import sys

ENVIRONMENT = "VIDEODAG_PARENT"
PR_SET_PDEATHSIG = 1
"""`prctl` of Linux: the signal a process gets when its parent ends."""


def main() -> None:
    """Entry point."""
    parent, alive = map(int, os.environ.pop(ENVIRONMENT).split(","))
    if sys.platform.startswith("linux"):  # without a thread, because the command forks its watching process
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(128 + signal.SIGTERM)
        os.close(alive)
    else:
        from videodag_cli.guard.supervise import end_with_parent

        end_with_parent(alive, parent)
    runpy.run_module("videodag_cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
