"""Many videos on the command line: what is asked for, what is shown while it runs, and the table at the end."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videodag_cli.batch.api import Batch, BatchEvents, run_batch
from videodag_cli.batch.finding import Found, find_videos, read_list
from videodag_cli.batch.forecast import describe
from videodag_cli.batch.ledger import NAME, BatchRecord
from videodag_cli.batch.naming import outputs_for
from videodag_cli.batch.outcome import TOLD, VideoOutcome
from videodag_cli.cli import streams
from videodag_cli.errors import RequestError, VideodagError, printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from videodag_cli.batch.task import VideoTask
    from videodag_cli.batch.verdicts import Verdict
    from videodag_cli.run.output import StraightOutput

SHOWN_FAILURES = 20
EVERY_S = 0.5


def find_all(videos: Sequence[str], from_file: str | None, *, null: bool, root: Path | None) -> Found:
    """Every video that the command line names. Raises `InputError` and `RequestError`."""
    if null and from_file is None:
        raise RequestError("-0 says how the paths of --from-file end; give both")
    listed = [] if from_file is None else read_list(from_file, null=null)
    found = find_videos([*videos, *listed], root=None if root is None else str(root))
    if not found.videos:
        others = f"; {found.told_others}" if found.others else ""
        raise RequestError(f"no MP4 or MOV file to run{others}")
    return found


def parse_jobs(text: str) -> int | None:
    """`auto` is None."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise RequestError(f"--jobs {printable(text)!r}: give a whole number from 1 up, or auto")
    return int(text)


def parse_max_failed(text: str) -> float:
    """`3` videos, or `2%` of them as 0.02."""
    found = re.fullmatch(r"(?P<count>\d{1,9})|(?P<share>\d{1,3}(?:\.\d{1,6})?) ?%", text.strip())
    if found is None or (found["share"] and float(found["share"]) > 100):
        raise RequestError(f"--max-failed {printable(text)!r}: give a number of videos (3) or a share of them (2%)")
    return float(found["count"]) if found["count"] else float(found["share"]) / 100


def make_batch(found: Found, plans: Sequence[Any], folder: Path, format: str, **more: Any) -> Batch:
    """Everything decided, with the name of each output. Raises `RequestError` where two outputs would have one name."""
    outputs = outputs_for(found.videos, [plan.pipeline.id for plan in plans], folder=folder, format=format)
    return Batch(found, tuple(plans), folder, outputs, **more)


