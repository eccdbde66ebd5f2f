"""Signals that end a run: raised in the main thread as `StopSignal`, but never in the middle of a line."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_S = 1.0
"""A write that still blocks this long after the signal is given up."""


class StopSignal(BaseException):
    """A signal asked this process to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        return 128 + self.number


class _State:
    received = 0
    holding = False
    held = 0


def _received(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGALRM:
        if _State.held and _State.holding:
            held, _State.held, _State.holding = _State.held, 0, False
            raise StopSignal(held)
        return
    _State.received += 1
    if _State.received > 1:
        os._exit(128 + number)
    if _State.holding:
        _State.held = number
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)
        return
    raise StopSignal(number)


@contextmanager
def stop_signals() -> Iterator[None]:
    """Inside, SIGINT, SIGTERM and SIGHUP raise `StopSignal` once; a second one ends the process at once.

    A signal that was ignored when the process started (as `nohup` does with SIGHUP) stays ignored.
    """
    before = {}
    for number in (*ENDING, signal.SIGALRM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, _received)
    _State.received, _State.holding, _State.held = 0, False, 0
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def whole_line() -> Iterator[None]:
    """Inside, a signal waits until the block ends, at most `GRACE_S`."""
    _State.holding = True
    try:
        yield
    finally:
        _State.holding = False
        if _State.held:
            number, _State.held = _State.held, 0
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise StopSignal(number)
