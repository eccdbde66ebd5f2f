"""Tools that misbehave at chosen frames, in every way that ends, hangs or litters a process."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Literal, NewType

from videodag_cli import Frame, tool

Seen = NewType("Seen", int)
Text = NewType("Text", str)
Kind = Literal[
    "crash",
    "os_exit",
    "c_exit",
    "sleep",
    "c_hang",
    "regex",
    "memory",
    "thread",
    "child",
    "ask",
    "raise",
    "odd_name",
    "no_message",
    "interrupt",
    "sigint",
    "sigterm",
    "sighup",
    "sigkill",
]


class _NoMessage(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise SystemExit("no text either")


def misbehave(kind: Kind) -> None:
    """Do it. What hangs would do so for a minute."""
    match kind:
        case "crash":
            ctypes.string_at(0)
        case "os_exit":
            os._exit(0)
        case "c_exit":
            ctypes.CDLL(None)._exit(0)
        case "sleep":
            time.sleep(60)
        case "c_hang":
            ctypes.PyDLL(None).sleep(60)  # with the interpreter's lock
        case "regex":
            re.match(r"(a+)+$", "a" * 60 + "b")
        case "memory":
            kept = [bytearray(os.urandom(1) * (64 << 20)) for _ in range(40)]
            time.sleep(60 + len(kept))
        case "thread":
            threading.Thread(target=time.sleep, args=(60,)).start()
        case "child":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(61)"])
        case "ask":
            input("Continue? ")
        case "raise":
            raise ValueError("first line\nsecond line \x1b[31m")
        case "odd_name":
            raise type("Odd\nName\ud800", (Exception,), {})("odd")
        case "no_message":
            raise _NoMessage
        case "interrupt":
            raise KeyboardInterrupt
        case _:
            os.kill(os.getpid(), getattr(signal, kind.upper()))
            time.sleep(0.3)


def _is_due(frame: Frame, at: tuple[int, ...], once: str) -> bool:
    """Whether it is time; with `once`, a file that says that it happened, only the first time."""
    if frame.index not in at:
        return False
    if once:
        if Path(once).exists():
            return False
        Path(once).touch()
    return True


@tool
def process(frame: Frame) -> Seen:
    """The process that this runs in."""
    return Seen(os.getpid())


@tool
def stateless(frame: Frame, *, at: tuple[int, ...] = (), kind: Kind = "raise", once: str = "") -> Seen:
    """The index, except at the frames named."""
    if _is_due(frame, at, once):
        misbehave(kind)
    return Seen(frame.index)


@tool(batch_size=4)
def batches(frames: list[Frame], *, at: tuple[int, ...] = (), kind: Kind = "raise", once: str = "") -> list[Seen]:
    """The indices, except of the frames named."""
    for frame in frames:
        if _is_due(frame, at, once):
            misbehave(kind)
    return [Seen(frame.index) for frame in frames]


class _Counter:
    def __init__(self, *, at: tuple[int, ...] = (), kind: Kind = "raise", once: str = "") -> None:
        self.at, self.kind, self.once = at, kind, once
        self.seen = 0

    def __call__(self, frame: Frame) -> Seen:
        if _is_due(frame, self.at, self.once):
            misbehave(self.kind)
        self.seen += 1
        return Seen(self.seen)


@tool
class Kept(_Counter):
    """How many frames it has seen; can be kept."""

    def state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def restore(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


@tool
class Replayed(_Counter):
    """How many frames it has seen; cannot be kept."""


@tool
class Unkeepable(_Counter):
    """Gives a state that has no JSON form."""

    def state(self) -> dict[int, int]:
        return {1: self.seen}

    def restore(self, state: dict[int, int]) -> None:
        raise AssertionError("was never kept")


@tool
class Unrestorable(_Counter):
    """Gives a state that it does not take back."""

    def state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def restore(self, state: dict[str, Any]) -> None:
        raise KeyError("another version's state")


@tool
class Shifting(_Counter):
    """Gives a state that it goes on changing."""

    def __init__(self) -> None:
        super().__init__()
        self._state = {"seen": 0}

    def __call__(self, frame: Frame) -> Seen:
        self._state["seen"] += 1
        return Seen(self._state["seen"])

    def state(self) -> dict[str, Any]:
        return self._state

    def restore(self, state: dict[str, Any]) -> None:
        self._state = state


@tool
def slow(frame: Frame, *, sleep_s: float = 0.01) -> Seen:
    """The index, after a while."""
    time.sleep(sleep_s)
    return Seen(frame.index)


@tool
def long(frame: Frame, *, length: int = 10_000) -> Text:
    """A long text."""
    return Text(f"{frame.index} " * (length // 4))


@tool
def painted(frame: Frame) -> Seen:
    """The index painted on the picture by the tests' clips; -1 where it cannot be read."""
    from tests.clips import read_index

    found = read_index(frame.image)
    return Seen(-1 if found is None else found)
