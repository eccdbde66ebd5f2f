"""Signals that end a run: raised in the main thread as `StopSignal`, never in the middle of a line, and obeyed within two seconds.

What runs may not give way: a tool in C, a thread that is waited for, code that holds the interpreter's lock. So a timer ends the
process when unwinding takes too long, and where no Python code can run at all, `outside_watch` ends it: a tiny process that is told
of signals by the interpreter's C handler.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from videodag_cli.errors import StopSignal
from videodag_cli.system.failure_lines import crash_line, signal_line

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_S = 1.0
"""A write that still blocks this long after the signal is given up."""
STOP_WITHIN_S = 1.5
"""Unwinding that takes longer than this after the signal is cut off."""
OUTSIDE_S = 1.75
"""A process in which no Python code runs this long after the signal is ended from outside."""
ECHO_S = 0.25
"""The same signal sent twice at once, as by `timeout`, is one signal."""
_FAREWELL = b"\0"
leave = os._exit
"""Ends the process at once; `os._exit` itself may be kept from tools."""


class _State:
    number = 0
    """The signal that arrived; 0: none."""
    at = 0.0
    holding = False
    held = False
    said = False
    over = False
    idle = False
    """Nothing is under way that would have to be ended in order."""


def _received(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGALRM:
        _alarm()
    elif _State.over:
        return
    elif _State.idle:
        leave(128 + number)
    elif _State.number:
        if time.monotonic() - _State.at > ECHO_S:
            _end_now()
    else:
        _State.number = number
        _State.at = time.monotonic()
        for ending in ENDING:  # the first one may have put the default back, see `outside_watch`
            if signal.getsignal(ending) is _received:
                signal.signal(ending, _received)
        if _State.holding:
            _State.held = True
            signal.setitimer(signal.ITIMER_REAL, GRACE_S)
            return
        signal.setitimer(signal.ITIMER_REAL, STOP_WITHIN_S)
        raise StopSignal(number)


def _alarm() -> None:
    if _State.held:
        _State.held = _State.holding = False
        signal.setitimer(signal.ITIMER_REAL, max(STOP_WITHIN_S - GRACE_S, 0.1))
        raise StopSignal(_State.number)
    if _State.number:
        _end_now()


def _end_now() -> None:
    if not _State.said:
        show_cursor = "\x1b[?25h" if os.isatty(2) else ""
        _tell(show_cursor + signal_line(_State.number))
    tell = signal.set_wakeup_fd(-1)
    if tell >= 0:
        with contextlib.suppress(OSError):
            os.write(tell, _FAREWELL)
    leave(128 + _State.number)


def _tell(line: str) -> None:
    """Write to standard error if that does not block."""
    with contextlib.suppress(OSError, ValueError):
        if select.select([], [2], [], 0)[1]:
            os.write(2, line.encode() + b"\n")


@contextmanager
def stop_signals() -> Iterator[None]:
    """Inside, SIGINT, SIGTERM and SIGHUP raise `StopSignal` once; a second one ends the process at once.

    A signal that was ignored when the process started (as `nohup` does with SIGHUP) stays ignored.
    """
    before = {}
    for number in (*ENDING, signal.SIGALRM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, _received)
    _State.number, _State.at = 0, 0.0
    _State.holding = _State.held = _State.said = _State.over = False
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def said() -> None:
    """The line of the signal that arrived is printed."""
    _State.said = True


def line_is_due() -> bool:
    """Whether nobody has printed, or is to print, the line of the signal that arrived."""
    return not _State.said


def idle(yes: bool, /) -> None:
    """Whether a signal ends the process at once: an exception may get lost in a callback while modules are loaded, and Python says so."""
    _State.idle = yes


def over() -> None:
    """Nothing is left to be stopped: from now on signals are ignored."""
    _State.over = True


@contextmanager
def whole_line() -> Iterator[None]:
    """Inside, a signal waits until the block ends, at most `GRACE_S`."""
    _State.holding = True
    try:
        yield
    finally:
        _State.holding = False
        if _State.held:
            _State.held = False
            signal.setitimer(signal.ITIMER_REAL, STOP_WITHIN_S)
            raise StopSignal(_State.number)


@contextmanager
def outside_watch() -> Iterator[None]:
    """Inside `stop_signals`: a small process ends this one if it cannot obey a signal because nothing in Python runs any more.

    It also says so when this process dies before the end of the block: killed, or crashed in a library.
    To be entered while the process has one thread, before anything large is loaded.
    """
    tell = watcher = -1
    try:
        with whole_line():  # a signal waits until everything is in place
            tell, watcher = _start_watch()
            if tell >= 0:
                _default_after_first()
        yield
    finally:
        signal.set_wakeup_fd(-1)
        if tell >= 0:
            with contextlib.suppress(OSError):
                os.write(tell, _FAREWELL)
            os.close(tell)
        if watcher > 0:
            with contextlib.suppress(OSError):
                os.waitpid(watcher, 0)


def _start_watch() -> tuple[int, int]:
    """Where the watching process is told of signals, and its id; both -1 where there are no descriptors left: the run says so itself."""
    try:
        told, tell = os.pipe()
    except OSError:
        return -1, -1
    os.set_blocking(tell, False)
    parent = os.getpid()
    try:
        watcher = os.fork()
    except OSError:
        watcher = -1
    if watcher == 0:
        try:
            _watch(told, parent)
        finally:
            leave(0)
    os.close(told)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    return tell, watcher


def _watch(told: int, parent: int) -> None:
    """Wait for a signal's number in the pipe, then for the end of the parent, then end it."""
    for ending in ENDING:
        signal.signal(ending, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    os.setsid()
    os.set_blocking(told, True)
    for fd in _open_descriptors():
        if fd not in (2, told):
            with contextlib.suppress(OSError):
                os.close(fd)
    number = 0
    while number not in tuple(map(int, ENDING)):
        data = os.read(told, 1)
        if not data:
            _tell(crash_line())
        if not data or data == _FAREWELL:
            return
        number = data[0]
    deadline = time.monotonic() + OUTSIDE_S
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([told], [], [], left)[0]:
            break
        data = os.read(told, 1)
        if not data:
            _tell(signal_line(number))
        if not data or data == _FAREWELL:
            return
    _tell(signal_line(number))
    for last in (number, int(signal.SIGKILL)):
        if os.getppid() != parent:
            return
        os.kill(parent, last)
        select.select([], [], [], 0.1)


def _open_descriptors() -> list[int]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return [int(name) for name in os.listdir(folder)]
    return list(range(256))


def _default_after_first() -> None:
    """Where libc can: after a signal's first delivery the kernel's default action is in force until Python code puts the handler back.

    So a process that cannot run Python code dies of the second one, with the right exit code.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        once = libc.sysv_signal
        once.restype, once.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    except (ImportError, OSError, AttributeError):
        return
    for number in ENDING:
        if signal.getsignal(number) is _received:
            handler = once(number, None)
            if handler:
                once(number, handler)


def keep_process() -> None:
    """From now on `os._exit` raises `SystemExit` in this process, so that no tool ends a run as if it had succeeded."""
    owner = os.getpid()

    def refused(status: int) -> NoReturn:
        if os.getpid() != owner:  # a child that a tool forked
            leave(status)
        raise SystemExit(status)

    os._exit = refused
