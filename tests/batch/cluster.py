"""A real Dask cluster: scheduler and workers are processes of their own, on this machine's loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.commands import ROOT

WORKERS = 2


class Cluster:
    """A context manager with two workers of one thread each."""

    def __init__(self, folder: Path) -> None:
        self.address = os.fspath(folder / "scheduler.json")
        self._processes: list[subprocess.Popen[bytes]] = []
        self._log = open(folder / "log.txt", "wb")  # noqa: SIM115 - closed at the end

    def __enter__(self) -> Cluster:
        self._start("scheduler", "--port", "0", "--no-dashboard")
        for _ in range(WORKERS):
            self.add_worker()
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
        self._log.close()

    def add_worker(self) -> None:
        self._start("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard")

    def _start(self, what: str, *arguments: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--host", "127.0.0.1", *arguments]
        self._processes.append(
            subprocess.Popen(
                [*command, "--scheduler-file", self.address],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
                    "DASK_DISTRIBUTED__WORKER__HTTP__ROUTES": "[]",
                    # what they do while they wait for tests: less
                    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
                    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
                    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
                },
            )
        )
        while what == "scheduler" and not os.path.exists(self.address):
            assert self._processes[0].poll() is None, "the scheduler did not start"
            time.sleep(0.05)
