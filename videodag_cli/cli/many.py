"""Many videos on the command line: the request, what is shown while it runs, and the table at the end."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videodag_cli.batch.api import Batch, run_batch
from videodag_cli.batch.finding import FoundVideos, find_videos, read_list
from videodag_cli.batch.ledger import NAME, BatchRecord
from videodag_cli.batch.naming import outputs_for
from videodag_cli.batch.outcome import TOLD, VideoOutcome
from videodag_cli.cli import streams
from videodag_cli.cli.batch_progress import batch_progress
from videodag_cli.cli.shared_options import ProgressMode
from videodag_cli.errors import RequestError, VideodagError, counted, printable

if TYPE_CHECKING:
    from videodag_cli.batch.executors import TaskExecutor
    from videodag_cli.system.straight import StraightOutput

SHOWN_FAILURES = 20


def find_all(videos: Sequence[str], from_file: str | None, *, null: bool, root: Path | None) -> FoundVideos:
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
        raise RequestError(f"--jobs {printable(text)!r}: must be a whole number of at least 1, or auto")
    return int(text)


def parse_max_failed(text: str) -> float:
    """`3` videos, or `2%` of them as 0.02."""
    found = re.fullmatch(r"(?P<count>\d{1,9})|(?P<share>\d{1,3}(?:\.\d{1,6})?) ?%", text.strip())
    if found is None or (found["share"] and float(found["share"]) > 100):
        raise RequestError(f"--max-failed {printable(text)!r}: give a number of videos (3) or a share of them (2%)")
    return float(found["count"]) if found["count"] else float(found["share"]) / 100


def make_batch(found: FoundVideos, plans: Sequence[Any], folder: Path, format: str, **more: Any) -> Batch:
    """Everything decided, with the name of each output. Raises `RequestError` where two outputs would have one name."""
    outputs = outputs_for(found.videos, [plan.pipeline.id for plan in plans], folder=folder, format=format)
    return Batch(found, tuple(plans), folder, outputs, **more)


def run_many(batch: Batch, *, mode: ProgressMode, quiet: bool, json: StraightOutput | None, dask: str | None) -> int:
    """Run a batch, here or on a Dask cluster, with progress on standard error; returns the exit code.

    It has then printed the table and the line it ends with; the table also where a signal, or an output that cannot be written, ends
    the batch early.
    """
    started = time.monotonic()
    account = None
    try:
        with _place(dask, batch) as place, batch_progress(mode, quiet=quiet) as account:
            record = _ended(run_batch(batch, events=account, executor=place))
    except BaseException:
        if account is not None and account.record is not None:
            _show(account.record, batch, time.monotonic() - started, quiet=quiet, json=json)
        raise
    _show(record, batch, time.monotonic() - started, quiet=quiet, json=json)
    if record.exit_code:
        streams.say_error(_error(record, batch))
    return record.exit_code or 0


def _place(dask: str | None, batch: Batch) -> AbstractContextManager[TaskExecutor] | nullcontext[None]:
    if dask is None:
        return nullcontext()
    from videodag_cli.batch.executors.dask import OnDask

    return OnDask(dask, jobs=batch.options.jobs)


def _show(record: BatchRecord, batch: Batch, wall_time_s: float, *, quiet: bool, json: StraightOutput | None) -> None:
    if not quiet:
        for line in table(record, batch, wall_time_s):
            streams.say(line)
    if json is not None:
        streams.print_json(record.as_json(), json)


def dry_run(batch: Batch, out: StraightOutput) -> int:
    """List every video with what would be done, and do nothing. Exit 3 is left to the run itself."""
    from videodag_cli.batch.forecast import describe

    streams.print_json(describe(batch), out)
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
    told = f"{len(bad):,} of {len(record.videos):,} failed"
    if known:
        told += f", {'all' if known == len(bad) else f'{known:,}'} of them known from an earlier run"
    decisive = [outcome for outcome in bad if outcome.exit_code == record.exit_code] or bad
    first = next((outcome for outcome in decisive if not outcome.known), decisive[0])
    message = f"{told}; {_told(first, batch)}; all are in {printable(batch.folder / NAME)}"
    if record.exit_code == 6:
        return OutputError(message, word=first.word)
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
    yield f"{counted(len(batch.outputs), 'video')}{several} in {wall_time_s:.1f} s -> {printable(batch.folder)}"
    yield from (f"  {name:<{width}}  {value}" for name, value in rows)
    if batch.found.others:
        yield f"  {batch.found.told_others}"
    told = [o for o in record.videos if o.is_failure or o.status not in ("done", "up_to_date", "not_run") or o.message]
    for outcome in told[:SHOWN_FAILURES]:
        word = f" [{outcome.word}]" if outcome.word else ""
        yield f"  {TOLD.get(outcome.status, outcome.status)}{word}: {_told(outcome, batch)}"
    if len(told) > SHOWN_FAILURES:
        yield f"  and {len(told) - SHOWN_FAILURES:,} more; {printable(batch.folder / NAME)} lists them all"


def _told(outcome: VideoOutcome, batch: Batch) -> str:
    """The video, its pipeline where there are several, and what is to be said."""
    pipeline = f"{outcome.pipeline}: " if len(batch.plans) > 1 else ""
    message = outcome.message or ""
    if outcome.video not in message:
        message = f"{outcome.video}: {message}".removesuffix(": ")
    return pipeline + message
