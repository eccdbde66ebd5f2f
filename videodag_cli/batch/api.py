"""Many videos through one or several pipelines, with an outcome for each.

for outcome in run_videos(["footage"], ["people"], output_dir="out", jobs=2):
    print(outcome.video, outcome.status)
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Protocol

from videodag_cli.batch.allotment import (
    MEMORY_SHARE,
    Allotment,
    allot,
    expected_bytes,
    is_on_device,
    most_pixels,
)
from videodag_cli.batch.decisions import (
    Choices,
    VideoDecision,
    decide_video,
    judged_before,
    known_failures,
    request_digest,
)
from videodag_cli.batch.executors import TaskExecutor, TaskProgress
from videodag_cli.batch.expectation import Expectation, file_sizes, size_of
from videodag_cli.batch.finding import FoundVideo, FoundVideos
from videodag_cli.batch.ledger import NAME, BatchRecord, Ledger, read_ledger
from videodag_cli.batch.naming import require_apart
from videodag_cli.batch.outcome import VideoOutcome, shown_path
from videodag_cli.batch.task import PipelineSpec, VideoTask
from videodag_cli.errors import OutputError, RequestError, VideodagError, printable, worst
from videodag_cli.graph.plan import Overrides, Plan
from videodag_cli.guard.guard_limits import GuardLimits
from videodag_cli.run.job import Job, RunOptions, default_workers
from videodag_cli.system.allowance import available_bytes
from videodag_cli.system.locks import lock_folder
from videodag_cli.system.output_names import part_path
from videodag_cli.system.refusals import writing
from videodag_cli.video.sampling import Sampling

ENDS_THE_BATCH = frozenset({"output.full", "output.folder"})
"""Words of failures that every other video would meet as well."""
COMPARED_VIDEOS = 20
"""So many videos are looked for on every machine before the first one is run."""


class BatchEvents(Protocol):
    """Told what happens while it happens; the methods may be called from several threads."""

    def begun(self, verdicts: Sequence[VideoDecision], allotment: Allotment) -> None: ...

    def progress(self, task: VideoTask, done: int, total: int) -> None: ...

    def ended(self, outcome: VideoOutcome) -> None: ...

    def stopped(self, record: BatchRecord) -> None:
        """The batch ends early, by a signal or because nothing can be written; what did not run is in the record."""


class _Silent:
    def begun(self, verdicts: Sequence[VideoDecision], allotment: Allotment) -> None: ...

    def progress(self, task: VideoTask, done: int, total: int) -> None: ...

    def ended(self, outcome: VideoOutcome) -> None: ...

    def stopped(self, record: BatchRecord) -> None: ...


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How a batch is carried out."""

    jobs: int | None = None
    """Videos at once; None: by the CPUs, the memory and the number of videos."""
    retry_failed: bool = False
    """Run again what failed before, even with unchanged input and request."""
    accept_known: bool = False
    """Failures known from an earlier batch do not count for the exit code."""
    max_failed: int | float = 0
    """So many videos may fail: a whole number, or a share below 1."""
    settle_s: float = 0.0
    """Leave out videos that changed less than this long ago."""

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise RequestError(f"--jobs {self.jobs}: must be a whole number of at least 1, or auto")


