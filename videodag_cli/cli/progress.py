"""Progress on standard error: a Rich bar on a terminal, JSON lines for machines, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from videodag_cli.cli.shared_options import ProgressMode
from videodag_cli.run.execution import ProgressSink

EVERY_S = 0.5
"""A machine is told at most this often."""


def shows_bars(mode: ProgressMode) -> bool:
    """Whether a person is told."""
    return mode == "always" or (mode == "auto" and sys.stderr.isatty())


def write_progress(line: Mapping[str, Any]) -> None:
    """One JSON object on a line of standard error."""
    import orjson

    sys.stderr.write(orjson.dumps(line).decode() + "\n")
    sys.stderr.flush()


@contextmanager
def progress(mode: ProgressMode, label: str) -> Iterator[ProgressSink | None]:
    """A sink to tell how far a run is; None when nobody wants to know."""
    if mode == "json":
        yield _JsonProgress()
    elif shows_bars(mode):
        with _bar(label) as sink:
            yield sink
    else:
        yield None


@contextmanager
def _bar(label: str) -> Iterator[ProgressSink]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f} frames/s" if speed else "", style="progress.data.speed")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=8, transient=True) as bar:
        task = bar.add_task(escape(label), total=None)

        def sink(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield sink


class _JsonProgress:
    """`{"done":40,"total":200,"frames_per_s":31.2,"eta_s":5.1}` at most twice a second, and at the end."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._last = 0.0
        self._first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = done - 1
        if now - self._last < EVERY_S and done < total:
            return
        self._last = now
        elapsed = max(now - self._started, 1e-9)
        rate = (done - self._first) / elapsed
        line = {
            "done": done,
            "total": total,
            "frames_per_s": round(rate, 2),
            "eta_s": round((total - done) / rate, 1) if rate else None,
        }
        write_progress(line)
