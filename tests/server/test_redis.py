"""The queue in Redis, with a real server of it: the table of jobs is the truth, whatever Redis forgets or does not answer."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import command, start
from tests.services import RedisServer, Server, on_command_line, redis_server, served

pytestmark = [pytest.mark.slow, pytest.mark.waits]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as found:
        yield found


def becomes(server: Server, status: int) -> str:
    """What `/health/ready` says when it has this status."""
    until = time.monotonic() + 60
    while (answer := server.http.get("/health/ready")).status_code != status:
        assert time.monotonic() < until, answer.text
        time.sleep(0.1)
    return answer.text


def test_jobs_over_redis_with_workers_of_their_own(tmp_path: Path, redis: RedisServer) -> None:
    """Also when Redis has forgotten everything."""
    with served(tmp_path, "--jobs", "0", "--queue", redis.address) as server:
        right = on_command_line(server, "count")
        jobs = [server.accepted("count") for _ in range(4)]
        failed = server.accepted("fails", options={"max_frames": 3})
        assert {server.job(job_id)["status"] for job_id in jobs} == {"queued"}
        redis.stop()
        redis.start()
        arguments = command("worker", "--data-dir", server.data, "--queue", redis.address)
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


def test_jobs_are_accepted_while_redis_is_away_and_run_when_it_is_back(tmp_path: Path, redis: RedisServer) -> None:
    with served(tmp_path, "--jobs", "1", "--queue", redis.address) as server:
        right = on_command_line(server, "count", "--max-frames", "2")
        running = server.accepted("slow", options={"max_frames": 40})
        server.wait_until(running, frames=1)
        redis.stop()
        waiting = server.accepted("count", options={"max_frames": 2})
        assert redis.address in becomes(server, 503)
        assert server.over(running)["status"] == "completed", "what runs does not need the queue"
        assert server.job(waiting)["status"] == "queued"
        redis.start()
        assert server.over(waiting)["status"] == "completed"
        assert server.lines(waiting) == right
        becomes(server, 200)


def test_a_redis_that_hangs_holds_nobody_up(tmp_path: Path, redis: RedisServer) -> None:
    with served(tmp_path, "--jobs", "1", "--queue", redis.address) as server:
        becomes(server, 200)
        redis.process.send_signal(signal.SIGSTOP)
        jobs = [server.accepted("count", options={"max_frames": 2}) for _ in range(8)]
        assert server.http.get("/health/live").status_code == 200
        assert "does not answer" in becomes(server, 503)
        redis.process.send_signal(signal.SIGCONT)
        assert [server.over(job_id)["status"] for job_id in jobs] == ["completed"] * 8


def test_a_service_starts_before_its_redis(tmp_path: Path, redis: RedisServer) -> None:
    redis.stop()
    with served(tmp_path, "--jobs", "1", "--queue", redis.address) as server:
        job_id = server.accepted("count", options={"max_frames": 2})
        redis.start()
        assert server.over(job_id)["status"] == "completed"
