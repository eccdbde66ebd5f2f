"""Signals while the command is being loaded; imports next to nothing, because it comes first."""

from __future__ import annotations

import os
import signal


def end_at_once() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP end the process with a line and the right code: nothing is under way yet."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, frame: object) -> None:
    try:
        if "VIDEODAG_CHILD" not in os.environ:  # else the parent says it
            os.write(2, b"videodag: error[stopped.signal]: %s: stopped\n" % signal.Signals(number).name.encode())
    finally:
        os._exit(128 + number)
