"""The command in a process that is forked from one that has loaded it: a sixth of the work of starting one afresh.

For tests of what a command does and says. Those of starting, signals, streams, locales and surroundings start fresh ones, see
`tests.commands.call`. `python -m tests.forks FD` is the process that forks: it answers on the socket FD, one command at a time.
"""

from __future__ import annotations

import atexit
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, NoReturn

ROOT = Path(__file__).parent.parent
LOADED = (
    *("av", "cv2", "numpy", "onnxruntime"),
    *("videodag_cli.cli.app", "videodag_cli.cli.run", "videodag_cli.cli.progress", "videodag_cli.run.api"),
)
"""What is loaded before forking: what most commands need."""


def forked(
    arguments: Sequence[str], *, cwd: Path | None, env: Mapping[str, str], stdin: bytes, timeout_s: float
) -> tuple[int, bytes, bytes]:
    """Exit code of `videodag ARGUMENTS`, and what it writes to both streams; raises `TimeoutError`."""
    with tempfile.TemporaryFile() as fed, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        fed.write(stdin)
        fed.seek(0)
        server = _server()
        server.settimeout(timeout_s)
        request = pickle.dumps((list(arguments), os.fspath(cwd or os.getcwd()), dict(env)))
        socket.send_fds(server, [len(request).to_bytes(4, "big")], [fed.fileno(), out.fileno(), err.fileno()])
        server.sendall(request)
        try:
            code = int.from_bytes(_received(server, 4), "big", signed=True)
        except TimeoutError:
            _server.cache_clear()  # an answer that comes later is nobody's
            raise
        return code, _all(out), _all(err)


@cache
def _server() -> socket.socket:
    """The socket to the process that forks; it ends with this one, which closes the socket."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.forks", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _received(channel: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = channel.recv(count - len(data))
        if not more:
            raise ConnectionError("the process that forks is gone")
        data += more
    return data


def _all(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _serve(channel: socket.socket) -> None:
    before = dict(os.environ)
    # As the command has them; and threads cannot be forked.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    for module in LOADED:
        __import__(module)
    set_by_loading = {name: value for name, value in os.environ.items() if before.get(name) != value}
    while True:
        size, streams, _, _ = socket.recv_fds(channel, 4, 3)
        if not size:
            return
        request = _received(channel, int.from_bytes(size, "big"))
        if len(os.listdir("/proc/self/task")) > 1:
            raise RuntimeError("threads cannot be forked")
        child = os.fork()
        if child == 0:
            channel.close()
            arguments, cwd, env = pickle.loads(request)
            _run(streams, arguments, cwd, {**env, **set_by_loading})
        for stream in streams:
            os.close(stream)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        channel.sendall(code.to_bytes(4, "big", signed=True))


def _run(streams: Sequence[int], arguments: list[str], cwd: str, env: dict[str, str]) -> NoReturn:
    """Become the command."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["videodag", *arguments]
    try:
        from videodag_cli.__main__ import main

        main()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