@dataclass(frozen=True)
class Batch:
    """Everything that is decided before the first video is opened."""

    found: FoundVideos
    plans: tuple[Plan, ...]
    folder: Path
    outputs: Mapping[FoundVideo, tuple[Path, ...]]
    sampling: Sampling
    run_options: RunOptions
    options: BatchOptions
    assertions: tuple[str, ...] = ()
    set_params: tuple[Overrides, ...] = ()
    limits: GuardLimits | None = None
    """Kept for each video by a parent process."""
    _templates: dict[str, tuple[Job, str]] = field(default_factory=dict, compare=False, repr=False)
    """Pipeline -> a job and the digest of its request, which are the same for every video."""

    def verdicts(self, before: BatchRecord | None) -> Iterator[tuple[FoundVideo, list[VideoDecision]]]:
        """What each video needs, given what an earlier batch left in the folder."""
        known, judged = known_failures(before), judged_before(before)
        choices = Choices(
            retry_failed=self.options.retry_failed,
            settle_s=self.options.settle_s,
            overwrite=self.run_options.overwrite,
            force=self.run_options.force,
        )
        for video, outputs in self.outputs.items():
            found = []
            for plan, output in zip(self.plans, outputs, strict=True):
                job = self._job(video.path, plan)
                found.append(
                    decide_video(
                        video,
                        job,
                        output,
                        name=shown_path(os.path.relpath(output, self.folder)),
                        digest=self._templates[plan.pipeline.id][1],
                        choices=choices,
                        known=known,
                        assertions=self.assertions,
                        judged=judged,
                    )
                )
            yield video, found

    def _job(self, video: str, plan: Plan) -> Job:
        key = plan.pipeline.id
        if key not in self._templates:
            job = Job.make(video, plan, self.sampling, None, None, self.run_options)
            self._templates[key] = job, request_digest(job)
        return replace(self._templates[key][0], given=video)

    @property
    def kind(self) -> str:
        """Its pipelines, whose processes take about the same memory every night."""
        return ",".join(plan.pipeline.id for plan in self.plans)

    def allotment(self, due: Sequence[FoundVideo], before: BatchRecord | None) -> Allotment:
        """How this machine is shared among the videos that have to run."""
        memory = available_bytes()
        most = min(default_workers(), len(due))
        each = 0 if before is None else before.peak_bytes.get(self.kind, 0)
        if not each:
            each = expected_bytes()
            if memory is not None and each * most > memory * MEMORY_SHARE:
                paths = sorted((video.path for video in due), key=size_of, reverse=True)
                each = expected_bytes(
                    most_pixels(paths, stream=self.run_options.stream, limits=self.run_options.limits)
                )
        if self.limits is not None and self.limits.max_memory_bytes is not None:
            each = min(each, self.limits.max_memory_bytes)
        return allot(
            len(due),
            cpus=default_workers(),
            memory_bytes=memory,
            each_bytes=each,
            on_device=any(map(is_on_device, self.plans)),
            jobs=self.options.jobs,
            workers=self.run_options.workers,
        )

    def task(self, number: int, video: FoundVideo, verdicts: Sequence[VideoDecision]) -> VideoTask:
        """What a process has to do for a video: the pipelines whose verdict is not `none`."""
        due = [
            (spec, output, verdict)
            for spec, output, verdict in zip(self._specs, self.outputs[video], verdicts, strict=True)
            if verdict.action != "none"
        ]
        return VideoTask(
            number=number,
            video=video.path,
            pipelines=tuple(spec for spec, _, _ in due),
            outputs=tuple(output for _, output, _ in due),
            sampling=self.sampling,
            options=self.run_options,
            forced=tuple(verdict.force for _, _, verdict in due),
            assertions=self.assertions,
            limits=self.limits,
        )

    def expectation(self, batch_id: str, tasks: Sequence[VideoTask]) -> Expectation:
        """What a place must be like where these tasks are to run."""
        example = replace(tasks[0], video=os.path.abspath(tasks[0].video), pipelines=self._specs)
        requests = tuple(self._job(example.video, plan).request.model_dump(mode="json") for plan in self.plans)
        return Expectation(
            batch_id=batch_id,
            folder=os.path.abspath(self.folder),
            example=example,
            requests=requests,
            sizes=file_sizes(task.video for task in islice(tasks, COMPARED_VIDEOS)),
        )

    @cached_property
    def _specs(self) -> tuple[PipelineSpec, ...]:
        return tuple(
            PipelineSpec.of(plan, overrides) for plan, overrides in zip(self.plans, self.set_params, strict=True)
        )


