"""Running one task: the same in this process, in a process of its own, or on another machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson

from videodag_cli.batch.outcome import VideoOutcome, shown_path
from videodag_cli.batch.task import PipelineSpec, VideoTask
from videodag_cli.errors import PipelineError, VideodagError, lacks_memory, no_memory, printable
from videodag_cli.expressions.assertions import parse_assertion
from videodag_cli.graph.pipeline import load
from videodag_cli.graph.plan import Plan, make_plan
from videodag_cli.graph.plugins import Registry
from videodag_cli.run.api import run_video
from videodag_cli.run.execution import ProgressSink
from videodag_cli.run.job import Continuation
from videodag_cli.system.files import writing


def run_task(
    task: VideoTask, on_progress: ProgressSink | None = None, continuation: Continuation | None = None
) -> list[VideoOutcome]:
    """Run a video through each of its pipelines; what goes wrong is in the outcomes, one for each pipeline.

    continuation: of a task with one pipeline, what the process that watches this one knows of it. Limits of the task are not kept here.
    Only signals and the end of the process go through.
    """
    return [
        _run(task, spec, output, force, on_progress, continuation)
        for spec, output, force in zip(task.pipelines, task.outputs, task.forced, strict=True)
    ]


def _run(
    task: VideoTask,
    spec: PipelineSpec,
    output: Path,
    force: bool,
    on_progress: ProgressSink | None,
    continuation: Continuation | None,
) -> VideoOutcome:
    outcome = VideoOutcome(video=shown_path(task.video), pipeline="", output=shown_path(output))
    try:
        plan = plan_of(spec)
        outcome = outcome.model_copy(update={"pipeline": plan.pipeline.id})
        with writing(output.parent):
            output.parent.mkdir(parents=True, exist_ok=True)
        record = run_video(
            task.video,
            plan,
            sampling=task.sampling,
            output=output,
            options=replace(task.options, force=task.options.force or force),
            assertions=[parse_assertion(text) for text in task.assertions],
            on_progress=on_progress,
            continuation=continuation,
        )
        return outcome.ended(record)
    except VideodagError as error:
        return outcome.refused(error)
    except Exception as error:
        if isinstance(error, MemoryError) or lacks_memory(error):
            return outcome.refused(no_memory())
        return outcome.refused(VideodagError(f"{type(error).__name__}: {printable(error, limit=300)}"))


_plans: dict[bytes, Plan] = {}
"""The plans this process has made: a folder of short clips pays for tools and models once."""


def plan_of(spec: PipelineSpec) -> Plan:
    """The checked plan of a pipeline, made once in each process. Raises `PipelineError` and `PluginError`."""
    key = orjson.dumps(
        [spec.path, spec.digest, spec.overrides, [str(folder) for folder in spec.plugin_folders]],
        default=str,
        option=orjson.OPT_SORT_KEYS,
    )
    plan = _plans.get(key)
    if plan is None:
        loaded = load(Path(spec.path))
        if loaded.digest != spec.digest:
            raise PipelineError(f"{printable(spec.path)}: changed since the batch began; run the same command again")
        plan = _plans[key] = make_plan(loaded, Registry(spec.plugin_folders), overrides=spec.overrides)
    return plan
