"""The table of jobs: one worker has a job, whoever else thinks so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
