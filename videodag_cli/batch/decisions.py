"""What each video needs, decided without opening one: a stat of the input, and the record of its output."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from videodag_cli import __version__
from videodag_cli.batch.finding import FoundVideo
from videodag_cli.batch.ledger import BatchRecord
from videodag_cli.batch.outcome import VideoOutcome, shown_path
from videodag_cli.errors import InputError, VideodagError
from videodag_cli.run.job import Job, as_of_now
from videodag_cli.run.output import OutputFile
from videodag_cli.run.record import Identity, RunRecord, request_facts


@dataclass(frozen=True)
class VideoDecision:
    """What is to be done for one video and pipeline."""

    action: Literal["run", "continue", "none"]
    outcome: VideoOutcome
    """With `none`, how it ended already."""
    force: bool = False
    """Run it even if its output is up to date."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a user decides about videos that were tried before, or may not be complete."""

    retry_failed: bool = False
    settle_s: float = 0.0
    overwrite: bool = False
    force: bool = False


def request_digest(job: Job) -> str:
    """Of everything in a request that decides the result."""
    text = orjson.dumps(sorted(request_facts(job.request.model_dump(mode="json"))), default=str)
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


def known_failures(earlier: BatchRecord | None) -> Mapping[str, VideoOutcome]:
    """Output -> the failure an earlier batch found there, where trying again would find it again."""
    if earlier is None:
        return {}
    return {
        outcome.output: outcome
        for outcome in (*earlier.videos, *earlier.earlier)
        if outcome.is_failure and outcome.determined
    }


def decide_video(
    video: FoundVideo,
    job: Job,
    output: Path,
    *,
    name: str,
    digest: str,
    choices: Choices,
    known: Mapping[str, VideoOutcome],
    assertions: Sequence[str] = (),
    judged: Mapping[str, VideoOutcome] | None = None,
    now_s: float | None = None,
) -> VideoDecision:
    """Decide about one video and pipeline. `job` is for this video; `name` is the output's, `digest` its request's.

    judged: by output, what earlier batches found of assertions.
    """
    outcome = VideoOutcome(video=shown_path(video.path), pipeline=job.plan.pipeline.id, output=name, request=digest)
    if video.refusal:
        earlier = known.get(outcome.output)
        refused = outcome.refused(InputError(video.refusal, word="input.unreadable"))
        is_known = earlier is not None and (earlier.word, earlier.message) == (refused.word, refused.message)
        return VideoDecision("none", refused.model_copy(update={"known": is_known}))
    try:
        identity = job.identity()
        identity = identity.model_copy(update={"path": shown_path(os.path.abspath(video.path))})
        outcome = outcome.model_copy(update={"input": identity})
        age_s = (time.time() if now_s is None else now_s) - identity.mtime_ns / 1e9
        if age_s < choices.settle_s:
            message = (
                f"changed {max(age_s, 0):.0f} s ago; it is run once it has been left alone for {choices.settle_s:g} s"
            )
            return VideoDecision("none", outcome.model_copy(update={"status": "not_run", "message": message}))
        earlier = known.get(outcome.output)
        if (
            earlier is not None
            and earlier.status == "failed"
            and not (choices.retry_failed or choices.force)
            and _same(earlier, identity, digest)
        ):
            return VideoDecision("none", earlier.model_copy(update={"known": True, "wall_time_s": 0.0}))
        again = choices.force or (choices.retry_failed and earlier is not None)
        if not os.path.isdir(output.parent):
            return VideoDecision("run", outcome, force=again)
        file = OutputFile(output)
        file.check_place([job.path])
        decision = file.decide(job.request, job.path, overwrite=choices.overwrite, force=again)
        if decision.record is None:
            return VideoDecision("continue" if decision.kind == "continue" else "run", outcome, force=again)
        file.tidy()
        ended = outcome.ended(as_of_now(decision.record, job.options, []))
        if choices.retry_failed and ended.is_failure:
            return VideoDecision("run", outcome, force=True)
        verdicts = _verdicts(assertions, decision.record, (judged or {}).get(outcome.output))
        if verdicts is None:  # its lines have to be read, which is work for a process
            return VideoDecision("run", outcome)
        ended = outcome.ended(as_of_now(decision.record, job.options, verdicts))
        return VideoDecision("none", ended.model_copy(update={"known": ended.is_failure}))
    except VideodagError as error:
        return VideoDecision("none", outcome.refused(error))


def judged_before(earlier: BatchRecord | None) -> Mapping[str, VideoOutcome]:
    """Output -> the outcome in which this version of the program has judged assertions."""
    if earlier is None or earlier.version != __version__:
        return {}
    return {outcome.output: outcome for outcome in (*earlier.earlier, *earlier.videos) if outcome.asserted}


def _verdicts(assertions: Sequence[str], record: RunRecord, judged: VideoOutcome | None) -> list[dict[str, Any]] | None:
    """What is known of every assertion about a finished output, from its run or from an earlier batch; None where it is to be read."""
    known: dict[str, str] = {}
    if record.packages.get("videodag") == __version__:
        known |= {item["assertion"]: item["message"] for item in record.assertions}
    if judged is not None and record.output is not None and judged.lines_sha256 == record.output.sha256:
        known |= judged.asserted
    if not known.keys() >= set(assertions):
        return None
    return [{"assertion": text, "holds": not known[text], "message": known[text]} for text in assertions]


def _same(earlier: VideoOutcome, identity: Identity, digest: str) -> bool:
    return earlier.request == digest and earlier.input is not None and earlier.input.same_stat(identity)
