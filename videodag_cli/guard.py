"""Limits that only a parent process can keep, because a thread cannot stop code in C or a runaway regular expression.

`supervise` runs the same command line in a child. It ends the child when it takes too long, when one tool call takes too long, or
when it uses too much memory. With `isolate` a call that overruns or kills the child costs one frame: the child is started again and
continues, that frame gets an error record. Parent and child share a `Board`; the child ends when its parent does.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from videodag_cli.board import Activity, Board
from videodag_cli.errors import StoppedError
from videodag_cli.lines import NodeFailure
from videodag_cli.output import StraightOutput
from videodag_cli.signals import StopSignal

ENVIRONMENT = "VIDEODAG_CHILD"
POLL_S = 0.05
STOP_WITHIN_S = 1.5
DEFAULT_CRASHES = 20


@dataclass(frozen=True)
class GuardLimits:
    """What the parent enforces; None: no limit."""

    timeout_s: float | None = None
    node_timeout_s: float | None = None
    max_memory_bytes: int | None = None
    isolate: bool = False
    max_crashes: int = DEFAULT_CRASHES

    @property
    def needed(self) -> bool:
        return self.isolate or any(
            limit is not None for limit in (self.timeout_s, self.node_timeout_s, self.max_memory_bytes)
        )


@dataclass(frozen=True)
class Lost:
    """A frame that cost a child: its node fails without being called."""

    frame_index: int
    failure: NodeFailure


@dataclass
class ChildContext:
    """What a child knows from its parent."""

    board: Board | None = None
    lost: list[Lost] = field(default_factory=list)
    serial: bool = False
    """Run one call at a time, so that a death has one culprit."""
    last_frame: int = -1
    """On standard output: the last frame that is written."""
    lines: int = 0
    failed: int = 0


_context: ChildContext | None = None


def child_context() -> ChildContext | None:
    """This process's context if a guard started it, else None. Ends the process when the parent is gone."""
    global _context
    if _context is None and ENVIRONMENT in os.environ:
        told = json.loads(os.environ.pop(ENVIRONMENT))
        lost = [Lost(item["frame_index"], NodeFailure(**item["failure"])) for item in told["lost"]]
        board = Board(told["board"])
        _context = ChildContext(board, lost, told["serial"], told["last_frame"], told["lines"], told["failed"])
        threading.Thread(target=_end_with_parent, args=(told["alive"],), daemon=True).start()
    return _context


def mark_finished() -> None:
    """Tell the parent, if there is one, that this process ends by itself and not because something killed it."""
    if _context is not None and _context.board is not None:
        _context.board.finish()


def _end_with_parent(fd: int) -> None:
    os.read(fd, 1)  # returns when the parent's end is closed, however the parent ended
    os._exit(128 + signal.SIGTERM)


def supervise(arguments: Sequence[str], limits: GuardLimits, stdout: StraightOutput | None) -> int:
    """Run `videodag ARGUMENTS` in a child under `limits`; returns its exit code.

    stdout: where the child's lines go, or None when it writes to a file. Raises `StoppedError` when a limit ended it.
    """
    started = time.monotonic()
    relay = _Relay(stdout)
    lost: list[Lost] = []
    serial = False
    while True:
        child = _Child(arguments, relay, lost, serial=serial)
        try:
            verdict = child.watch(limits, started)
        finally:
            child.end()
        if verdict is None and child.board_finished:
            return child.returncode
        culprits = [verdict.culprit] if verdict and verdict.culprit else child.activities
        if verdict and not (limits.isolate and verdict.culprit):
            raise StoppedError(verdict.message, word=verdict.word)
        how = verdict.message if verdict else f"the process died ({_ending(child.returncode)})"
        if not limits.isolate or not culprits:
            raise StoppedError(how, word="stopped.crash")
        if not serial and (len(culprits) > 1 or culprits[0].frame_index < 0):
            serial = True  # several calls, or a batch, were under way: find out which one it is
            continue
        serial = False
        culprit = culprits[0]
        if len(lost) >= limits.max_crashes:
            raise StoppedError(
                f"more than {limits.max_crashes} frames cost the process, the last: frame {culprit.frame_index} "
                f"in node {culprit.node!r}; --max-errors allows more",
                word="stopped.max_errors",
            )
        kind = "Timeout" if verdict else "Crash"
        lost.append(Lost(culprit.frame_index, NodeFailure(culprit.node, culprit.tool, kind, how)))


