"""A `videodag` command that ends with the process that started it, however that ended.

python -m videodag_cli.server.command_main ARGUMENTS, with `VIDEODAG_PARENT` set to `<parent's id>,<descriptor that closes with the parent>`
"""

from __future__ import annotations

import os
import runpy

from videodag_cli.system.parent import end_with_parent, killed_with_parent

ENVIRONMENT = "VIDEODAG_PARENT"


def main() -> None:
    """Entry point."""
    parent, alive = map(int, os.environ.pop(ENVIRONMENT).split(","))
    if killed_with_parent(parent):  # without a thread, because the command forks its watching process
        os.close(alive)
    else:
        end_with_parent(alive, parent)
    runpy.run_module("videodag_cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
