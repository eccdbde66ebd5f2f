"""The data folder: `jobs.sqlite`, `queue.sqlite`, `uploads/` for what is on its way, and a folder for each job."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from videodag_cli.system.output_names import RECORD_SUFFIX
from videodag_cli.system.refusals import writing

VIDEO = "video.mp4"
RESULTS = "results.jsonl"
RECORD = f"{RESULTS}{RECORD_SUFFIX}"


@dataclass(frozen=True)
class Places:
    """Where everything of a service is. No name that a client gives becomes part of a path."""

    root: Path

    @property
    def table(self) -> Path:
        return self.root / "jobs.sqlite"

    @property
    def uploads(self) -> Path:
        return self.root / "uploads"

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    def job(self, job_id: str) -> Path:
        return self.jobs / job_id

    def make(self) -> None:
        """Make the folders, for this user only."""
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.uploads.mkdir(exist_ok=True, mode=0o700)
            self.jobs.mkdir(exist_ok=True, mode=0o700)

    def sweep(self, known: Iterable[str]) -> None:
        """Remove what a killed server left: uploads on their way, and folders of jobs that are not in the table.

        Only for the one server of the folder, before it serves.
        """
        for path in self.uploads.iterdir():
            with contextlib.suppress(OSError):
                path.unlink()
        kept = set(known)
        for path in self.jobs.iterdir():
            if path.name not in kept:
                self.remove(path.name)

    def remove(self, job_id: str) -> None:
        """Remove a job's files; what is gone already is no error."""
        shutil.rmtree(self.job(job_id), ignore_errors=True)

    def size(self, job_id: str) -> int:
        """Bytes of a job's files."""
        total = 0
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.job(job_id)):
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_size
        return total

    def total(self) -> int:
        """Bytes of the files of all jobs, also of those that wait or run."""
        return sum(self.size(path.name) for path in self.jobs.iterdir())
