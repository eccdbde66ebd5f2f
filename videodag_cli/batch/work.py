"""Running one task: the same in this process, in a process of its own, or on another machine."""

from __future__ import annotations

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
from videodag_cli.run.together import Part, run_together, unexpected
from videodag_cli.system.refusals import writing


def run_task(
    task: VideoTask,
    on_progress: ProgressSink | None = None,
    continuation: Continuation | None = None,
    share: CpuShare | None = None,
) -> list[VideoOutcome]:
    """Run a video through each of its pipelines; what goes wrong is in the outcomes, one for each pipeline.

    share: CPUs that it may use now, where its options do not say.
    continuation: of a task with one pipeline, what the process that watches this one knows of it. Limits of the task are not kept here.
    Only signals and the end of the process go through.
    """
    outcomes = [
        VideoOutcome(video=shown_path(task.video), pipeline="", output=shown_path(output)) for output in task.outputs
    ]
    parts: dict[int, Part] = {}
    for number, (spec, output, force) in enumerate(zip(task.pipelines, task.outputs, task.forced, strict=True)):
        try:
            plan = plan_of(spec)
            outcomes[number] = outcomes[number].model_copy(update={"pipeline": plan.pipeline.id})
            with writing(output.parent):
                output.parent.mkdir(parents=True, exist_ok=True)
            asserted = [parse_assertion(text) for text in task.assertions]
            parts[number] = Part(plan=plan, output=output, assertions=asserted, force=force)
        except VideodagError as error:
            outcomes[number] = outcomes[number].refused(error)
        except Exception as error:
            outcomes[number] = outcomes[number].refused(unexpected(error))
    run_together(
        task.video,
        list(parts.values()),
        sampling=task.sampling,
        options=task.options,
        on_progress=on_progress,
        continuation=continuation,
        share=share,
    )
    for number, part in parts.items():
        result = part.result
        assert result is not None
        outcome = outcomes[number]
        outcomes[number] = outcome.refused(result) if isinstance(result, VideodagError) else outcome.ended(result)
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
