"""A process that ends when its parent does, however that ended."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

from videodag_cli.system.signals import leave

_PR_SET_PDEATHSIG = 1
"""`prctl` of Linux: the signal a process gets when its parent ends."""


def killed_with_parent(parent: int) -> bool:
    """Have the kernel end this process when its parent is gone; False where it cannot. Ends it at once if the parent is gone."""
    asked = False
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        asked = ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) == 0
    if os.getppid() != parent:
        leave(128 + signal.SIGTERM)
    return asked


def end_with_parent(alive_fd: int, parent: int) -> None:
    """End this process when the parent is gone: by the kernel where it can, and by a thread that waits for `alive_fd` to close."""
    killed_with_parent(parent)

    def wait() -> None:
        os.read(alive_fd, 1)  # returns when the parent's end is closed
        leave(128 + signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
