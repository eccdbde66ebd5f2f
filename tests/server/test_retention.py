"""What `--keep-days` and `--keep-size` remove: the jobs they mean, with their files, and nothing that waits or runs."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.services import Server, on_command_line, served
from videodag_cli.server.jobs import Ending, JobRow, new_id
from videodag_cli.server.service import Service
from videodag_cli.server.settings import ServiceLimits, Settings

DAY_S = 86400.0
KIB = 1 << 10


@contextmanager
def keeping(folder: Path, **limits: Any) -> Iterator[Service]:
    with Service(Settings(data_dir=folder, limits=ServiceLimits(**limits))) as service:
        yield service


def job(service: Service, *, kib: int, state: str = "completed", ended_days_ago: float = 0.0) -> str:
    """A job with so many files, in the state in which its worker left it."""
    table, job_id = service.table, new_id()
    folder = service.places.job(job_id)
    folder.mkdir()
    (folder / "video.mp4").write_bytes(bytes(kib * KIB // 2))
    (folder / "results.jsonl").write_bytes(bytes(kib * KIB // 2))
    table.add(job_id, pipeline_id="p", file_name="a.mp4", file_bytes=1, request={}, key=None)
    if state != "queued":
        assert isinstance(table.claim(job_id, "worker", 100), JobRow)
    if state in ("completed", "failed"):
        assert table.end(job_id, "worker", Ending(state=state, exit_code=0))  # type: ignore[arg-type]
        with closing(sqlite3.connect(table.path)) as connection, connection:
            ended_s = time.time() - ended_days_ago * DAY_S
            connection.execute("UPDATE jobs SET ended_s = ? WHERE id = ?", (ended_s, job_id))
    return job_id


def kept(service: Service) -> set[str]:
    """Jobs that are known; each of them, and nothing else, has files."""
    listed = {row.id for row in service.table.page(before=None, limit=500)}
    assert {path.name for path in service.places.jobs.iterdir()} == listed
    return listed


def test_jobs_go_with_their_files_when_they_ended_long_enough_ago(tmp_path: Path) -> None:
    with keeping(tmp_path, keep_s=2 * DAY_S) as service:
        for state in ("completed", "failed"):
            job(service, kib=2, state=state, ended_days_ago=2.1)
        right = {
            job(service, kib=2, ended_days_ago=1.9),
            job(service, kib=2, state="failed", ended_days_ago=1.9),
            job(service, kib=2, state="queued"),
            job(service, kib=2, state="running"),
        }
        service.retain()
        assert kept(service) == right


def test_the_age_of_what_waits_or_runs_does_not_count(tmp_path: Path) -> None:
    with keeping(tmp_path, keep_s=DAY_S) as service:
        right = {job(service, kib=2, state=state) for state in ("queued", "running")}
        with closing(sqlite3.connect(service.table.path)) as connection, connection:
            connection.execute("UPDATE jobs SET created_s = 0, started_s = 0")
        service.retain()
        assert kept(service) == right


def test_the_jobs_that_ended_first_go_until_the_rest_fits(tmp_path: Path) -> None:
    """In the order of their end, not of their upload."""
    with keeping(tmp_path, keep_s=None, keep_bytes=50 * KIB) as service:
        newest, oldest, middle = (job(service, kib=20, ended_days_ago=days) for days in (1, 3, 2))
        assert kept(service) == {newest, oldest, middle}
        service.retain()
        assert kept(service) == {newest, middle}
        service.retain()
        assert kept(service) == {newest, middle}


def test_files_of_what_waits_or_runs_count_and_stay(tmp_path: Path) -> None:
    with keeping(tmp_path, keep_s=None, keep_bytes=50 * KIB) as service:
        old, new = job(service, kib=10, ended_days_ago=2), job(service, kib=10, ended_days_ago=1)
        active = {job(service, kib=15, state="queued"), job(service, kib=16, state="running")}
        service.retain()
        assert kept(service) == {new, *active}
        active.add(job(service, kib=40, state="running"))
        service.retain()
        assert kept(service) == active
        assert old not in active


def test_files_that_are_asked_for_later_count(tmp_path: Path) -> None:
    """Tables and columns are made beside the results when somebody wants them."""
    with keeping(tmp_path, keep_s=None, keep_bytes=50 * KIB) as service:
        old, new = job(service, kib=20, ended_days_ago=2), job(service, kib=20, ended_days_ago=1)
        (service.places.job(new) / "frames.csv").write_bytes(bytes(20 * KIB))
        service.retain()
        assert kept(service) == {new}
        assert old != new


def test_without_limits_everything_is_kept(tmp_path: Path) -> None:
    with keeping(tmp_path, keep_s=None) as service:
        right = {job(service, kib=20, ended_days_ago=10_000), job(service, kib=20)}
        service.retain()
        assert kept(service) == right


@pytest.mark.slow
def test_a_service_forgets_jobs_and_the_one_that_runs_goes_on(tmp_path: Path) -> None:
    """All that is over goes, since already the running job's files are more than is kept."""
    with served(tmp_path, "--jobs", "1") as server:
        done = [server.accepted("count", options={"max_frames": 2}) for _ in range(2)]
        for job_id in done:
            server.over(job_id)
        running = server.accepted("slow", options={"max_frames": 60})
        server.wait_until(running, frames=2)
    with served(tmp_path, "--jobs", "1", "--keep-size", "1K") as server:
        _gone(server, done)
        assert server.job(running)["status"] in ("queued", "running")
    with served(tmp_path, "--jobs", "1") as server:
        assert server.over(running)["status"] == "completed"
        assert server.lines(running) == on_command_line(server, "slow", "--max-frames", "60")


def _gone(server: Server, job_ids: list[str]) -> None:
    until = time.monotonic() + 60
    while any(server.http.get(f"/video/jobs/{job_id}").status_code != 404 for job_id in job_ids):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not [job_id for job_id in job_ids if (server.data / "jobs" / job_id).exists()]
