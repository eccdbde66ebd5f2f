"""What became of each video of a batch, as `batch.json` holds it."""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from videodag_cli.errors import VideodagError, printable
from videodag_cli.run.record import Identity, RunRecord

Status = Literal["waiting", "running", "done", "damaged", "failed", "up_to_date", "interrupted", "not_run"]
TOLD: dict[Status, str] = {
    "done": "done",
    "damaged": "done with damage",
    "failed": "failed",
    "up_to_date": "up to date",
    "interrupted": "interrupted",
    "not_run": "not run",
}
"""How the table calls them; the others are on their way."""
NOT_ENDED: frozenset[Status] = frozenset({"waiting", "running", "interrupted", "not_run"})
"""Of videos that have yet to be run, or run to the end."""
DETERMINED = frozenset({"input", "run", "check"})
"""First parts of the words of failures that the same input and request would bring about again."""


class VideoOutcome(BaseModel):
    """One video through one pipeline."""

    model_config = ConfigDict(frozen=True)

    video: str
    """Path as it was given, bytes that are not UTF-8 escaped."""
    pipeline: str
    output: str
    """Path below the output folder."""
    status: Status = "waiting"
    exit_code: int | None = None
    word: str | None = None
    """The stable word of the error."""
    message: str | None = None
    sampled: int = 0
    ok: int = 0
    failed: int = 0
    undecodable: int = 0
    wall_time_s: float = 0.0
    peak_bytes: int | None = None
    """The most memory that the process which ran it has taken so far."""
    asserted: dict[str, str] = {}
    """Assertion -> why it does not hold; empty where it does."""
    lines_sha256: str | None = None
    """Of the finished output that they were judged on."""
    known: bool = False
    """The failure is on record from an earlier run with the same input and request, and was not tried again."""
    input: Identity | None = None
    request: str | None = None
    """Digest of the request."""

    @property
    def is_failure(self) -> bool:
        return self.exit_code not in (None, 0)

    @property
    def determined(self) -> bool:
        """Whether running it again with the same input and request would end the same way."""
        return self.word is not None and (self.word.partition(".")[0] in DETERMINED) and self.word != "input.changed"

    def ended(self, record: RunRecord) -> VideoOutcome:
        """This outcome once the run ended with `record`."""
        a = record.accounting
        word = message = None
        asserted = {item["assertion"]: item["message"] for item in record.assertions}
        broken = list(filter(None, asserted.values()))
        status: Status = "up_to_date" if record.status == "up_to_date" else "done"
        if record.exit_code == 4:
            status, word, message = "damaged", "run.incomplete", damage(record)
        elif broken:
            word, message = "check.assertion", "; ".join(broken)
        return self.model_copy(
            update={
                "status": status,
                "exit_code": record.exit_code,
                "word": word,
                "message": message,
                "sampled": a.sampled,
                "ok": a.ok,
                "failed": a.failed,
                "asserted": asserted,
                "lines_sha256": record.output.sha256 if asserted and record.output is not None else None,
                "undecodable": a.undecodable,
                "wall_time_s": 0.0 if record.status == "up_to_date" else record.wall_time_s,
            }
        )

    def refused(self, error: VideodagError) -> VideoOutcome:
        """This outcome after `error` ended the run."""
        return self.model_copy(
            update={
                "status": "failed",
                "exit_code": error.exit_code,
                "word": error.word,
                "message": error.message,
            }
        )


def damage(record: RunRecord) -> str:
    """What a finished run lost, in a few words."""
    a = record.accounting
    parts = []
    if a.undecodable:
        parts.append(f"{a.undecodable} of {a.sampled} sampled frames could not be decoded")
    if a.failed:
        first = record.errors[0] if record.errors else None
        where = f", first frame {first.frame_index} in node {first.node!r}" if first else ""
        parts.append(f"{a.failed} of {a.sampled} sampled frames failed{where}")
    if a.contradictions and record.problems:
        parts.append(record.problems[0])
    return "; ".join(parts)


def shown_path(path: str | os.PathLike[str]) -> str:
    """A path as text that JSON can hold; no two paths have the same."""
    return printable(os.fspath(path).replace("\\", r"\\"))


def as_row(outcome: VideoOutcome) -> dict[str, Any]:
    return {name: value for name, value in outcome.model_dump(mode="json", exclude_none=True).items() if value != {}}