@dataclass(frozen=True)
class _Verdict:
    message: str
    word: str
    culprit: Activity | None = None


class _Relay:
    """Forwards whole lines from the children to standard output and remembers how far they came."""

    def __init__(self, stdout: StraightOutput | None) -> None:
        self.stdout = stdout
        self.last_frame = -1
        self.lines = 0
        self.failed = 0
        self._rest = b""

    def feed(self, data: bytes) -> None:
        assert self.stdout is not None
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.stdout.write(line + b"\n")
            try:
                found = orjson.loads(line.removeprefix(b","))
                self.last_frame = int(found["frame_index"])
                self.failed += found["result"] is None
                self.lines += 1
            except (ValueError, KeyError, TypeError):
                continue  # the brackets of a list, or a summary

    def drop_torn(self) -> None:
        self._rest = b""


class _Child:
    """One process that runs the video."""

    def __init__(self, arguments: Sequence[str], relay: _Relay, lost: list[Lost], *, serial: bool) -> None:
        self._relay = relay
        self._board = Board.create()
        alive_read, self._alive = os.pipe()
        told = {
            "board": self._board.fd,
            "alive": alive_read,
            "lost": [{"frame_index": item.frame_index, "failure": asdict(item.failure)} for item in lost],
            "serial": serial,
            "last_frame": relay.last_frame,
            "lines": relay.lines,
            "failed": relay.failed,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "videodag_cli", *arguments],
            env={**os.environ, ENVIRONMENT: json.dumps(told)},
            stdout=None if relay.stdout is None else subprocess.PIPE,
            pass_fds=(self._board.fd, alive_read),
            start_new_session=True,
        )
        os.close(alive_read)
        self.board_finished = False
        self.activities: list[Activity] = []

    @property
    def returncode(self) -> int:
        return self._process.returncode or 0

    def watch(self, limits: GuardLimits, started: float) -> _Verdict | None:
        """Wait for the end; a verdict if a limit was exceeded. A signal to this process is passed on once."""
        try:
            while True:
                ended = self._process.poll() is not None
                self._forward()
                if ended:
                    self._drain()
                    return None
                verdict = self._judge(limits, started)
                if verdict is not None:
                    return verdict
        except StopSignal as stop:
            self._process.send_signal(stop.number)
            self._wait(STOP_WITHIN_S)
            raise

    def _forward(self) -> None:
        pipe = self._process.stdout
        if pipe is None:
            try:
                self._process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                return
        elif select.select([pipe], [], [], POLL_S)[0]:
            data = os.read(pipe.fileno(), 1 << 16)
            if data:
                self._relay.feed(data)
            else:
                self._wait(1.0)

    def _drain(self) -> None:
        pipe = self._process.stdout
        while pipe is not None and (data := os.read(pipe.fileno(), 1 << 16)):
            self._relay.feed(data)

    def _judge(self, limits: GuardLimits, started: float) -> _Verdict | None:
        now = time.monotonic()
        if limits.timeout_s is not None and now - started > limits.timeout_s:
            return _Verdict(f"took longer than --timeout {limits.timeout_s:g} s", "stopped.timeout")
        if limits.node_timeout_s is not None:
            for activity in self._board.activities()[:1]:
                if now - activity.started_s > limits.node_timeout_s:
                    return _Verdict(
                        f"frame {activity.frame_index}: node {activity.node!r} ({activity.tool}) took longer than "
                        f"--node-timeout {limits.node_timeout_s:g} s",
                        "stopped.timeout",
                        activity,
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
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self.board_finished = self._board.finished
        self.activities = self._board.activities()
        self._relay.drop_torn()
        if self._process.stdout is not None:
            self._process.stdout.close()
        os.close(self._alive)
        self._board.close()


def _ending(returncode: int) -> str:
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
