"""The queue in Redis, with a real server of it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import call, command, start
from tests.services import on_command_line, served


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """The address of a Redis server that is used by nobody else."""
    program = shutil.which("redis-server")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("redis-server is not installed; the tests of the queue need it")
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 20
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert time.monotonic() < until
        time.sleep(0.05)
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait()


def test_jobs_over_redis_with_a_worker_of_its_own(tmp_path: Path, redis: str) -> None:
    """Also when the queue forgets everything: the table of jobs knows."""
    with served(tmp_path, "--jobs", "0", "--queue", redis) as server:
        right = on_command_line(server, "count")
        jobs = [server.accepted("count") for _ in range(4)]
        failed = server.accepted("fails", options={"max_frames": 3})
        assert {server.job(job_id)["status"] for job_id in jobs} == {"queued"}
        flushed = subprocess.run(
            ["redis-cli", "-u", redis, "flushall"], check=True, capture_output=True, text=True, timeout=20
        )
        assert flushed.stdout.strip() == "OK"
        arguments = command("worker", "--data-dir", server.data, "--queue", redis)
        workers = [start(arguments, stdout=None, stderr=None) for _ in range(2)]
        try:
            assert [server.over(job_id)["status"] for job_id in jobs] == ["completed"] * 4
            assert [server.lines(job_id) for job_id in jobs] == [right] * 4
            assert server.over(failed)["exit_code"] == 4
            assert not list(server.data.glob("*-wal")), "SQLite's log does not work between machines"
        finally:
            for worker in workers:
                worker.terminate()
                assert worker.wait(20) == 0


def test_a_queue_that_is_away_does_not_lose_jobs(tmp_path: Path, redis: str) -> None:
    assert call(command("serve", "--queue", "redis://127.0.0.1:1/0", "--port", "0", "--help")).code == 0
    with served(tmp_path, "--jobs", "1", "--queue", redis) as server:
        assert server.over(server.accepted("count", options={"max_frames": 2}))["status"] == "completed"
