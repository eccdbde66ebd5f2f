"""`batch.json`: what became of every video, kept while it happens, whole whenever it is read."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from videodag_cli import __version__
from videodag_cli.batch.outcome import VideoOutcome, as_row, shown_path
from videodag_cli.errors import OutputError
from videodag_cli.system.documents import document
from videodag_cli.system.files import keep_room, remove, write_atomically, write_in_room

SCHEMA = "videodag.batch/1"
NAME = "batch.json"
WRITE_SHARE = 0.05
"""At most this share of the time goes into writing the file."""
MIN_INTERVAL_S = 0.5
LATER_BYTES = (1 << 14, 1 << 11)
"""Room on the disk for what the file says more at the end, besides a quarter of what it says now; the second where there is little."""


class BatchRecord(BaseModel):
    """Everything about one batch that is not in the records of its videos."""

    schema_: str = Field(default=SCHEMA, serialization_alias="schema", validation_alias="schema")
    id: str = ""
    """Of this batch alone, so that a machine can tell whether it sees the same folder."""
    version: str = ""
    """Of the program; assertions are judged anew by another one."""
    status: Literal["running", "ended", "interrupted"] = "running"
    jobs: int = 1
    exit_code: int | None = None
    wall_time_s: float = 0.0
    counts: dict[str, int] = {}
    """Status -> videos; of a video with several pipelines each counts."""
    peak_bytes: dict[str, int] = {}
    """Pipelines of a batch, joined by commas -> the most memory that a process took for a video; what was measured last."""
    others: dict[str, int] = {}
    """Suffix of video files that were not run -> how many."""
    videos: list[VideoOutcome] = []
    earlier: list[VideoOutcome] = []
    """What earlier batches with other videos or pipelines left in this folder."""

    model_config = ConfigDict(populate_by_name=True)

    def as_json(self) -> dict[str, Any]:
        data = self.model_dump(mode="json", by_alias=True, exclude={"videos", "earlier"})
        rows = {name: [as_row(outcome) for outcome in getattr(self, name)] for name in ("videos", "earlier")}
        return {**data, **rows}


class Ledger:
    """The outcomes of a batch, by output, and the file they are kept in."""

    def __init__(
        self,
        folder: Path,
        outcomes: Iterable[VideoOutcome],
        *,
        kind: str,
        jobs: int,
        others: Counter[str],
        before: BatchRecord | None = None,
    ) -> None:
        self.id = uuid.uuid4().hex[:12]
        self._folder = folder
        self._outcomes = {outcome.output: outcome for outcome in outcomes}
        self._earlier = (
            [
                outcome
                for outcome in (*before.videos, *before.earlier)
                if outcome.output not in self._outcomes and outcome.status not in ("waiting", "running", "not_run")
            ]
            if before is not None
            else []
        )
        self._kind = kind
        self._peaks = {} if before is None else before.peak_bytes
        self._jobs = jobs
        self._others = dict(others)
        self._started = time.monotonic()
        self._written = 0.0
        self._cost_s = 0.0

    @property
    def outcomes(self) -> list[VideoOutcome]:
        return list(self._outcomes.values())

    @property
    def wall_time_s(self) -> float:
        return time.monotonic() - self._started

    def put(self, outcome: VideoOutcome) -> None:
        """Keep an outcome; the file follows soon, at the latest with `end`. Raises `OutputError`."""
        self.keep(outcome)
        now = time.monotonic()
        if now - self._written >= max(MIN_INTERVAL_S, self._cost_s / WRITE_SHARE):
            self.write_running()

    def keep(self, outcome: VideoOutcome) -> None:
        """Keep an outcome that the file will hold when it is written next."""
        self._outcomes[outcome.output] = outcome

    def of(self, output: Path) -> VideoOutcome:
        """What is known about an output."""
        return self._outcomes[shown_path(os.path.relpath(output, self._folder))]

    def begun(self, outputs: Iterable[Path]) -> None:
        """What these outputs come from is running; may be called from any thread."""
        for output in outputs:
            outcome = self.of(output)
            if outcome.status == "waiting":
                self._outcomes[outcome.output] = outcome.model_copy(update={"status": "running"})

    def end(self, exit_code: int) -> BatchRecord:
        """Raises `OutputError` where the file cannot be written; then it is not there, rather than out of date."""
        record = self._record("ended", exit_code=exit_code)
        self._close(record)
        return record

    def stop(self) -> BatchRecord:
        """Something ended the batch early: what was running can be continued, the rest was not run.

        What the batch was stopped for is told by whoever stopped it, so that a file which cannot be written is no error here.
        """
        for outcome in self.outcomes:
            if outcome.status in ("running", "waiting"):
                status = "interrupted" if outcome.status == "running" else "not_run"
                self._outcomes[outcome.output] = outcome.model_copy(update={"status": status})
        record = self._record("interrupted")
        with contextlib.suppress(OutputError):
            self._close(record)
        return record

    def write_running(self) -> None:
        """Write the file now. Raises `OutputError`."""
        before = time.monotonic()
        text = document(self._record("running").as_json())
        write_atomically(self._folder / NAME, text)
        keep_room(self._folder / NAME, (len(text) * 5 // 4 + later for later in LATER_BYTES))
        self._written = time.monotonic()
        self._cost_s = self._written - before

    def _close(self, record: BatchRecord) -> None:
        """Write the file for the last time; on a full disk it takes the place of the one that calls videos running."""
        text = document(record.as_json())
        try:
            write_in_room(self._folder / NAME, text)
        except OutputError as error:
            if error.word != "output.full":
                raise
            remove(self._folder / NAME)
            write_atomically(self._folder / NAME, text)

    def _record(
        self, status: Literal["running", "ended", "interrupted"], *, exit_code: int | None = None
    ) -> BatchRecord:
        outcomes = self.outcomes
        peak = max((outcome.peak_bytes or 0 for outcome in outcomes), default=0)
        return BatchRecord(
            id=self.id,
            version=__version__,
            status=status,
            jobs=self._jobs,
            exit_code=exit_code,
            wall_time_s=round(self.wall_time_s, 3),
            counts=dict(Counter(outcome.status for outcome in outcomes)),
            peak_bytes=self._peaks | ({self._kind: peak} if peak else {}),
            others=self._others,
            videos=outcomes,
            earlier=self._earlier,
        )


def read_ledger(path: Path) -> BatchRecord | None:
    """The batch in a file, or None where there is none that can be understood."""
    try:
        return BatchRecord.model_validate(orjson.loads(path.read_bytes()))
    except (OSError, ValueError):
        return None
