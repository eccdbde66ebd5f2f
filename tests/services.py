"""`videodag serve` as its users have it: a process, and clients over loopback."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.commands import ROOT, call, command, signals_as_usual
from tests.graphs import TOYS, document, node, write

CLIP = ROOT / "sample_videos" / "synthetic.mp4"
WAIT_S = 60.0


@dataclass
class Server:
    """A running service."""

    process: subprocess.Popen[bytes]
    address: str
    data: Path
    pipelines: Path
    http: httpx.Client

    def send(
        self,
        pipeline: str | None,
        file: Path | bytes = CLIP,
        *,
        options: Any = None,
        name: str = "clip.mp4",
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """An upload; `pipeline_id` and `options` come before the file."""
        fields: dict[str, str] = {} if pipeline is None else {"pipeline_id": pipeline}
        if options is not None:
            fields["options"] = options if isinstance(options, str) else json.dumps(options)
        content = file if isinstance(file, bytes) else file.read_bytes()
        return self.http.post(
            "/video/upload-and-run", data=fields, files={"file": (name, content, "video/mp4")}, headers=headers
        )

    def accepted(self, *arguments: Any, **options: Any) -> str:
        answer = self.send(*arguments, **options)
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == f"/video/jobs/{answer.json()['job_id']}"
        return str(answer.json()["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.http.get(f"/video/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def over(self, job_id: str, *, within_s: float = WAIT_S) -> dict[str, Any]:
        """The job when it is over."""
        until = time.monotonic() + within_s
        while (found := self.job(job_id))["status"] in ("queued", "running"):
            assert time.monotonic() < until, found
            time.sleep(0.05)
        return found

    def lines(self, job_id: str) -> bytes:
        answer = self.http.get(f"/video/jobs/{job_id}/results", headers={"accept": "application/x-ndjson"})
        assert answer.status_code == 200, answer.text
        return answer.content

    def wait_until(self, job_id: str, *, frames: int) -> None:
        """Wait until the job is so far, and running."""
        until = time.monotonic() + WAIT_S
        while (found := self.job(job_id))["progress"]["frames_done"] < frames:
            assert time.monotonic() < until, found
            assert found["status"] in ("queued", "running"), found
            time.sleep(0.05)


def make_pipelines(folder: Path) -> Path:
    """`count` is quick and keeps a state, `slow` takes 50 ms a frame, `fails` fails on frame 2, `reads` takes a file."""
    folder.mkdir(exist_ok=True)
    write(folder, document(["mean", node("count:toys.counter")], id="count"))
    write(folder, document([node("count:toys.counter", sleep_s=0.05)], id="slow"))
    write(folder, document([node("index:toys.fails_at", frames=[2])], id="fails"))
    return folder


class RedisServer:
    """A Redis server on loopback that keeps nothing and is used by nobody else."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._folder = folder
        self.address = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program is not None
        arguments = [
            program,
            "--port",
            str(self._port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self._folder),
        ]
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
        until = time.monotonic() + WAIT_S
        while True:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            assert time.monotonic() < until
            time.sleep(0.05)

    def stop(self) -> None:
        """End it; what was queued is lost."""
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """Skips the test where none is installed, except in CI."""
    if shutil.which("redis-server") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("redis-server is not installed; the tests of the queue need it")
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    server = RedisServer(folder)
    yield server
    server.stop()


@contextmanager
def served(
    folder: Path, *options: str, token: str | None = None, environment: dict[str, str] | None = None
) -> Iterator[Server]:
    """A service with the data folder `folder/data`, on a port of its own; it must end well."""
    pipelines = make_pipelines(folder / "pipelines")
    data = folder / "data"
    arguments = command(
        "serve", "--port", "0", "--data-dir", data, "--pipelines-dir", pipelines, "--plugins-dir", TOYS, *options
    )
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        **({"VIDEODAG_TOKEN": token} if token else {}),
        **(environment or {}),
    }
    with open(folder / "log", "ab") as log, signals_as_usual():
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.PIPE, env=variables
        )
    try:
        address = _address(process)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(base_url=address, timeout=WAIT_S, headers=headers, trust_env=False) as client:
            yield Server(process, address, data, pipelines, client)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def _address(process: subprocess.Popen[bytes]) -> str:
    """What the service says when it is ready."""
    assert process.stderr is not None
    said = b""
    until = time.monotonic() + WAIT_S
    while b"\n" not in said:
        assert time.monotonic() < until, said
        if select.select([process.stderr], [], [], 0.5)[0]:
            data = os.read(process.stderr.fileno(), 4096)
            assert data, said
            said += data
    assert said.startswith(b"videodag serves http://"), said
    return said.split()[2].decode()


def on_command_line(server: Server, pipeline: str, *options: str, clip: Path = CLIP) -> bytes:
    """The lines of the same run on the command line."""
    found = command("run", "-q", "-p", server.pipelines / f"{pipeline}.json", "--plugins-dir", TOYS, *options, clip)
    done = call(found)
    assert done.code in (0, 4), done.err
    return done.out


def status_kb(pid: int, name: str) -> int:
    """A number of `/proc/PID/status`, such as `VmHWM`, the most memory it had."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
