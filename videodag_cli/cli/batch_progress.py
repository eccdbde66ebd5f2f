"""How far a batch is, on standard error: a Rich bar for each running video and one for the whole, or JSON lines for machines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videodag_cli.batch.outcome import VideoOutcome, shown_path
from videodag_cli.cli.progress import EVERY_S, shows_bars, write_progress
from videodag_cli.cli.shared_options import ProgressMode
from videodag_cli.errors import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from videodag_cli.batch.allotment import Allotment
    from videodag_cli.batch.decisions import VideoDecision
    from videodag_cli.batch.ledger import BatchRecord
    from videodag_cli.batch.task import VideoTask


class BatchAccount:
    """How far the batch is, in videos and parts of videos; a video weighs as much as its file."""

    def __init__(self, *, quiet: bool = True) -> None:
        self._quiet = quiet
        self.started = time.monotonic()
        self.due = 0
        self.ended_count = 0
        self.running: dict[int, tuple[str, int, int]] = {}
        """Number of the task -> video, frames done, frames in all."""
        self.record: BatchRecord | None = None
        """Of a batch that ended early."""
        self._weights: dict[str, int] = {}
        """Video -> bytes that are left to do, for all of its pipelines."""
        self._whole = 0
        self._frames = 0

    def begun(self, verdicts: Sequence[VideoDecision], allotment: Allotment) -> None:
        self.started = time.monotonic()
        due = [verdict.outcome for verdict in verdicts if verdict.action != "none"]
        self.due = len(due)
        for outcome in due:
            size = 1 + (outcome.input.size if outcome.input is not None else 0)
            self._weights[outcome.video] = self._weights.get(outcome.video, 0) + size
        self._whole = sum(self._weights.values())
        if self.due and not self._quiet:
            from videodag_cli.cli import streams

            others = len(verdicts) - self.due
            left = f", {others:,} {'is' if others == 1 else 'are'} not" if others else ""
            workers = f", --workers {allotment.workers}" if allotment.workers else ""
            streams.say(f"{self.due:,} to run{left}; --jobs {allotment.jobs}{workers} ({allotment.reason})")

    def progress(self, task: VideoTask, done: int, total: int) -> None:
        self.running[task.number] = (task.video, done, total)

    def ended(self, outcome: VideoOutcome) -> None:
        self.ended_count += 1
        self._frames += outcome.sampled
        self._weights.pop(outcome.video, None)
        self.running = {
            number: entry for number, entry in self.running.items() if shown_path(entry[0]) != outcome.video
        }

    def stopped(self, record: BatchRecord) -> None:
        self.record = record

    @property
    def share(self) -> float:
        """Of the work that is done, from 0 to 1."""
        if not self._whole:
            return 1.0
        left = sum(list(self._weights.values()))
        parts = (
            self._weights.get(shown_path(video), 0) * done / total
            for video, done, total in list(self.running.values())
            if total
        )
        return min(1.0, max(0.0, 1 - (left - sum(parts)) / self._whole))

    @property
    def eta_s(self) -> float | None:
        share = self.share
        return (time.monotonic() - self.started) * (1 - share) / share if share > 0 else None

    @property
    def rate(self) -> float:
        now = self._frames + sum(done for _, done, _ in list(self.running.values()))
        return now / max(time.monotonic() - self.started, 1e-9)


class _JsonLines(BatchAccount):
    """One JSON object a line, at most twice a second and at the end of each video."""

    def __init__(self) -> None:
        super().__init__()
        self._last = 0.0

    def begun(self, verdicts: Sequence[VideoDecision], allotment: Allotment) -> None:
        super().begun(verdicts, allotment)
        self._say(jobs=allotment.jobs, workers=allotment.workers)

    def progress(self, task: VideoTask, done: int, total: int) -> None:
        super().progress(task, done, total)
        if time.monotonic() - self._last >= EVERY_S:
            self._say()

    def ended(self, outcome: VideoOutcome) -> None:
        super().ended(outcome)
        self._say(ended={"video": outcome.video, "pipeline": outcome.pipeline, "status": outcome.status})

    def _say(self, **more: Any) -> None:
        self._last = time.monotonic()
        eta = self.eta_s
        line = {
            "done": self.ended_count,
            "total": self.due,
            "frames_per_s": round(self.rate, 2),
            "eta_s": None if eta is None else round(eta, 1),
            "running": [
                {"video": shown_path(video), "done": done, "total": total}
                for video, done, total in list(self.running.values())
            ],
            **more,
        }
        write_progress(line)


class _Bars(BatchAccount):
    """A bar for each running video and one for the whole."""

    def __init__(self, progress: Progress, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._progress = progress
        self._all: TaskID | None = None
        self._bars: dict[int, tuple[str, TaskID]] = {}

    def begun(self, verdicts: Sequence[VideoDecision], allotment: Allotment) -> None:
        super().begun(verdicts, allotment)
        if self.due:
            self._all = self._progress.add_task("", total=1.0)
            self._show_all()

    def progress(self, task: VideoTask, done: int, total: int) -> None:
        from rich.markup import escape

        super().progress(task, done, total)
        if task.number not in self._bars:
            name = escape(printable(Path(task.video).name, limit=40))
            self._bars[task.number] = (shown_path(task.video), self._progress.add_task(name, total=total))
        self._progress.update(self._bars[task.number][1], completed=done, total=total)
        self._show_all()

    def ended(self, outcome: VideoOutcome) -> None:
        super().ended(outcome)
        for number, (video, bar) in list(self._bars.items()):
            if video == outcome.video:
                self._progress.remove_task(bar)
                del self._bars[number]
        self._show_all()

    def _show_all(self) -> None:
        if self._all is not None:
            text = f"{self.ended_count:,} of {self.due:,} ended, {self.rate:.1f} frames/s"
            self._progress.update(self._all, completed=self.share, description=text)


@contextmanager
def batch_progress(mode: ProgressMode, *, quiet: bool) -> Iterator[BatchAccount]:
    """Who learns how far a batch is."""
    if mode == "json":
        yield _JsonLines()
    elif shows_bars(mode):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), refresh_per_second=4, transient=True) as progress:
            yield _Bars(progress, quiet=quiet)
    else:
        yield BatchAccount(quiet=quiet)
