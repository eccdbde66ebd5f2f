"""Several pipelines over one decode of a video: each with its own engine, output and record, as if it had run alone.

The pipelines that begin at the same frame share a reader and are run in step, one line each in turn, so that none of them gets
far ahead of the others; what they compute alike is computed once. A pipeline that was stopped is no reason for the others to stop.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from videodag_cli.engine.shared import SharedCall, shared_calls
from videodag_cli.errors import VideodagError, lacks_memory, no_memory, printable
from videodag_cli.graph.plan import Plan
from videodag_cli.run.api import begin, destination_of, judge_assertions
from videodag_cli.run.execution import Execution, ProgressSink
from videodag_cli.run.job import Continuation, Job, RunOptions, as_of_now
from videodag_cli.run.opened import Checked, CpuShare, Prepared, RunStart, start_digest
from videodag_cli.run.output import OutputFile
from videodag_cli.run.record import RunRecord
from videodag_cli.system.memory import give_back
from videodag_cli.system.straight import StraightOutput
from videodag_cli.video.reader import Reader
from videodag_cli.video.sampling import Sampling
from videodag_cli.video.tee import Branch, Tee

if TYPE_CHECKING:
    from videodag_cli.expressions.assertions import Assertion


@dataclass(kw_only=True)
class Part:
    """One of the pipelines: what it is to do, and at the end what became of it."""

    plan: Plan
    output: str | os.PathLike[str]
    assertions: Sequence[Assertion] = ()
    force: bool = False
    """Run even if the output is up to date."""
    result: RunRecord | VideodagError | None = None
    on_end: Callable[[RunRecord | VideodagError], None] | None = field(default=None, repr=False)
    """Told the result at once, while others may still run."""
    destination: OutputFile | StraightOutput | None = field(default=None, repr=False)
    job: Job | None = field(default=None, repr=False)

    @contextmanager
    def keeping_errors(self) -> Iterator[None]:
        """What goes wrong inside is this pipeline's result."""
        try:
            yield
        except VideodagError as error:
            self.end(error)
        except Exception as error:
            self.end(unexpected(error))

    def end(self, result: RunRecord | VideodagError) -> None:
        self.result = result
        if isinstance(result, VideodagError):
            self.give_up()
        if self.on_end is not None:
            self.on_end(result)

    def give_up(self) -> None:
        """Leave what was written for a later run."""
        if isinstance(self.destination, OutputFile):
            self.destination.give_up()


def unexpected(error: Exception) -> VideodagError:
    """An error that nobody foresaw, as one that can be reported."""
    if isinstance(error, MemoryError) or lacks_memory(error):
        return no_memory()
    return VideodagError(f"{type(error).__name__}: {printable(error, limit=300)}")


def run_together(
    video: str | os.PathLike[str],
    parts: Sequence[Part],
    *,
    sampling: Sampling | None = None,
    options: RunOptions | None = None,
    on_progress: ProgressSink | None = None,
    on_start: Callable[[RunStart], None] | None = None,
    continuation: Continuation | None = None,
    share: CpuShare | None = None,
) -> None:
    """Run several pipelines over a video that is decoded once; `result` of each part then says what became of it.

    Each output is the one that `run_video` would write. Only signals go through.
    share: CPUs that it may use now, where the options do not say.
    continuation: what somebody who watches this process, and started it again, knows of it; of several parts only that.
    """
    if continuation is not None and len(parts) != 1 and (continuation.lost or continuation.serial):
        raise ValueError("calls that are lost, or made one at a time, are those of one pipeline")
    options = options or RunOptions()
    try:
        with ExitStack() as stack:
            due = []
            for part in parts:
                with part.keeping_errors():
                    if _is_due(part, video, sampling, options, stack):
                        due.append(part)
            if due:
                try:
                    _run(due, stack, on_progress, on_start, continuation, share)
                except VideodagError as error:
                    _end_all(due, error)
                except Exception as error:
                    _end_all(due, unexpected(error))
    except BaseException:
        for part in parts:
            if part.result is None:
                part.give_up()
        raise


