"""What comes before the command is loaded: signals, and the locale; imports next to nothing."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

UTF8_MARK = "videodag"
"""The option of Python that says that `-X utf8` was not the user's wish."""
_STACK = 16_000
"""Values, of 8 bytes: the piece is then 256 KiB, of which half is left."""
PARENT_TELLS = "VIDEODAG_PARENT_TELLS"
"""Set for a process whose end by a signal is told by its parent, or is how it ends well."""


def parent_tells() -> bool:
    """Whether this process says nothing about the signal that ends it."""
    return PARENT_TELLS in os.environ or "VIDEODAG_CHILD" in os.environ


def end_at_once() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP end the process with a line and the right code: nothing is under way yet."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, frame: object) -> None:
    try:
        if not parent_tells():
            from videodag_cli.system.failure_lines import signal_line

            os.write(2, signal_line(number).encode() + b"\n")
    finally:
        os._exit(128 + number)


def read_names_as_utf8() -> None:
    """Where the locale is not UTF-8, begin again in Python's UTF-8 mode: bytes of names mean the same in every locale, and files too."""
    if sys.getfilesystemencoding() != "utf-8" and UTF8_MARK not in sys._xoptions and sys.executable:
        begin = list(map(os.fsencode, (sys.executable, "-X", "utf8", "-X", UTF8_MARK)))
        os.execv(sys.executable, begin + _arguments())


def _arguments() -> list[bytes]:
    """As they were given: from Python's text of them, an encoding like EUC-JP does not always lead back to the bytes."""
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return file.read().split(b"\0")[1:-1]
    except OSError:
        return list(map(os.fsencode, sys.orig_argv[1:]))


def as_this_one() -> list[str]:
    """What Python is to be given so that names of files mean the same in a process that this one starts."""
    return [sys.executable, *(("-X", "utf8") if sys.flags.utf8_mode else ())]


def on_one_stack(call: Callable[[], None]) -> None:
    """Call it with room for all the frames of Python code that it will need at once.

    CPython (3.11 and later) keeps frames in pieces of 16 KiB, and maps and unmaps the next piece each time when calls cross the end of
    one: where a loop of the import system or of the engine happens to lie there, thousands of times. A function that says that it
    needs a large stack gets a large piece, and those that it calls use the rest of it: 27 of 367 ms of the shortest run.
    """

    def roomy() -> None:
        call()

    roomy.__code__ = roomy.__code__.replace(co_stacksize=_STACK)
    roomy()


@contextmanager
def without_collections() -> Iterator[None]:
    """Code that only loads modules makes no garbage, and many objects that stay: looking through them again and again is a tenth
    of what starting takes. Afterwards they are left out of all collections."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
