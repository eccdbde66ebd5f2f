"""A service without its HTTP: what it knows, accepts, cancels and forgets. One for each data folder."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import orjson

from videodag_cli.errors import printable
from videodag_cli.server.bell import QueueAwayError, open_bell
from videodag_cli.server.jobs import JobRow, JobTable, new_id
from videodag_cli.server.places import RESULTS, VIDEO, Places
from videodag_cli.server.problems import ServiceError
from videodag_cli.server.request import Asked, Catalogue, FieldError
from videodag_cli.server.results import LineIndex
from videodag_cli.server.settings import Settings
from videodag_cli.server.upload import Received
from videodag_cli.server.worker import reconcile
from videodag_cli.system.files import move, sync_folder
from videodag_cli.system.locks import lock_path
from videodag_cli.system.refusals import writing


class Service:
    """A context manager; from the beginning it holds the lock of the data folder."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.places = Places(settings.data_dir)
        self.catalogue = Catalogue(settings)
        self.lines = LineIndex()
        with ExitStack() as stack:
            self.places.make()
            self._lock(stack)
            self.table = JobTable(self.places.table, shared=self.settings.queue is not None)
            stack.callback(self.table.close)
            self.bell = open_bell(self.settings.data_dir, self.settings.queue)
            self.places.sweep(self.table.ids())
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _lock(self, stack: ExitStack) -> None:
        shown = printable(self.places.root, limit=200)
        taken = f"{shown}: another `videodag serve` uses this data folder; give --data-dir another one"
        stack.enter_context(lock_path(self.places.root / "server.lock", taken))

    def job(self, job_id: str) -> JobRow:
        """Raises `ServiceError` (`service.unknown`)."""
        found = self.table.get(job_id)
        if found is None:
            raise ServiceError(f"there is no job {printable(job_id, limit=60)!r}; GET /video/jobs lists them")
        return found

    def results(self, job: JobRow) -> Path:
        """The file of a complete job's lines. Raises `ServiceError` (`service.unfinished`)."""
        if job.state != "completed":
            raise ServiceError(
                f"the job is {job.state}: it has no results{' yet' * job.active}", word="service.unfinished"
            )
        return self._file(job, RESULTS)

    def video(self, job: JobRow) -> Path:
        return self._file(job, VIDEO)

    def _file(self, job: JobRow, name: str) -> Path:
        path = self.places.job(job.id) / name
        if not path.exists():
            raise ServiceError("the files of this job were removed", word="service.unfinished", status=410)
        return path

    def require_room(self) -> None:
        """Raise `ServiceError` (`service.busy`) if too many jobs wait."""
        counts = self.table.counts()
        waiting = counts.get("queued", 0) + counts.get("running", 0)
        if waiting >= self.settings.limits.max_waiting:
            raise ServiceError(
                f"{waiting} jobs are already waiting, the limit of this service (--max-waiting); try again later",
                word="service.busy",
                headers={"Retry-After": "10"},
            )

    def accept(self, received: Received, asked: Asked, key: str | None) -> JobRow:
        """Make a job of an upload, which moves; it is in the table before it is in the queue. With a key that made a job: that job.

        Raises `FieldError` if the key made a job of another request.
        """
        request = asked.as_json(self.settings)
        if key is not None:
            request["fingerprint"] = fingerprint(received, asked)
            made = self.table.by_key(key)
            if made is not None:
                received.path.unlink()
                return _same(made, request)
        job_id = new_id()
        folder = self.places.job(job_id)
        with writing("the job"):
            folder.mkdir(mode=0o700)
            move(received.path, folder / VIDEO)
            sync_folder(self.places.jobs)
        try:
            job = self.table.add(
                job_id,
                pipeline_id=received.fields["pipeline_id"],
                file_name=received.file_name,
                file_bytes=received.file_bytes,
                request=request,
                key=key,
            )
        except BaseException:
            self.places.remove(job_id)
            raise
        if job.id != job_id:
            self.places.remove(job_id)  # another request with the same key was faster
            return _same(job, request)
        with contextlib.suppress(QueueAwayError):  # `reconcile` rings when it is back
            self.bell.ring(job_id)
        return job

    def drop(self, job: JobRow) -> bool:
        """Cancel an active job; forget one that is over, with its files. True when it is forgotten."""
        if self.table.cancel(job.id):
            if self.job(job.id).state == "cancelled":
                self.places.remove(job.id)
            return False
        self.places.remove(job.id)  # before the table is written to: it may be what makes room on a full disk
        self.table.remove(job.id)
        return True

    def reconcile(self) -> None:
        reconcile(self.table, self.bell)

    def retain(self) -> None:
        """Forget what is too old or too much."""
        limits = self.settings.limits
        over = self.table.over()
        for job in [job for job in over if job.state == "cancelled"]:
            self.places.remove(job.id)
        if limits.keep_s is not None:
            before = time.time() - limits.keep_s
            for job in [job for job in over if (job.ended_s or 0) < before]:
                self.drop(job)
        if limits.keep_bytes is not None:
            total = self.places.total()
            for job in self.table.over():
                if total <= limits.keep_bytes:
                    break
                total -= self.places.size(job.id)
                self.drop(job)


def fingerprint(received: Received, asked: Asked) -> str:
    """What makes two requests the same: all that the client sent but the file's name."""
    parts = [received.fields["pipeline_id"], dict(asked.given), received.file_sha256]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _same(made: JobRow, request: Mapping[str, Any]) -> JobRow:
    if made.request.get("fingerprint") != request["fingerprint"]:
        raise FieldError(
            "Idempotency-Key", f"made the job {made.id} of another request; give each request a key of its own"
        )
    return made
