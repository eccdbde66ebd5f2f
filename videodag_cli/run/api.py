"""One video through one pipeline: reader -> engine -> sink, with the request, the accounting and the record.

record = run_video("clip.mp4", "people", sampling=Sampling(stride=5), output="people.jsonl")

for result in iter_video("clip.mp4", "people", sampling=Sampling(stride=5)):
    print(result.frame_index, result.values)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videodag_cli.engine.engine import Engine
from videodag_cli.errors import OutputError, RequestError, printable
from videodag_cli.graph.pipeline import LoadedPipeline
from videodag_cli.graph.plan import Overrides, Plan
from videodag_cli.graph.plugins import Registry
from videodag_cli.lines import FrameResult
from videodag_cli.run.execution import Execution, ProgressSink, feed_lines, outcomes
from videodag_cli.run.job import Continuation, Job, RunOptions, as_of_now, default_workers, plan_for
from videodag_cli.run.opened import RunStart, opened_video
from videodag_cli.run.output import OutputFile
from videodag_cli.run.record import RunRecord
from videodag_cli.run.sinks import make_sink
from videodag_cli.system.files import file_path, is_special, write_atomically
from videodag_cli.system.straight import StraightOutput
from videodag_cli.video.choice import choose_decoder
from videodag_cli.video.probing import probe
from videodag_cli.video.sampling import Sampling, select

if TYPE_CHECKING:
    from videodag_cli.expressions.assertions import Assertion


def run_video(
    video: str | os.PathLike[str],
    pipeline: str | os.PathLike[str] | LoadedPipeline | Plan,
    *,
    sampling: Sampling | None = None,
    set_params: Overrides | None = None,
    output: str | os.PathLike[str] | StraightOutput | None = None,
    record: str | os.PathLike[str] | None = None,
    registry: Registry | None = None,
    options: RunOptions | None = None,
    assertions: Sequence[Assertion] = (),
    on_progress: ProgressSink | None = None,
    on_start: Callable[[RunStart], None] | None = None,
) -> RunRecord:
    """Run a pipeline over a video; write the lines to `output` and return the record.

    output: a file, kept by the output rule; a `StraightOutput`; None writes nothing.
    record: also write the record there.
    Raises `RequestError` (and its kin), `InputError`, `OutputError` and `StoppedError`; frames that failed or could not be decoded
    raise nothing, the record's `exit_code` is then 4.
    """
    job = Job.make(video, pipeline, sampling, set_params, registry, options)
    return run_job(job, output=output, record=record, assertions=assertions, on_progress=on_progress, on_start=on_start)


def run_job(
    job: Job,
    *,
    output: str | os.PathLike[str] | StraightOutput | None = None,
    record: str | os.PathLike[str] | None = None,
    assertions: Sequence[Assertion] = (),
    on_progress: ProgressSink | None = None,
    on_start: Callable[[RunStart], None] | None = None,
    continuation: Continuation | None = None,
) -> RunRecord:
    """As `run_video`, for a job.

    continuation: for who watches the process and starts it again, see `guard`.
    """
    destination = destination_of(output, job)
    if record is not None:
        _check_record(file_path(record), job, destination)
    try:
        with ExitStack() as stack:
            if isinstance(destination, OutputFile):
                finished = begin(job, destination)
                if finished is not None:
                    judged = judge_assertions(assertions, finished, destination.path, job.options)
                    known = as_of_now(finished, job.options, judged)
                    if record is not None:
                        write_atomically(Path(record), known.to_json())
                    return known
            elif destination is not None:
                stack.callback(destination.close)
            hashes = bool(record) or isinstance(destination, OutputFile)
            found = stack.enter_context(opened_video(job, destination, hashes=hashes, continuation=continuation))
            if on_start is not None:
                on_start(found.start)
            result = Execution(found).run(on_progress, assertions)
            if record is not None:
                write_atomically(Path(record), result.to_json())
            return result
    except BaseException:
        if isinstance(destination, OutputFile):
            destination.give_up()
        raise


def iter_video(
    video: str | os.PathLike[str],
    pipeline: str | os.PathLike[str] | LoadedPipeline | Plan,
    *,
    sampling: Sampling | None = None,
    set_params: Overrides | None = None,
    registry: Registry | None = None,
    options: RunOptions | None = None,
) -> Iterator[FrameResult]:
    """The results of a pipeline over a video, one per sampled frame, as they come. Raises as `run_video` does.

    What is wrong with the request, or a file that is not there, is raised by the call; what is wrong with the video, by the first `next`.
    """
    job = Job.make(video, pipeline, sampling, set_params, registry, options)
    job.identity()
    return _results(job)


def _results(job: Job) -> Iterator[FrameResult]:
    with opened_video(job, None, hashes=False) as found, closing(Execution(found).results()) as results:
        yield from results


def describe_run(
    video: str | os.PathLike[str],
    plan: Plan,
    *,
    sampling: Sampling,
    options: RunOptions,
    output: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    """Everything `run_video` would decide, as plain data. Tools are made, so that what is wrong with them shows; nothing is written."""
    job = Job.make(video, plan, sampling, None, None, options)
    destination = destination_of(output, job)
    action = "fresh"
    if isinstance(destination, OutputFile):
        action = destination.decide(job.request, job.path, overwrite=options.overwrite, force=options.force).kind
    elif destination is not None:
        destination.close()
    found = probe(job.path, stream=options.stream, limits=options.limits)
    targets = select(found.index, sampling)
    choice = choose_decoder(found, decoder=options.decoder)
    with Engine(plan, replace(found.info, sampled_count=len(targets))) as engine:
        models = engine.models()
    return {
        "request": job.request.model_dump(mode="json"),
        "order": [step.id for step in plan.steps],
        "outputs": plan.output_types,
        "models": models,
        "input": {**job.identity().model_dump(mode="json"), "video": found.facts.model_dump(mode="json")},
        "decoder": {"name": choice.name, "reason": choice.reason},
        "frames": {
            "in_video": len(found.index),
            "sampled": len(targets),
            "first": found.index.time_s(int(targets[0])) if len(targets) else None,
            "last": found.index.time_s(int(targets[-1])) if len(targets) else None,
        },
        "workers": options.workers or default_workers(),
        "output": {"path": None if output is None else os.fspath(output), "action": action},
    }


def destination_of(
    output: str | os.PathLike[str] | StraightOutput | None, job: Job
) -> OutputFile | StraightOutput | None:
    if output is None:
        return None
    job.identity()
    if isinstance(output, StraightOutput):
        if output.is_file(job.path):
            raise OutputError(f"the output is the input {printable(job.path)}", word="output.input")
        return output
    path = file_path(output, otherwise=", or give the folder as --output-dir")
    if is_special(path):
        return StraightOutput.open(path)
    file = OutputFile(path)
    file.check_place([job.path])
    return file


def _check_record(path: Path, job: Job, destination: OutputFile | StraightOutput | None) -> None:
    """Raise `OutputError` if the record could not be written at the end, or would replace the input or the output."""
    if is_special(path):
        return
    place = OutputFile(path)
    place.check_place([job.path])
    if not os.access(place.path.parent, os.W_OK):
        raise OutputError(f"{place.shown}: its folder cannot be written to; choose another", word="output.folder")
    if isinstance(destination, OutputFile):
        mine = place.path in (destination.path, destination.part, destination.note)
    else:
        mine = destination is not None and place.path.exists() and destination.is_file(place.path)
    if mine:
        raise OutputError(f"--record {place.shown}: is the output; choose another name", word="output.input")


def begin(job: Job, destination: OutputFile) -> RunRecord | None:
    """Apply the output rule; the record of an output that is up to date, else None with the part locked."""
    options = job.options
    while True:
        decision = destination.decide(job.request, job.path, overwrite=options.overwrite, force=options.force)
        if decision.kind == "up_to_date":
            destination.tidy()
            return decision.record
        if not destination.lock():
            continue
        # decided again under the lock: another run may have finished or left its part in between
        decision = destination.decide(job.request, job.path, overwrite=options.overwrite, force=options.force)
        if decision.kind == "up_to_date":
            destination.give_up()
            return decision.record
        if decision.kind == "fresh":
            destination.start(job.request, job.identity())
        return None


def judge_assertions(
    assertions: Sequence[Assertion], record: RunRecord, path: Path, options: RunOptions
) -> list[dict[str, Any]]:
    """The outcome of assertions over a finished file; of a format that keeps no lines, what the run itself found."""
    sink = make_sink(options.format)
    if sink.resumable:
        if assertions:
            feed_lines(assertions, path, sink)
        return outcomes(assertions)
    found = {outcome["assertion"]: outcome for outcome in record.assertions}
    for assertion in assertions:
        if assertion.text not in found:
            raise RequestError(
                f"--assert {assertion.text!r}: {printable(path)} is finished and --format {options.format} keeps no lines to "
                "judge; --force runs the video again"
            )
    return [found[assertion.text] for assertion in assertions]


__all__ = [
    "ProgressSink",
    "RunOptions",
    "RunStart",
    "default_workers",
    "describe_run",
    "iter_video",
    "plan_for",
    "run_video",
]