def run_batch(
    batch: Batch, *, events: BatchEvents | None = None, executor: TaskExecutor | None = None
) -> Generator[VideoOutcome, None, BatchRecord]:
    """Run what needs running; yields each outcome as it is known, and returns the whole record.

    executor: where the videos run; None for processes on this machine. An executor that is given is not closed.
    Raises `OutputError` where the output folder is locked by another batch or cannot be written, which stops everything.
    """
    events = events or _Silent()
    with writing(batch.folder):
        if batch.folder.exists() and not batch.folder.is_dir():
            raise OutputError(f"{printable(batch.folder)}: is not a folder", word="output.folder")
        batch.folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(batch.folder):
        require_apart(batch.outputs, batch.folder)
        before = read_ledger(batch.folder / NAME)
        judged = list(batch.verdicts(before))
        due = [(video, found) for video, found in judged if any(verdict.action != "none" for verdict in found)]
        if executor is None:
            allotment = batch.allotment([video for video, _ in due], before)
        else:
            allotment = Allotment(executor.jobs, batch.run_options.workers or executor.workers, executor.what)
        outcomes = [verdict.outcome for _, found in judged for verdict in found]
        ledger = Ledger(
            batch.folder, outcomes, kind=batch.kind, jobs=allotment.jobs, others=batch.found.others, before=before
        )
        if due:
            ledger.write_running()
        events.begun([verdict for _, found in judged for verdict in found], allotment)
        for outcome in outcomes:
            if outcome.exit_code is not None or outcome.status == "not_run":
                yield outcome
        tasks = deque(batch.task(number, video, found) for number, (video, found) in enumerate(due))
        if tasks:
            with _processes(allotment.jobs) if executor is None else nullcontext(executor) as place:
                try:
                    place.prepare(batch.expectation(ledger.id, tasks))
                    yield from _work(tasks, place, ledger, events)
                except BaseException:
                    events.stopped(ledger.stop())
                    raise
        try:
            return ledger.end(exit_code_of_batch(ledger.outcomes, batch.options))
        except OutputError:
            events.stopped(ledger.stop())
            raise


def _processes(jobs: int) -> TaskExecutor:
    from videodag_cli.batch.executors.processes import Processes

    return Processes(jobs)


def _work(tasks: deque[VideoTask], place: TaskExecutor, ledger: Ledger, events: BatchEvents) -> Generator[VideoOutcome]:
    """Keep the executor busy until every task has ended."""
    waiting: dict[Future[list[VideoOutcome]], VideoTask] = {}
    try:
        while tasks or waiting:
            while tasks and len(waiting) < place.ahead:
                task = tasks.popleft()
                waiting[place.submit(task, _marking(ledger, events))] = task
            place.left(len(tasks) + len(waiting))
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                task = waiting.pop(future)
                for outcome in _outcomes(future, task, ledger):
                    ledger.put(outcome)
                    events.ended(outcome)
                    yield outcome
                    if outcome.word in ENDS_THE_BATCH:
                        raise OutputError(f"{outcome.message}; the batch ends here", word=outcome.word)
    finally:
        for future, task in waiting.items():
            if future.done() and future.exception() is None:
                for outcome in _outcomes(future, task, ledger):
                    ledger.keep(outcome)
            elif not future.cancel():
                ledger.begun(output for output in task.outputs if part_path(output).exists())


def _marking(ledger: Ledger, events: BatchEvents) -> TaskProgress:
    """Passes progress on; a task that makes some is running."""

    def progress(task: VideoTask, done: int, total: int) -> None:
        ledger.begun(task.outputs)
        events.progress(task, done, total)

    return progress


def _outcomes(future: Future[list[VideoOutcome]], task: VideoTask, ledger: Ledger) -> list[VideoOutcome]:
    """What became of a task; a process that died is the failure of what it had not finished."""
    begun = [ledger.of(output) for output in task.outputs]
    try:
        ended = future.result()
    except VideodagError as error:
        return [outcome.refused(error) for outcome in begun]
    return [
        new.model_copy(
            update={name: getattr(old, name) for name in ("video", "output", "pipeline", "input", "request")}
        )
        for old, new in zip(begun, ended, strict=True)
    ]


def exit_code_of_batch(outcomes: Iterable[VideoOutcome], options: BatchOptions) -> int:
    """One code for many videos: 6 for an output that cannot be written, 4 for other failures, 5 for assertions alone, else 0."""
    counted = [outcome for outcome in outcomes if outcome.is_failure and not (outcome.known and options.accept_known)]
    outcomes = list(outcomes)
    allowed = options.max_failed if options.max_failed >= 1 else options.max_failed * len(outcomes)
    if len(counted) <= allowed:
        return 0
    return worst([code if (code := outcome.exit_code) in (1, 5, 6) else 4 for outcome in counted])
