"""One video through several pipelines: an output for each, and one decode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videodag_cli.cli.run_remarks import Remarks, raise_for
from videodag_cli.cli.streams import say_error
from videodag_cli.errors import RequestError, VideodagError, printable, worst
from videodag_cli.run.job import RunOptions
from videodag_cli.run.together import Part, run_together
from videodag_cli.video.sampling import Sampling

if TYPE_CHECKING:
    from videodag_cli.cli.shared_options import ProgressMode
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
    plans: Sequence[Any],
    template: str,
    *,
    sampling: Sampling,
    options: RunOptions,
    assertions: Callable[[Any], list[Any]],
    mode: ProgressMode,
    remarks: Remarks,
    profile: bool,
) -> int:
    """Run them over one decode, say what became of each, and return the exit code of all."""
    from videodag_cli.cli.progress import progress as show_progress

    outputs = output_names(template, [plan.pipeline.id for plan in plans])
    parts = [
        Part(plan=plan, output=output, assertions=assertions(plan)) for plan, output in zip(plans, outputs, strict=True)
    ]
    with show_progress(mode, remarks.shown(Path(video).name)) as sink:
        run_together(video, parts, sampling=sampling, options=options, on_progress=sink, on_start=remarks.started)
    codes = []
    for part in parts:
        result = part.result
        assert result is not None
        error = result if isinstance(result, VideodagError) else _reported(result, part, video, remarks, profile)
        if error is not None:
            say_error(error.reworded(f"{printable(part.plan.pipeline.id)}: {error.message}"))
            codes.append(error.exit_code)
    return worst(codes)


def _reported(record: RunRecord, part: Part, video: str, remarks: Remarks, profile: bool) -> VideodagError | None:
    remarks.finished(record, str(part.output), profile=profile)
    try:
        raise_for(record, video)
    except VideodagError as error:
        return error
    return None
