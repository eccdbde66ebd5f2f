"""One video through several pipelines: an output for each, and one decode."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from videodag_cli.cli.run_remarks import Remarks, raise_for
from videodag_cli.cli.streams import say_error
from videodag_cli.errors import RequestError, VideodagError, error_of, printable, worst
from videodag_cli.run.job import RunOptions
from videodag_cli.run.together import Part, run_together
from videodag_cli.video.sampling import Sampling

if TYPE_CHECKING:
    from videodag_cli.batch.task import VideoTask
    from videodag_cli.cli.shared_options import ProgressMode
    from videodag_cli.expressions.assertions import Assertion
    from videodag_cli.graph.plan import Plan
    from videodag_cli.run.record import RunRecord

PLACE = "{pipeline}"
"""Stands for the pipeline's id in the name of an output."""


def output_names(template: str, ids: Sequence[str]) -> list[str]:
    """The output of each pipeline. Raises `RequestError` where two would write to the same place."""
    if PLACE not in template:
        raise RequestError(f"several pipelines need --output-dir DIR, or {PLACE} in -o: each gets an output of its own")
    return [template.replace(PLACE, pipeline_id) for pipeline_id in ids]


def run_several(
    video: str,
    plans: Sequence[Plan],
    outputs: Sequence[str],
    *,
    sampling: Sampling,
    options: RunOptions,
    assertions: Sequence[Assertion],
    mode: ProgressMode,
    remarks: Remarks,
    profile: bool,
) -> int:
    """Run them over one decode, say what became of each, and return the exit code of all."""
    from videodag_cli.cli.progress import progress as show_progress

    parts = [Part(plan=plan, output=output, assertions=assertions) for plan, output in zip(plans, outputs, strict=True)]
    with show_progress(mode, remarks.shown(Path(video).name)) as sink:
        run_together(video, parts, sampling=sampling, options=options, on_progress=sink, on_start=remarks.started)
    codes = []
    for part in parts:
        result = part.result
        assert result is not None
        if not isinstance(result, VideodagError):
            result = _reported(result, str(part.output), video, remarks, profile)
        codes.append(_said(result, part.plan))
    return worst(codes)


def run_several_watched(
    task: VideoTask, plans: Sequence[Plan], *, mode: ProgressMode, remarks: Remarks, profile: bool
) -> int:
    """The same under the limits of a task, in a child process of its own."""
    from videodag_cli.batch.executors.child import run_in_child
    from videodag_cli.cli.progress import progress as show_progress
    from videodag_cli.run.job import as_of_now
    from videodag_cli.run.output import OutputFile
    from videodag_cli.run.record import load_record
    from videodag_cli.system.files import is_special
    from videodag_cli.system.output_names import record_path

    for output in task.outputs:
        if not is_special(output):
            OutputFile(output).check_place([Path(task.video)])  # the child would make its folder
    for line in remarks.opening:
        remarks.say(line)
    with show_progress(mode, remarks.shown(Path(task.video).name)) as sink:
        outcomes = run_in_child(task, sink)
    codes = []
    for outcome, output, plan in zip(outcomes, task.outputs, plans, strict=True):
        error = None
        if outcome.status == "failed":
            error = error_of(outcome.exit_code or 1, outcome.message or "", outcome.word)
        elif (record := load_record(record_path(output))) is not None:
            verdicts = [{"assertion": a, "holds": not why, "message": why} for a, why in outcome.asserted.items()]
            if not outcome.wall_time_s:  # it was there
                record = as_of_now(record, task.options, verdicts)
            error = _reported(record, os.fspath(output), task.video, remarks, profile)
        codes.append(_said(error, plan))
    return worst(codes)


def _said(error: VideodagError | None, plan: Plan) -> int:
    if error is None:
        return 0
    say_error(error.reworded(f"{printable(plan.pipeline.id)}: {error.message}"))
    return error.exit_code


def _reported(record: RunRecord, output: str, video: str, remarks: Remarks, profile: bool) -> VideodagError | None:
    remarks.finished(record, output, profile=profile)
    try:
        raise_for(record, video)
    except VideodagError as error:
        return error
    return None
