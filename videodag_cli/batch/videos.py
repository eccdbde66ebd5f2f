"""Many videos from Python.

for outcome in run_videos(["footage"], ["people"], output_dir="out"):
    print(outcome.video, outcome.status)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from videodag_cli.batch.api import Batch, BatchOptions, run_batch
from videodag_cli.batch.executors.dask import OnDask
from videodag_cli.batch.finding import find_videos
from videodag_cli.batch.naming import outputs_for
from videodag_cli.batch.outcome import VideoOutcome
from videodag_cli.expressions.assertions import parse_assertion
from videodag_cli.graph.plan import Overrides
from videodag_cli.graph.plugins import Registry
from videodag_cli.guard.guard_limits import GuardLimits
from videodag_cli.run.job import RunOptions, plan_for
from videodag_cli.video.sampling import Sampling


def run_videos(
    videos: Sequence[str | os.PathLike[str]],
    pipelines: Sequence[str | os.PathLike[str]],
    *,
    output_dir: str | os.PathLike[str],
    sampling: Sampling | None = None,
    set_params: Mapping[str, Overrides] | None = None,
    registry: Registry | None = None,
    options: RunOptions | None = None,
    batch_options: BatchOptions | None = None,
    assertions: Sequence[str] = (),
    limits: GuardLimits | None = None,
    root: str | None = None,
    dask: str | None = None,
) -> Iterator[VideoOutcome]:
    """Run files, folders and patterns through pipelines, in processes of this machine; one outcome for each video and pipeline.

    What is up to date, and what failed before and would again, comes first and is not run; `batch.json` in `output_dir` holds everything.
    A loop that is left early stops what runs; the same call continues it.

    set_params: pipeline id -> node -> parameter -> value. limits: kept for each video. root: outputs are named by the path below it.
    dask: run on this cluster (address of its scheduler, scheduler file, or `local`).
    Raises `RequestError` (and its kin), `InputError` where a folder cannot be read, and `OutputError` where nothing can be written; a
    video that fails raises nothing.
    """
    options = options or RunOptions()
    for text in assertions:
        parse_assertion(text)
    plans = [plan_for(pipeline, registry=registry) for pipeline in pipelines]
    given = [dict((set_params or {}).get(plan.pipeline.id, {})) for plan in plans]
    plans = [
        plan_for(plan.loaded, set_params=values, registry=registry) for plan, values in zip(plans, given, strict=True)
    ]
    found = find_videos([os.fspath(video) for video in videos], root=root)
    folder = Path(output_dir)
    batch = Batch(
        found,
        tuple(plans),
        folder,
        outputs_for(found.videos, [plan.pipeline.id for plan in plans], folder=folder, format=options.format),
        sampling or Sampling(),
        options,
        batch_options or BatchOptions(),
        assertions=tuple(assertions),
        set_params=tuple(given),
        limits=limits,
    )
    return _outcomes(batch, dask)


def _outcomes(batch: Batch, dask: str | None) -> Iterator[VideoOutcome]:
    with OnDask(dask, jobs=batch.options.jobs) if dask is not None else nullcontext() as executor:
        yield from run_batch(batch, executor=executor)