def run_many(batch: Batch, *, mode: str, quiet: bool, json: StraightOutput | None) -> int:
    """Run a batch with progress on standard error; returns the exit code, having printed the table and the line it ends with."""
    started = time.monotonic()
    with _view(mode, quiet=quiet) as view:
        record = _ended(run_batch(batch, events=view))
    if not quiet:
        for line in table(record, batch, time.monotonic() - started):
            streams.say(line)
    if json is not None:
        import orjson

        json.write(orjson.dumps(record.as_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if record.exit_code:
        streams.say_error(_error(record, batch))
    return record.exit_code or 0


def dry_run(batch: Batch, out: StraightOutput) -> int:
    """List every video with what would be done, and do nothing. Exit 3 is left to the run itself."""
    import orjson

    out.write(orjson.dumps(describe(batch), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE, default=str))
    return 0


def _ended(outcomes: Any) -> BatchRecord:
    while True:
        try:
            next(outcomes)
        except StopIteration as end:
            record: BatchRecord = end.value
            return record


def _error(record: BatchRecord, batch: Batch) -> VideodagError:
    """The one line of a batch that did not end well."""
    from videodag_cli.errors import DifferenceError, IncompleteError, OutputError

    bad = [outcome for outcome in record.videos if outcome.is_failure]
    known = sum(outcome.known for outcome in bad)
    told = f"{len(bad)} of {len(record.videos)} failed"
    if known:
        told += f", {known} of them as in an earlier run"
    first = next((outcome for outcome in bad if not outcome.known), bad[0])
    message = f"{told}; {first.video}: {first.message or first.word}; all are in {printable(batch.folder / NAME)}"
    if record.exit_code == 6:
        return OutputError(message, word=next((o.word for o in bad if o.exit_code == 6), None))
    if record.exit_code == 5:
        return DifferenceError(message, word="check.assertion")
    return IncompleteError(message)


def table(record: BatchRecord, batch: Batch, wall_time_s: float) -> Iterator[str]:
    """What became of the videos, by status, and the failures by name."""
    counts = Counter(outcome.status for outcome in record.videos)
    rows: list[tuple[str, str]] = []
    for status, text in TOLD.items():
        if counts[status]:
            known = sum(outcome.known for outcome in record.videos if outcome.status == status)
            rows.append((text, f"{counts[status]:,}" + (f" ({known:,} known from an earlier run)" if known else "")))
    frames = sum(o.sampled for o in record.videos if o.status in ("done", "damaged") and not o.known)
    rows.append(("frames", f"{frames:,}"))
    if frames:
        rows.append(("rate", f"{frames / max(wall_time_s, 1e-9):,.1f} frames/s"))
    width = max(len(name) for name, _ in rows)
    several = f" through {len(batch.plans)} pipelines" if len(batch.plans) > 1 else ""
    yield f"{len(batch.found.videos):,} videos{several} in {wall_time_s:.1f} s -> {printable(batch.folder)}"
    yield from (f"  {name:<{width}}  {value}" for name, value in rows)
    if batch.found.others:
        yield f"  {batch.found.told_others}"
    told = [o for o in record.videos if o.status not in ("done", "up_to_date") or o.is_failure]
    for outcome in told[:SHOWN_FAILURES]:
        word = f" [{outcome.word}]" if outcome.word else ""
        yield f"  {TOLD.get(outcome.status, outcome.status)}{word}: {_where(outcome)}: {outcome.message or ''}".rstrip(
            ": "
        )
    if len(told) > SHOWN_FAILURES:
        yield f"  and {len(told) - SHOWN_FAILURES:,} more; {printable(batch.folder / NAME)} holds them all"


def _where(outcome: VideoOutcome) -> str:
    return outcome.video if outcome.message is None or outcome.video not in outcome.message else outcome.pipeline


# --- while it runs ---


class _Account:
    """How far the batch is, in videos and parts of videos."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.due = 0
        self.ended_count = 0
        self.running: dict[int, tuple[str, int, int]] = {}
        """Number of the task -> video, frames done, frames in all."""
        self.frames = 0

    def begun(self, verdicts: Sequence[Verdict], jobs: int) -> None:
        self.started = time.monotonic()
        self.due = sum(verdict.action != "none" for verdict in verdicts)

    def progress(self, task: VideoTask, done: int, total: int) -> None:
        self.running[task.number] = (task.video, done, total)

    def ended(self, outcome: VideoOutcome) -> None:
        self.ended_count += 1
        self.frames += outcome.sampled
        self.running = {number: entry for number, entry in self.running.items() if printable(entry[0]) != outcome.video}

    @property
    def share(self) -> float:
        parts = sum(done / total for _, done, total in list(self.running.values()) if total)
        return min(1.0, (self.ended_count + parts) / self.due) if self.due else 1.0

    @property
    def eta_s(self) -> float | None:
        share = self.share
        return (time.monotonic() - self.started) * (1 - share) / share if share > 0 else None

    @property
    def rate(self) -> float:
        now = self.frames + sum(done for _, done, _ in list(self.running.values()))
        return now / max(time.monotonic() - self.started, 1e-9)


class _Silent(_Account):
    """Nobody wants to know."""


class _JsonLines(_Account):
    """One JSON object a line, at most twice a second and at the end of each video."""

    def __init__(self) -> None:
        super().__init__()
        self._last = 0.0

    def begun(self, verdicts: Sequence[Verdict], jobs: int) -> None:
        super().begun(verdicts, jobs)
        self._say()

    def progress(self, task: VideoTask, done: int, total: int) -> None:
        super().progress(task, done, total)
        if time.monotonic() - self._last >= EVERY_S:
            self._say()

    def ended(self, outcome: VideoOutcome) -> None:
        super().ended(outcome)
        self._say(ended={"video": outcome.video, "pipeline": outcome.pipeline, "status": outcome.status})

    def _say(self, **more: Any) -> None:
        import orjson

        self._last = time.monotonic()
        eta = self.eta_s
        line = {
            "videos_done": self.ended_count,
            "videos": self.due,
            "frames_per_s": round(self.rate, 2),
            "eta_s": None if eta is None else round(eta, 1),
            "running": [
                {"video": printable(video), "done": done, "total": total}
                for video, done, total in list(self.running.values())
            ],
            **more,
        }
        sys.stderr.write(orjson.dumps(line).decode() + "\n")
        sys.stderr.flush()


class _Bars(_Account):
    """A bar for each running video and one for the whole."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._whole: TaskID | None = None
        self._bars: dict[int, tuple[str, TaskID]] = {}

    def begun(self, verdicts: Sequence[Verdict], jobs: int) -> None:
        super().begun(verdicts, jobs)
        self._whole = self._progress.add_task(f"{self.due} to run, {jobs} at once", total=self.due)

    def progress(self, task: VideoTask, done: int, total: int) -> None:
        from rich.markup import escape

        super().progress(task, done, total)
        if task.number not in self._bars:
            name = escape(printable(Path(task.video).name, limit=40))
            self._bars[task.number] = (printable(task.video), self._progress.add_task(name, total=total))
        self._progress.update(self._bars[task.number][1], completed=done, total=total)
        self._show_whole()

    def ended(self, outcome: VideoOutcome) -> None:
        super().ended(outcome)
        for number, (video, bar) in list(self._bars.items()):
            if video == outcome.video:
                self._progress.remove_task(bar)
                del self._bars[number]
        self._show_whole()

    def _show_whole(self) -> None:
        if self._whole is not None:
            self._progress.update(self._whole, completed=self.share * self.due)


@contextmanager
def _view(mode: str, *, quiet: bool) -> Iterator[BatchEvents]:
    if mode == "json":
        yield _JsonLines()
    elif mode == "always" or (mode == "auto" and not quiet and sys.stderr.isatty()):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), refresh_per_second=4, transient=True) as progress:
            yield _Bars(progress)
    else:
        yield _Silent()
