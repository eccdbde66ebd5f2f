"""The table of jobs: one worker has a job, whoever else thinks so."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.commands import call, command
from tests.services import on_command_line, served
from videodag_cli.errors import OutputError
from videodag_cli.server import jobs
from videodag_cli.server.jobs import Ending, JobRow, JobTable, new_id


def add(table: JobTable, **more: Any) -> JobRow:
    values = {
        "pipeline_id": "p",
        "file_name": "a.mp4",
        "file_bytes": 1,
        "request": {"options": {}},
        "key": None,
        **more,
    }
    return table.add(new_id(), **values)


def test_a_job_is_claimed_once(tmp_path: Path) -> None:
    table = JobTable(tmp_path / "jobs.sqlite")
    job = add(table)
    assert table.claim(job.id, "one", 10) is not None
    assert table.claim(job.id, "two", 10) is None
    assert table.end(job.id, "two", Ending(state="failed")) is False
    assert table.renew(job.id, "two", 10, process="", done=0, total=None, rate=None) is None
    assert table.renew(job.id, "one", 10, process="", done=3, total=9, rate=1.5) is False
    assert table.end(job.id, "one", Ending(state="completed", exit_code=0, lines=9)) is True
    found = table.get(job.id)
    assert found is not None
    assert (found.state, found.done, found.total) == ("completed", 9, 9)


def test_a_worker_that_lost_its_lease_changes_nothing(tmp_path: Path) -> None:
    table = JobTable(tmp_path / "jobs.sqlite")
    job = add(table)
    table.claim(job.id, "one", 0.0)
    ((running, late),) = table.running()
    assert (running.id, late) == (job.id, True)
    assert table.give_back(job.id, "one")
    assert table.claim(job.id, "two", 10) is not None
    assert table.give_back(job.id, "one") is False
    assert table.end(job.id, "one", Ending(state="completed")) is False
    assert table.running()[0][1] is False


def test_what_is_cancelled_is_not_run_again(tmp_path: Path) -> None:
    table = JobTable(tmp_path / "jobs.sqlite")
    waiting, running = add(table), add(table)
    table.claim(running.id, "one", 10)
    assert table.cancel(waiting.id)
    assert table.cancel(running.id)
    assert table.due() == []
    assert table.renew(running.id, "one", 10, process="", done=0, total=None, rate=None) is True
    table.give_back(running.id, "one")  # its worker died before it could stop it
    assert [table.get(job.id).state for job in (waiting, running)] == ["cancelled", "cancelled"]  # type: ignore[union-attr]


def test_a_key_belongs_to_the_first(tmp_path: Path) -> None:
    table = JobTable(tmp_path / "jobs.sqlite")
    first = add(table, key="k")
    assert add(table, key="k").id == first.id
    assert add(table).id != add(table).id


def test_machines_share_a_table_without_the_write_ahead_log(tmp_path: Path) -> None:
    table = JobTable(tmp_path / "jobs.sqlite", shared=True)
    add(table)
    assert not list(tmp_path.glob("*-wal"))
    assert JobTable(tmp_path / "jobs.sqlite", shared=True).counts() == {"queued": 1}


@pytest.mark.parametrize("kind", ["another version", "no database"])
def test_another_table_is_refused_and_kept(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "jobs.sqlite"
    if kind == "no database":
        path.write_bytes(b"nothing of the kind, and longer than a header" * 4)
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE jobs (id TEXT PRIMARY KEY, state TEXT, number INTEGER)")
    before = path.read_bytes()
    done = call(command("serve", "--port", "0", "--data-dir", tmp_path))
    assert (done.code, done.word) == (6, "output.failed")
    assert "--data-dir" in done.error
    assert path.read_bytes() == before


def test_a_table_that_a_stopped_process_holds_is_told_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker goes on after an `OutputError`, see `Worker.serve`."""
    monkeypatch.setattr(jobs, "BUSY_S", 0.01)
    table = JobTable(tmp_path / "jobs.sqlite")
    with closing(sqlite3.connect(table.path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(OutputError, match="the table of jobs: database is locked"):
            table.seen("worker", 1)
        holder.execute("ROLLBACK")
    table.seen("worker", 1)
    assert table.workers(60) == 1
    table.close()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounting needs root")
def test_a_full_disk_is_told_and_a_job_can_be_removed_to_make_room(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", data], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with served(tmp_path, "--jobs", "1") as server:
            right = on_command_line(server, "slow", "--max-frames", "40")
            done = server.accepted("count", options={"max_frames": 3})
            assert server.over(done)["status"] == "completed"
            running = server.accepted("slow", options={"max_frames": 40})
            server.wait_until(running, frames=1)
            filler = data / "filler"
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            answer = server.send("count")
            assert (answer.status_code, answer.json()["word"]) == (507, "output.full")
            answer = server.http.get(f"/video/jobs/{done}/results?format=csv")
            assert (answer.status_code, answer.json()["word"]) == (507, "output.full")
            assert str(tmp_path) not in answer.text
            assert "full" in server.http.get("/health/ready").text
            assert server.http.delete(f"/video/jobs/{done}").status_code == 204
            assert not (data / "jobs" / done).exists()
            assert not list((data / "uploads").iterdir())
            filler.unlink()
            assert server.over(running)["status"] == "completed"
            assert server.lines(running) == right
    finally:
        subprocess.run(["umount", "-l", data], check=True)
