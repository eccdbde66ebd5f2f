"""The command line, run as a user runs it: a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.forks import forked
from tests.graphs import TOYS, document, write

ROOT = Path(__file__).parent.parent
COMMAND = (sys.executable, "-m", "videodag_cli")
ERROR = re.compile(r"videodag: error\[([a-z_.0-9]+)\]: ")


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.out.splitlines()]

    @property
    def failures(self) -> list[dict[str, Any]]:
        """What `--json-errors` says."""
        return [orjson.loads(line)["error"] for line in self.err.splitlines() if line.startswith('{"error":')]

    @property
    def error(self) -> str:
        """The only error line; fails unless there is exactly one."""
        lines = [line for line in self.err.splitlines() if ERROR.match(line)]
        assert len(lines) == 1, f"exit code {self.code}, {len(lines)} error lines: {self.err!r}"
        return lines[0]

    @property
    def word(self) -> str:
        match = ERROR.match(self.error)
        assert match is not None
        return match[1]


def command(*arguments: object) -> list[str]:
    return [*COMMAND, *map(str, arguments)]


def run_arguments(clip: Path, pipeline: str | Path, *more: str | Path) -> list[str]:
    return command("run", "-p", pipeline, "--plugins-dir", TOYS, *more, clip)


def checked(done: Done) -> Done:
    """What holds for every command: no traceback, and a line that says why when it fails."""
    assert "Traceback" not in done.err, done.err
    if done.code not in (0, 141):
        assert done.failures or done.word, done.err
    return done


@contextmanager
def signals_as_usual() -> Iterator[None]:
    """Inside, children do not inherit that signals are ignored, as SIGHUP is under `nohup` and SIGINT in a script's background
    jobs; this process goes on ignoring them."""
    ignored = [number for number in (signal.SIGHUP, signal.SIGINT) if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, lambda number, frame: None)  # handlers, other than ignoring, end with exec
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def call(
    arguments: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    shell: str | None = None,
    stdin: bytes = b"",
    timeout_s: float = 120,
) -> Done:
    """Run it to its end; with `shell`, a script in which `"$@"` is the command."""
    if shell is not None:
        arguments = ["/bin/sh", "-c", shell, "sh", *arguments]
    with signals_as_usual():
        done = subprocess.run(
            arguments,
            capture_output=True,
            check=False,
            cwd=cwd,
            env={"PYTHONPATH": str(ROOT), **(os.environ if env is None else env)},
            timeout=timeout_s,
            input=stdin,
        )
    return checked(Done(done.returncode, done.stdout, done.stderr.decode(errors="replace")))


def quick(
    arguments: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout_s: float = 120,
) -> Done:
    """As `call`, in a process forked from one that has loaded the command, see `tests.forks`."""
    assert tuple(arguments[: len(COMMAND)]) == COMMAND
    if sys.platform != "linux":
        return call(arguments, cwd=cwd, env=env, stdin=stdin, timeout_s=timeout_s)
    with signals_as_usual():
        code, out, err = forked(
            arguments[len(COMMAND) :],
            cwd=cwd,
            env={"PYTHONPATH": str(ROOT), **(os.environ if env is None else env)},
            stdin=stdin,
            timeout_s=timeout_s,
        )
    return checked(Done(code, out, err.decode(errors="replace")))


def videodag(*arguments: object, **options: Any) -> Done:
    """Run the command to its end; `options` are those of `quick`."""
    return quick(command(*arguments), **options)


def python(code: str, *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """What Python code prints in a process of its own; fails where the code does, or says anything on standard error."""
    done = call([sys.executable, "-c", code, *map(str, arguments)], cwd=cwd, env=env)
    assert (done.code, done.err) == (0, ""), done.err
    return done.out.decode()


def start(arguments: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start it, with both outputs in pipes unless told otherwise."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
    with signals_as_usual():
        return subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": str(ROOT)}, **options)


def finish(process: subprocess.Popen[bytes], *, timeout_s: float = 30) -> Done:
    out, err = process.communicate(timeout=timeout_s)
    return checked(Done(process.returncode, out or b"", (err or b"").decode(errors="replace")))


def pipeline(folder: Path, nodes: Sequence[dict[str, Any] | str], edges: str = "", **more: Any) -> Path:
    return write(folder, document(nodes, edges, **more))
