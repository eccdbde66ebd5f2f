"""A `videodag` command as a child process: how far it is, and how it ended, as it says itself on standard error."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from videodag_cli.guard.supervise import memory_bytes
from videodag_cli.server import process_names
from videodag_cli.server.command_main import ENVIRONMENT
from videodag_cli.system.loading import PARENT_TELLS, as_this_one

_ERROR = re.compile(r"videodag: error\[([a-z_.0-9]+)\]: (.*)", re.DOTALL)
_KEPT_BYTES = 1 << 16
_PRIVATE = ("VIDEODAG_TOKEN", "VIDEODAG_DEBUG", PARENT_TELLS)
STOP_WITHIN_S = 1.0


class Child:
    """One command in a process group of its own; it dies with this process."""

    def __init__(self, arguments: Sequence[str], *, folder: Path | None = None, quiet: bool = True) -> None:
        """folder: its working directory. quiet: its standard error is kept here, else it is this process's and a signal is not told."""
        alive_read, self._alive = os.pipe()
        environment = {name: value for name, value in os.environ.items() if name not in _PRIVATE}
        if not quiet:
            environment[PARENT_TELLS] = "1"
        try:
            self._process = subprocess.Popen(
                [*as_this_one(), "-P", "-m", "videodag_cli.server.command_main", *arguments],
                cwd=folder,
                env={**environment, ENVIRONMENT: f"{os.getpid()},{alive_read}"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE if quiet else None,
                pass_fds=(alive_read,),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._alive)
            raise
        finally:
            os.close(alive_read)
        self.name = process_names.name_of(self._process.pid)
        self.began = time.monotonic()
        self.done = 0
        self.total: int | None = None
        self.rate: float | None = None
        self._rest = b""
        self._said: list[str] = []
        self._said_bytes = 0
        if self._process.stderr is not None:
            os.set_blocking(self._process.stderr.fileno(), False)

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    @property
    def memory_bytes(self) -> int:
        return memory_bytes(self._process.pid)

    def fileno(self) -> int:
        """Where it tells how far it is."""
        assert self._process.stderr is not None
        return self._process.stderr.fileno()

    def listen(self) -> bool:
        """Take in what it has said; False when it will say no more."""
        while True:
            try:
                data = os.read(self.fileno(), 1 << 16)
            except BlockingIOError:
                return True
            if not data:
                return False
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._rest = self._rest[-_KEPT_BYTES:]
            for line in lines:
                self._line(line)

    def _line(self, line: bytes) -> None:
        if line.startswith(b'{"done":'):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                told = orjson.loads(line)
                self.done, self.total, self.rate = int(told["done"]), int(told["total"]), float(told["frames_per_s"])
                return
        text = line.decode(errors="replace")
        if text.startswith("videodag: error["):
            self._said, self._said_bytes = [], 0
        if self._said_bytes < _KEPT_BYTES:
            self._said.append(text)
            self._said_bytes += len(text)

    def error(self) -> tuple[str, str] | None:
        """The word and the message it ended with."""
        while self._said and not self._said[0].startswith("videodag: error["):
            del self._said[0]
        found = _ERROR.fullmatch("\n".join(self._said).strip())
        return None if found is None else (found[1], found[2])

    def ask_to_stop(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGTERM)

    def end(self, *, within_s: float = STOP_WITHIN_S) -> None:
        """Wait so long for its end, then kill it and what it started."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(within_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stderr is not None:
            with contextlib.suppress(OSError):
                self.listen()
            self._process.stderr.close()
        with contextlib.suppress(OSError):
            os.close(self._alive)
        self._alive = -1
