"""Running one task: the same in this process, in a process of its own, or on another machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import orjson

from videodag_cli.batch.outcome import VideoOutcome, shown_path
from videodag_cli.batch.task import PipelineSpec, VideoTask
from videodag_cli.errors import PipelineError, VideodagError, printable
from videodag_cli.expressions.assertions import parse_assertion
from videodag_cli.graph.pipeline import find_pipeline, load_pipeline, search_places
from videodag_cli.graph.plan import Plan, make_plan
from videodag_cli.graph.plugins import Registry
from videodag_cli.run.execution import ProgressSink
from videodag_cli.run.job import Continuation
from videodag_cli.run.opened import CpuShare
from videodag_cli.run.record import RunRecord
from videodag_cli.run.together import Part, run_together, unexpected
from videodag_cli.system.refusals import writing


def run_task(
    task: VideoTask,
    on_progress: ProgressSink | None = None,
    continuation: Continuation | None = None,
    share: CpuShare | None = None,
    on_outcome: Callable[[int, VideoOutcome], None] | None = None,
) -> list[VideoOutcome]:
    """Run a video through each of its pipelines; what goes wrong is in the outcomes, one for each pipeline.

    share: CPUs that it may use now, where its options do not say.
    continuation: what the process that watches this one knows of the task. Limits of the task are not kept here.
    on_outcome: told each pipeline's number and outcome at once, while others may still run.
    Only signals and the end of the process go through.
    """
    outcomes = [
        VideoOutcome(video=shown_path(task.video), pipeline="", output=shown_path(output)) for output in task.outputs
    ]

    def ended(number: int, result: RunRecord | VideodagError) -> None:
        old = outcomes[number]
        outcomes[number] = old.refused(result) if isinstance(result, VideodagError) else old.ended(result)
        if on_outcome is not None:
            on_outcome(number, outcomes[number])

    parts: list[Part] = []
    for number, (spec, output, force) in enumerate(zip(task.pipelines, task.outputs, task.forced, strict=True)):
        try:
            plan = plan_of(spec)
            outcomes[number] = outcomes[number].model_copy(update={"pipeline": plan.pipeline.id})
            with writing(output.parent):
                output.parent.mkdir(parents=True, exist_ok=True)
            asserted = [parse_assertion(text) for text in task.assertions]
            on_end = partial(ended, number)
            parts.append(Part(plan=plan, output=output, assertions=asserted, force=force, on_end=on_end))
        except VideodagError as error:
            ended(number, error)
        except Exception as error:
            ended(number, unexpected(error))
    run_together(
        task.video,
        parts,
        sampling=task.sampling,
        options=task.options,
        on_progress=on_progress,
        continuation=continuation,
        share=share,
    )
    return outcomes


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
        loaded = load_pipeline(find_pipeline(spec.path, search_places()).path)
        if loaded.digest != spec.digest:
            raise PipelineError(f"{printable(spec.path)}: changed since the batch began; run the same command again")
        plan = _plans[key] = make_plan(loaded, Registry(spec.plugin_folders), overrides=spec.overrides)
    return plan
