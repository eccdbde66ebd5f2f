"""A worker: takes jobs from the table when the bell rings, and runs each as the command line does, in a process of its own.

One loop serves all its processes; there are no threads. The lease of each job is renewed while the process runs; a worker that finds
its lease gone ends the process and forgets the job.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videodag_cli.errors import OutputError, StopSignal, VideodagError
from videodag_cli.guard.supervise import ending
from videodag_cli.run.record import RunRecord, load_record
from videodag_cli.server import process_names
from videodag_cli.server.bell import Bell
from videodag_cli.server.command import Child
from videodag_cli.server.jobs import CRASHES, Ending, JobRow, JobTable
from videodag_cli.server.places import RECORD, RESULTS, Places

POLL_S = 0.1
RENEW_S = 1.0
RECONCILE_S = 2.0
LOCKED_AGAIN_S = 1.0
"""A job whose output another process still writes is tried again after this time."""


@dataclass
class _Running:
    job: JobRow
    child: Child
    stopped: tuple[str, str] | None = None
    """Word and message of the limit that ended it."""
    cancelled: bool = False


class Worker:
    """Runs up to `slots` jobs at once until a signal comes."""

    def __init__(self, table: JobTable, bell: Bell, places: Places, *, slots: int, lease_s: float) -> None:
        self.name = process_names.name_of(os.getpid())
        self._table, self._bell, self._places = table, bell, places
        self._slots, self._lease_s = slots, lease_s
        self._renew_s = min(RENEW_S, lease_s / 4)
        self._running: dict[str, _Running] = {}
        self._renewed = self._reconciled = 0.0

    def serve(self) -> None:
        """Work until a signal is raised; what runs then goes back to the queue and continues later."""
        try:
            while True:
                try:
                    self._upkeep()
                    self._take()
                    self._listen()
                except OutputError:  # a full disk, a locked table: what runs goes on, an end not noted is found again
                    time.sleep(POLL_S)
        except StopSignal:
            for running in self._running.values():
                running.child.ask_to_stop()
            for job_id, running in self._running.items():
                running.child.end()
                with contextlib.suppress(OutputError):
                    self._table.give_back(job_id, self.name)
            with contextlib.suppress(OutputError):
                self._table.left(self.name)
            raise

    def _upkeep(self) -> None:
        now = time.monotonic()
        if now - self._reconciled >= RECONCILE_S:
            self._reconciled = now
            self._table.seen(self.name, self._slots)
            with contextlib.suppress(VideodagError):  # a queue that is away for a while comes back
                reconcile(self._table, self._bell)
        if now - self._renewed >= self._renew_s:
            self._renewed = now
            for running in list(self._running.values()):
                self._renew(running)

    def _renew(self, running: _Running) -> None:
        job, child = running.job, running.child
        found = self._table.renew(
            job.id, self.name, self._lease_s, process=child.name, done=child.done, total=child.total, rate=child.rate
        )
        if found is None:
            del self._running[job.id]
            child.end(within_s=0)
            return
        if found and not running.cancelled:
            running.cancelled = True
            child.ask_to_stop()
        limits = job.request.get("limits", {})
        timeout_s, memory = limits.get("timeout_s"), limits.get("memory_bytes")
        if running.stopped is None and timeout_s is not None and time.monotonic() - child.began > timeout_s:
            running.stopped = ("stopped.timeout", f"took longer than the {timeout_s:g} s of --job-timeout")
            child.end(within_s=0)
        elif running.stopped is None and memory is not None and child.memory_bytes > memory:
            running.stopped = ("stopped.memory", f"used more memory than the {memory >> 20} MiB of --job-memory")
            child.end(within_s=0)

    def _take(self) -> None:
        while len(self._running) < self._slots:
            try:
                job_id = self._bell.next()
            except VideodagError:
                return
            if job_id is None:
                return
            job = self._table.claim(job_id, self.name, self._lease_s)
            if job is None:
                continue
            folder = self._places.job(job.id)
            refused = _refusal(job, folder)
            if refused is not None:
                self._table.end(job.id, self.name, refused)
                continue
            try:
                self._running[job.id] = _Running(job, Child(job.request["arguments"], folder=folder))
            except OSError as error:
                self._table.end(
                    job.id,
                    self.name,
                    Ending(state="failed", exit_code=1, word="internal", message=f"no process: {error}"),
                )

    def _listen(self) -> None:
        if not self._running:
            time.sleep(POLL_S)
            return
        by_fd = {running.child.fileno(): running for running in self._running.values()}
        for fd in select.select(list(by_fd), [], [], POLL_S)[0]:
            if not by_fd[fd].child.listen():
                time.sleep(0.005)  # its end follows
        for job_id, running in list(self._running.items()):
            if running.child.returncode is not None:
                del self._running[job_id]
                self._finished(running)

    def _finished(self, running: _Running) -> None:
        job, child = running.job, running.child
        code = child.returncode or 0
        child.end()
        folder = self._places.job(job.id)
        error = running.stopped or child.error()
        if running.cancelled:
            self._places.remove(job.id)  # before it is said: a job that is to be cancelled never runs again
            self._table.end(job.id, self.name, Ending(state="cancelled", word=None))
            return
        if running.stopped is None and error is not None and error[0] == "output.locked":
            self._table.give_back(job.id, self.name, after_s=LOCKED_AGAIN_S)
            return
        crashed = running.stopped is None and (
            code < 0 or code >= 128 or (error is not None and error[0] == "stopped.crash")
        )
        if crashed and job.crashes < CRASHES:
            self._table.give_back(job.id, self.name, crashed=True)
            return
        if crashed:
            error = ("stopped.crash", f"the process that ran it died ({ending(code)})")
        self._table.end(job.id, self.name, _ending(7 if running.stopped or crashed else code, error, folder))


def _refusal(job: JobRow, folder: Path) -> Ending | None:
    """Why a job cannot be run any more."""
    pipeline = job.request["pipeline"]
    try:
        digest = "sha256:" + hashlib.sha256(Path(pipeline["path"]).read_bytes()).hexdigest()
    except OSError:
        digest = ""
    if digest != pipeline["digest"]:
        message = f"the pipeline {job.pipeline_id!r} changed after the job was accepted; send it again"
        return Ending(state="failed", exit_code=2, word="pipeline.invalid", message=message)
    if not folder.is_dir():
        return Ending(state="failed", exit_code=3, word="input.missing", message="the upload is gone; send it again")
    return None


def _ending(code: int, error: tuple[str, str] | None, folder: Path) -> Ending:
    word, message = error or (None, None)
    record = load_record(folder / RECORD) if code in (0, 4) else None
    if record is None or not (folder / RESULTS).exists():
        if word is None:
            word, message = "internal", f"the run ended with exit code {code} and no result"
        return Ending(state="failed", exit_code=code or 1, word=word, message=message)
    lines = record.accounting.ok + record.accounting.failed
    return Ending(
        state="completed",
        exit_code=code,
        word=word,
        message=message,
        summary=summary_of(record),
        lines=lines,
        result_bytes=(folder / RESULTS).stat().st_size,
    )


def summary_of(record: RunRecord) -> dict[str, Any]:
    """What a record says of a run that a client may know: nothing of paths."""
    video: Mapping[str, Any] = record.input.get("video") or {}
    pipeline = record.request.pipeline
    return {
        "pipeline": {"id": pipeline["id"], "digest": pipeline["digest"]},
        "outputs": list(pipeline["definition"]["output_nodes"]),
        "sampling": record.request.sampling,
        "tools": record.request.tools,
        "accounting": record.accounting.model_dump(mode="json"),
        "wall_time_s": record.wall_time_s,
        "video": dict(video),
        "sha256": record.input.get("sha256"),
        "problems": record.problems,
        "remarks": record.remarks,
        "packages": record.packages,
    }


def reconcile(table: JobTable, bell: Bell) -> None:
    """Let jobs wait again whose worker is gone, and ring for those that wait and are not in the queue."""
    for job, late in table.running():
        owner = job.lease_owner or ""
        if late or process_names.is_gone(owner):
            process_names.kill(job.process)  # what a stopped worker has left running
            table.give_back(job.id, owner)
    due = table.due()
    if due:
        waiting = bell.waiting()
        for job_id in due:
            if job_id not in waiting:
                bell.ring(job_id)
