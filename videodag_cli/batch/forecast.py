"""What a batch would do, without doing it: every video with its verdict, frames, reader and, from earlier records, time."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from videodag_cli.batch.api import Batch
from videodag_cli.batch.decisions import VideoDecision
from videodag_cli.batch.finding import FoundVideo
from videodag_cli.batch.ledger import NAME, read_ledger
from videodag_cli.batch.outcome import as_row
from videodag_cli.errors import VideodagError
from videodag_cli.run.record import load_record
from videodag_cli.system.output_names import record_path
from videodag_cli.video.choice import choose_decoder
from videodag_cli.video.probing import probe
from videodag_cli.video.sampling import select


def describe(batch: Batch) -> dict[str, Any]:
    """Everything `run_batch` would decide, as plain data. Videos that would run are opened, and nothing is decoded or written."""
    before = read_ledger(batch.folder / NAME)
    judged = list(batch.verdicts(before))
    due = [video for video, verdicts in judged if any(verdict.action != "none" for verdict in verdicts)]
    allotment = batch.allotment(due, before)
    seconds = _seconds_for_a_frame(output for outputs in batch.outputs.values() for output in outputs)
    rows = [row for video, verdicts in judged for row in _rows(batch, video, verdicts, seconds)]
    expected = [row["expected_s"] for row in rows if row.get("expected_s") is not None]
    return {
        "folder": os.fspath(batch.folder),
        "jobs": allotment.jobs,
        "workers": allotment.workers,
        "because": allotment.reason,
        "others": dict(batch.found.others),
        "to_run": len(due),
        "expected_s": round(sum(expected) / allotment.jobs, 1) if expected else None,
        "videos": rows,
    }


def _rows(
    batch: Batch, video: FoundVideo, verdicts: list[VideoDecision], seconds: dict[str, float]
) -> Iterable[dict[str, Any]]:
    facts: dict[str, Any] = {}
    if any(verdict.action != "none" for verdict in verdicts):
        try:
            found = probe(video.path, stream=batch.run_options.stream, limits=batch.run_options.limits)
            targets = select(found.index, batch.sampling)
            choice = choose_decoder(found, decoder=batch.run_options.decoder)
            facts = {"frames": len(targets), "decoder": choice.name}
        except VideodagError as error:
            facts = {"error": {"word": error.word, "message": error.message}}
    for verdict in verdicts:
        row = {"action": verdict.action, **as_row(verdict.outcome)}
        if verdict.action != "none":
            row.update(facts)
            each = seconds.get(verdict.outcome.pipeline)
            row["expected_s"] = round(each * facts["frames"], 2) if each is not None and "frames" in facts else None
        yield row


def _seconds_for_a_frame(outputs: Iterable[Path]) -> dict[str, float]:
    """Pipeline -> seconds a frame took, the median of the records that are there."""
    found: dict[str, list[float]] = {}
    for output in outputs:
        record = load_record(record_path(output))
        if record is not None and record.accounting.sampled:
            each = record.wall_time_s / record.accounting.sampled
            found.setdefault(record.request.pipeline["id"], []).append(each)
    return {pipeline: median(values) for pipeline, values in found.items()}