def _end_all(parts: Sequence[Part], error: VideodagError) -> None:
    for part in parts:
        if part.result is None:
            part.end(error)


def _is_due(
    part: Part,
    video: str | os.PathLike[str],
    sampling: Sampling | None,
    options: RunOptions,
    stack: ExitStack,
) -> bool:
    """Apply the output rule; where nothing is to be done, the result is known."""
    own = replace(options, force=options.force or part.force)
    part.job = Job.make(video, part.plan, sampling, None, None, own)
    part.destination = destination_of(part.output, part.job)
    if isinstance(part.destination, OutputFile):
        finished = begin(part.job, part.destination)
        if finished is not None:
            part.end(as_of_now(finished, own, judge_assertions(part.assertions, finished, part.destination.path, own)))
            return False
    elif part.destination is not None:
        stack.callback(part.destination.close)
    return True


def _run(
    due: Sequence[Part],
    stack: ExitStack,
    on_progress: ProgressSink | None,
    on_start: Callable[[RunStart], None] | None,
    continuation: Continuation | None,
    share: CpuShare | None,
) -> None:
    job = due[0].job
    assert job is not None
    checked = Checked.of(job)
    groups: dict[tuple[int, int], list[_Running]] = {}
    for part in due:
        with part.keeping_errors():
            assert part.job is not None
            known = continuation or Continuation()
            prepared = Prepared.of(part.job, part.destination, checked, stack, known, share)
            done = prepared.progress
            # Those that continue elsewhere need other frames, and would be kept waiting with all frames in between.
            groups.setdefault((done.state_frame, done.last_frame), []).append(_Running(part, prepared))
    if not groups:
        return
    digest = start_digest(job, checked, stack)
    for group in groups.values():
        _run_in_step(group, stack, digest, on_progress, on_start)


class _Running:
    """A pipeline on its way through the frames that it shares with others."""

    def __init__(self, part: Part, prepared: Prepared) -> None:
        self.part = part
        self.prepared = prepared
        self._steps: Generator[int, None, RunRecord] | None = None
        self._branch: Branch | None = None
        self._shared: Mapping[str, SharedCall] = {}

    def begin(self, reader: Reader, branch: Branch, shared: Mapping[str, SharedCall], digest: Future[str]) -> RunStart:
        self._branch, self._shared = branch, shared
        self.prepared.engine.share(shared)
        opened = self.prepared.reading(reader, branch, digest)
        self._steps = Execution(opened).steps(self.part.assertions)
        return opened.start

    def step(self) -> int:
        """One line further; how many there are then. At the end, `result` of the part is set."""
        assert self._steps is not None
        count = 0
        with self.part.keeping_errors():
            try:
                count = next(self._steps)
            except StopIteration as end:
                self.part.end(end.value)
        if self.part.result is not None:
            self.stop()
        return count

    def stop(self) -> None:
        """Take no more frames, and leave the others on their own."""
        if self._steps is None or self._branch is None:
            return
        self._branch.leave()
        for call in self._shared.values():
            call.end()
        self._steps.close()


def _run_in_step(
    group: Sequence[_Running],
    stack: ExitStack,
    digest: Future[str],
    on_progress: ProgressSink | None,
    on_start: Callable[[RunStart], None] | None,
) -> None:
    """Pipelines that begin at the same frame, each a line further in turn."""
    needs_pixels = any(running.prepared.engine.needs_pixels for running in group)
    reader, frames = group[0].prepared.read(stack, needs_pixels=needs_pixels)
    give_back()
    tee = Tee(frames)
    shared = shared_calls([running.part.plan for running in group])
    for running, calls in zip(group, shared, strict=True):
        start = running.begin(reader, tee.branch(), calls, digest)
        if on_start is not None:
            on_start(start)
    total = len(group[0].prepared.checked.targets)
    try:
        while left := [running for running in group if running.part.result is None]:
            count = min(running.step() for running in left)
            if on_progress is not None and count:
                on_progress(count, total)
    finally:
        for running in group:
            running.stop()
