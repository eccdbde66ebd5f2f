"""Limits that only a parent process can keep, because a thread cannot stop code in C or a runaway regular expression.

`supervise` runs the same command line in a child, `keep_limits` any command that asks for its `continuation`. The child is ended
when it takes too long, when one tool call takes too long, or when it uses too much memory. With `isolate` a call that overruns or
kills the child costs one frame: the child is started again and continues, that frame gets an error record. Parent and child share
a `Board`; the child ends when its parent does.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

from videodag_cli.errors import StoppedError, StopSignal
from videodag_cli.guard.board import Activity, Board
from videodag_cli.guard.guard_limits import GuardLimits
from videodag_cli.lines import NodeFailure
from videodag_cli.run.job import Continuation
from videodag_cli.run.part import PartProgress, Written
from videodag_cli.run.record import FrameError
from videodag_cli.run.sinks import Sink
from videodag_cli.system.parent import end_with_parent
from videodag_cli.system.refusals import writing
from videodag_cli.system.straight import StraightOutput

ENVIRONMENT = "VIDEODAG_CHILD"
POLL_S = 0.05
STOP_WITHIN_S = 1.3
"""A child that has not ended this long after a signal is killed."""


@dataclass(frozen=True)
class Lost:
    """A frame that cost a child: its node fails without being called."""

    frame_index: int
    failure: NodeFailure


class _Here:
    """This process, if a guard started it."""

    board: Board | None = None
    continuation: Continuation | None = None


def continuation() -> Continuation | None:
    """What the guard that started this process told it; None where there is none. From then on the process ends when its parent does."""
    if ENVIRONMENT in os.environ:
        board_fd, told_fd, alive_fd, parent = map(int, os.environ.pop(ENVIRONMENT).split(","))
        end_with_parent(alive_fd, parent)
        with open(told_fd, "rb") as file:
            file.seek(0)
            told = orjson.loads(file.read())
        progress = PartProgress(
            kept_bytes=told["bytes"],
            lines=len(told["written"]),
            failed=told["failed"],
            last_frame=told["written"][-1] if told["written"] else -1,
            written=frozenset(told["written"]),
            errors=tuple(FrameError(**error) for error in told["errors"]),
        )
        failures = [(item["frame_index"], NodeFailure(**item["failure"])) for item in told["lost"]]
        lost = {(frame_index, failure.node): failure for frame_index, failure in failures}
        _Here.board = Board(board_fd)
        _Here.continuation = Continuation(_Here.board, lost, told["serial"], progress)
    return _Here.continuation


def mark_finished() -> None:
    """Tell the parent, if there is one, that this process ends by itself and not because something killed it."""
    if _Here.board is not None:
        _Here.board.finish()


class Listener(Protocol):
    """Who takes what the children write to their standard output."""

    piped: bool
    """False: their standard output is that of this process."""

    def feed(self, data: bytes) -> None: ...

    def drop_torn(self) -> None:
        """A child has ended: what it did not write whole is forgotten."""

    def told(self) -> Mapping[str, Any]:
        """What the next child has to know of what was written before it."""


def supervise(arguments: Sequence[str], limits: GuardLimits, stdout: StraightOutput | None, *, sink: Sink) -> int:
    """Run `videodag ARGUMENTS` in a child under `limits`; returns its exit code.

    stdout: where the child's lines go, or None when it writes to a file.
    sink: what the child writes with.
    Raises `StoppedError` when a limit ended it.
    """
    return keep_limits([sys.executable, "-m", "videodag_cli", *arguments], limits, _Relay(stdout, sink))


def keep_limits(
    command: Sequence[str], limits: GuardLimits, listener: Listener, *, pass_fds: Sequence[int] = ()
) -> int:
    """Run a command whose process asks for its `continuation`, and start it again where `limits.isolate` says so; its exit code.

    pass_fds: descriptors that each child inherits. Raises `StoppedError` when a limit ended it.
    """
    started = time.monotonic()
    lost: list[Lost] = []
    serial = False
    while True:
        with writing("the watched process"):
            child = _Child(command, listener, lost, serial=serial, pass_fds=pass_fds)
        try:
            verdict = child.watch(limits, started)
        finally:
            child.end()
        if verdict is None and child.board_finished:
            return child.returncode
        culprits = child.activities
        if verdict and not (limits.isolate and verdict.of_a_call and culprits):
            raise StoppedError(verdict.message, word=verdict.word)
        how = verdict.message if verdict else f"the process died ({ending(child.returncode)})"
        if limits.isolate and not serial and (len(culprits) != 1 or culprits[0].frame_index < 0):
            serial = True  # none, several or a batch were under way when it ended: find out which call it is
            continue
        if not limits.isolate or not culprits:
            raise StoppedError(how + _during(culprits), word="stopped.crash")
        serial = False
        culprit = culprits[0]
        if len(lost) >= limits.max_crashes:
            raise StoppedError(
                f"the process died or hung more than {limits.max_crashes} times, the last time at frame {culprit.frame_index} "
                f"in node {culprit.node!r}; --max-errors allows more",
                word="stopped.max_errors",
            )
        kind = "Timeout" if verdict else "Crash"
        lost.append(Lost(culprit.frame_index, NodeFailure(culprit.node, culprit.tool, kind, how)))


def _during(activities: Sequence[Activity]) -> str:
    """` during frame 7 in node 'blur' (toys.blur)`, for the calls that were under way."""
    if not activities:
        return ""
    return " during " + ", ".join(map(_named, activities[:3]))


def _named(call: Activity) -> str:
    frame = f"frame {call.frame_index}" if call.frame_index >= 0 else "a batch"
    return f"{frame} in node {call.node!r} ({call.tool})"


@dataclass(frozen=True)
class _Verdict:
    message: str
    word: str
    of_a_call: bool = False
    """One call took too long, so it can be blamed and left out."""


class _Relay:
    """Forwards whole lines from the children to standard output and remembers how far they came."""

    def __init__(self, stdout: StraightOutput | None, sink: Sink) -> None:
        self.stdout = stdout
        self.piped = stdout is not None
        self.bytes = 0
        self.written = Written(sink)
        self._rest = b""

    def feed(self, data: bytes) -> None:
        assert self.stdout is not None
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            line += b"\n"
            self.stdout.write(line)
            self.bytes += len(line)
            self.written.add(line)

    def drop_torn(self) -> None:
        self._rest = b""

    def told(self) -> Mapping[str, Any]:
        return {
            "bytes": self.bytes,
            "written": self.written.frames,
            "failed": self.written.failed,
            "errors": [error.model_dump() for error in self.written.errors],
        }


class _Child:
    """One process that runs the video."""

    def __init__(
        self, command: Sequence[str], listener: Listener, lost: list[Lost], *, serial: bool, pass_fds: Sequence[int]
    ) -> None:
        self._listener = listener
        told = {
            "lost": [{"frame_index": item.frame_index, "failure": asdict(item.failure)} for item in lost],
            "serial": serial,
            **listener.told(),
        }
        with tempfile.TemporaryFile() as file, ExitStack() as stack:
            file.write(orjson.dumps(told))
            file.flush()
            self._board = Board.create()
            stack.callback(self._board.close)
            alive_read, self._alive = os.pipe()
            stack.callback(os.close, self._alive)
            try:
                self._process = subprocess.Popen(
                    command,
                    env={
                        **os.environ,
                        ENVIRONMENT: f"{self._board.fd},{file.fileno()},{alive_read},{os.getpid()}",
                    },
                    stdout=subprocess.PIPE if listener.piped else None,
                    pass_fds=(self._board.fd, file.fileno(), alive_read, *pass_fds),
                    start_new_session=True,
                )
            finally:
                os.close(alive_read)
            self._resources = stack.pop_all()
        self.board_finished = False
        self.activities: list[Activity] = []

    @property
    def returncode(self) -> int:
        return self._process.returncode or 0

    def watch(self, limits: GuardLimits, started: float) -> _Verdict | None:
        """Wait for the end; a verdict if a limit was exceeded. A signal to this process is passed on once."""
        try:
            while self._process.poll() is None:
                self._forward()
                verdict = self._judge(limits, started)
                if verdict is not None:
                    return verdict
        except StopSignal as stop:
            self._process.send_signal(stop.number)
            until = time.monotonic() + STOP_WITHIN_S
            while self._process.poll() is None and time.monotonic() < until:
                self._forward()
            raise
        return None

    def _forward(self) -> None:
        """Pass on what the child writes, for a moment."""
        pipe = self._process.stdout
        if pipe is None:
            self._wait(POLL_S)
        elif select.select([pipe], [], [], POLL_S)[0]:
            data = os.read(pipe.fileno(), 1 << 16)
            if data:
                self._listener.feed(data)
            else:
                self._wait(POLL_S)

    def _drain(self) -> None:
        """Pass on what is left in the pipe; somebody else may hold its other end, so do not wait for that to close."""
        pipe = self._process.stdout
        while pipe is not None and select.select([pipe], [], [], 0)[0]:
            data = os.read(pipe.fileno(), 1 << 16)
            if not data:
                return
            self._listener.feed(data)

    def _judge(self, limits: GuardLimits, started: float) -> _Verdict | None:
        now = time.monotonic()
        if limits.timeout_s is not None and now - started > limits.timeout_s:
            return _Verdict(f"took longer than --timeout {limits.timeout_s:g} s", "stopped.timeout")
        if limits.node_timeout_s is not None:
            calls = self._board.activities()
            if calls and now - calls[0].started_s > limits.node_timeout_s:
                # with several under way, one may hold the interpreter's lock and make the others wait
                called = " or ".join(map(_named, calls[:3]))
                return _Verdict(
                    f"{called} took longer than --node-timeout {limits.node_timeout_s:g} s",
                    "stopped.timeout",
                    of_a_call=True,
                )
        if limits.max_memory_bytes is not None:
            used = memory_bytes(self._process.pid)
            if used > limits.max_memory_bytes:
                return _Verdict(
                    f"used {used >> 20} MiB of memory, more than --max-memory {limits.max_memory_bytes >> 20} MiB",
                    "stopped.memory",
                )
        return None

    def _wait(self, seconds: float) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return

    def end(self) -> None:
        """Leave no process behind; keep what the board says."""
        try:
            if self._process.poll() is None:
                self.activities = self._board.activities()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)  # and what its tools started
            self._process.wait()
            self.activities = self.activities or self._board.activities()
            self.board_finished = self._board.finished
            self._drain()
        finally:
            self._listener.drop_torn()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._resources.close()


def ending(returncode: int) -> str:
    """How a process ended: `SIGKILL`, or `exit code 3`."""
    if returncode < 0:
        try:
            return signal.Signals(-returncode).name
        except ValueError:
            return f"signal {-returncode}"
    return f"exit code {returncode}"


def memory_bytes(pid: int) -> int:
    """Resident memory of a process; 0 where it cannot be had."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    try:
        shown: Any = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return int(shown.stdout.strip() or 0) * 1024
    except (OSError, ValueError):
        return 0
