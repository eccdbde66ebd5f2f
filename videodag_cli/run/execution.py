"""A video opened for a job: probe, targets, reader, engine and sink, run once, with the accounting and the record."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from videodag_cli.engine.engine import Engine
from videodag_cli.engine.timings import Timings
from videodag_cli.errors import InputError, StoppedError, lacks_memory, no_memory, printable, told
from videodag_cli.graph.plan import Plan
from videodag_cli.lines import FrameResult
from videodag_cli.run.job import Continuation, Job, default_workers, exit_code_of
from videodag_cli.run.output import OutputFile
from videodag_cli.run.part import Progress
from videodag_cli.run.record import (
    MAX_ERRORS_KEPT,
    MAX_MISSING_TIMES,
    Accounting,
    FrameError,
    NodeTiming,
    RunRecord,
    digest_file,
    package_versions,
)
from videodag_cli.run.sinks import Sink, make_sink, written_frames
from videodag_cli.run.strict import every_frame
from videodag_cli.system.memory import give_back
from videodag_cli.system.straight import StraightOutput
from videodag_cli.video.opening import open_reader
from videodag_cli.video.probing import probe
from videodag_cli.video.ranges import ranges
from videodag_cli.video.reader import Reader
from videodag_cli.video.sampling import Sampling, select
from videodag_cli.video.source import Probe

if TYPE_CHECKING:
    from videodag_cli.expressions.assertions import Assertion


class ProgressSink(Protocol):
    """Told how far a run is: frames done and frames in all."""

    def __call__(self, done: int, total: int) -> None: ...


@dataclass(frozen=True)
class RunStart:
    """What is decided before the first frame is decoded."""

    plan: Plan
    probe: Probe
    decoder: str
    decoder_reason: str
    sampled: int
    """Frames the sampling asks for."""
    continued_at: int
    """Lines that an earlier run left; 0 for a fresh start."""


class Execution:
    """A video opened for a job: probe, targets, reader and engine, ready to run once."""

    def __init__(
        self,
        job: Job,
        destination: OutputFile | StraightOutput | None,
        *,
        hashes: bool,
        continuation: Continuation | None = None,
    ) -> None:
        self.job = job
        self._continuation = continuation or Continuation()
        self.destination = destination
        self._hashes = hashes
        self._remarks: list[str] = []
        self._stack = ExitStack()
        self._started = time.perf_counter()

    def __enter__(self) -> Execution:
        with ExitStack() as stack:
            self._open(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _open(self, stack: ExitStack) -> None:
        job, options = self.job, self.job.options
        self.identity = job.identity()
        self.probe = probe(job.path, stream=options.stream, limits=options.limits)
        self.targets = select(self.probe.index, job.sampling)
        if not len(self.targets):
            raise InputError(f"{printable(job.path)}: {_nothing_sampled(job.sampling)}", word="input.no_frames")
        _limit_opencv_threads()
        self.workers = options.workers or default_workers()
        self._info = replace(self.probe.info, sampled_count=len(self.targets))
        self.engine = stack.enter_context(self._make_engine())
        self.sink = make_sink(options.format, tags=options.tags)
        self.progress = self._continue(stack)
        self._keeps_states = (
            isinstance(self.destination, OutputFile)
            and self.sink.resumable
            and not self.engine.is_stateless
            and self.engine.has_checkpoints
        )
        behind = np.compress(self.targets > self.progress.state_frame, self.targets)
        self.reader: Reader = stack.enter_context(
            open_reader(self.probe, np.arange(len(self.probe.index)), decoder=options.decoder)
            if options.strict
            else open_reader(self.probe, self.targets, decoder=options.decoder, after=self.progress.state_frame)
        )
        self._frames = every_frame(self.reader, behind) if options.strict else self.reader
        give_back()
        self._digest: Future[str] | None = None
        if self._hashes:
            pool = ThreadPoolExecutor(1, thread_name_prefix="videodag-digest")
            stack.callback(pool.shutdown, wait=False, cancel_futures=True)
            self._digest = pool.submit(digest_file, job.path)

    def _make_engine(self) -> Engine:
        return Engine(
            self.job.plan,
            self._info,
            workers=self.workers,
            batch_size=self.job.options.batch_size,
            serial=self._continuation.serial,
            calls=self._continuation.calls,
            lost=self._continuation.lost,
        )

    @property
    def start(self) -> RunStart:
        choice = self.reader.choice
        return RunStart(self.job.plan, self.probe, choice.name, choice.reason, len(self.targets), self.progress.lines)

    def _continue(self, stack: ExitStack) -> Progress:
        """How far an unfinished output has come; the part is cut there, the tools get their states."""
        progress = Progress()
        if isinstance(self.destination, OutputFile) and self.sink.resumable:
            progress = self.destination.progress(self.sink)
        elif isinstance(self.destination, StraightOutput):
            progress = self._continuation.progress
        if self.engine.is_stateless:
            progress = replace(progress, state_frame=progress.last_frame, states=None)
        elif progress.states is None or not self._restored(progress.states, stack):
            progress = replace(progress, state_frame=-1, states=None)
        if isinstance(self.destination, OutputFile):
            self.destination.resume_at(progress)
        return progress

    def _restored(self, states: Mapping[str, Any], stack: ExitStack) -> bool:
        """Whether the tools took their states; if not, they are new, and are to see the frames again."""
        try:
            self.engine.restore(dict(states))
        except Exception as error:  # an author's code
            self._remarks.append(
                f"a kept state could not be restored, so the frames were run again: {printable(error)}"
            )
            self.engine = stack.enter_context(self._make_engine())
            return False
        return True

    def results(self) -> Generator[FrameResult]:
        """The results of the frames that are not written yet."""
        due = _Every(self.job.options.checkpoint_every_s) if self._keeps_states else None
        with closing(self.engine.run(self._frames, checkpoint_due=due, on_checkpoint=self._checkpoint)) as results:
            for result in results:
                if result.frame_index > self.progress.last_frame:
                    yield result

    def _checkpoint(self, frame_index: int, states: dict[str, Any]) -> None:
        if not self._keeps_states or not isinstance(self.destination, OutputFile):
            return
        try:
            self.destination.keep_note(self.job.request, self.identity, state_frame=frame_index, states=states)
        except (TypeError, ValueError) as error:
            self._remarks.append(f"states cannot be kept, so a continued run starts from the first frame: {error}")
            self._keeps_states = False

    def run(self, on_progress: ProgressSink | None, assertions: Sequence[Assertion]) -> RunRecord:
        """Write everything; returns the record, which for a file is written and the file renamed."""
        options, destination, sink = self.job.options, self.destination, self.sink
        count = self.progress.lines
        failed = self.progress.failed
        errors = list(self.progress.errors)
        if assertions and count and isinstance(destination, OutputFile):
            feed_lines(assertions, destination.part, sink)
        written_s = 0.0
        if destination is not None and count == 0 and not self.progress.kept_bytes:
            self._write(sink.header())
        with closing(self.results()) as results:
            for result in results:
                if result.failure is not None:
                    failed += 1
                    self._stop_if_asked(result, failed)
                    if len(errors) < MAX_ERRORS_KEPT:
                        errors.append(_frame_error(result))
                for assertion in assertions:
                    assertion.feed(result.as_json())
                before = time.perf_counter()
                self._write(sink.frame(result, first=count == 0), lines=1)
                written_s += time.perf_counter() - before
                count += 1
                if on_progress is not None:
                    on_progress(count, len(self.targets))
        accounting = self._account(count, failed)
        self._write(sink.footer())
        self._check_input()
        if not count:
            raise InputError(
                f"{printable(self.job.path)}: none of the {len(self.targets)} sampled frames could be decoded",
                word="input.no_frames",
            )
        judged = outcomes(assertions)
        code = exit_code_of(accounting, options, judged)
        record = RunRecord(
            request=self.job.request,
            input=self._input_facts(),
            accounting=accounting,
            nodes={
                step.id: _timing(self.engine.timings[step.id], stateless=step.spec.stateless)
                for step in self.job.plan.steps
            },
            models=self.engine.models(),
            profile=self._profile(written_s),
            packages=package_versions(self.job.plan),
            workers=self.workers,
            wall_time_s=round(time.perf_counter() - self._started, 3),
            status="incomplete" if code == 4 else "done",
            exit_code=code,
            errors=errors,
            problems=[*self.reader.problems, *(self.reader.remarks if options.strict else ())],
            remarks=[*(() if options.strict else self.reader.remarks), *self._remarks, *self.engine.remarks()],
            output=destination.facts() if isinstance(destination, OutputFile) else None,
            assertions=judged,
        )
        if isinstance(destination, OutputFile):
            destination.finish(record)
        return record

    def _write(self, data: bytes, *, lines: int = 0) -> None:
        if isinstance(self.destination, OutputFile):
            self.destination.write(data, lines=lines)
        elif self.destination is not None and data:
            self.destination.write(data)

    def _stop_if_asked(self, result: FrameResult, failed: int) -> None:
        """Stop before the line is written, so that running again tries this frame again."""
        failure, options = result.failure, self.job.options
        assert failure is not None
        if failure.type == "ImportError" and lacks_memory(failure.message):
            raise no_memory()  # a library could not be loaded: that is no failure of the tool, and happens at every frame
        what = (
            f"frame {result.frame_index} t={result.time_s:.2f}s: node {failure.node!r} ({failure.tool}): "
            f"{told(failure.type, failure.message)}"
        )
        if options.on_error == "stop":
            raise StoppedError(what, word="stopped.on_error")
        if options.max_errors is not None and failed > options.max_errors:
            raise StoppedError(
                f"more than {options.max_errors} frames failed, the last: {what}", word="stopped.max_errors"
            )

    def _account(self, count: int, failed: int) -> Accounting:
        missing = np.asarray(self.reader.undecodable, np.int64)
        missing = np.compress(missing > self.progress.last_frame, missing)
        if self.progress.lines:
            earlier = np.compress(self.targets <= self.progress.last_frame, self.targets)
            lost = np.setdiff1d(earlier, np.fromiter(self.progress.written, np.int64, len(self.progress.written)))
            missing = np.concatenate([lost, missing])
        index = self.probe.index
        not_examined = max(0, len(index) - self.reader.decoded_count - len(missing))
        return Accounting(
            sampled=len(self.targets),
            ok=count - failed,
            failed=failed,
            undecodable=len(self.targets) - count,
            not_examined=not_examined,
            after_damage=self.reader.after_damage_count,
            contradictions=len(self.reader.problems) + len(self.reader.remarks) * self.job.options.strict,
            first_missing_time_s=index.time_s(int(missing[0])) if len(missing) else None,
            missing_ranges=ranges(missing, among=self.targets),
            missing_times_s=[index.time_s(int(rank)) for rank in missing[:MAX_MISSING_TIMES]],
        )

    def _check_input(self) -> None:
        try:
            same = self.identity.same_stat(self.job.identity())
        except InputError:
            same = False
        if not same:
            raise InputError(
                f"{printable(self.job.path)}: changed while it was read; run again when it is complete",
                word="input.changed",
            )

    def _input_facts(self) -> dict[str, Any]:
        identity = self.identity
        if self._digest is not None:
            identity = identity.model_copy(update={"sha256": self._digest.result()})
        choice = self.reader.choice
        return {
            **identity.model_dump(mode="json"),
            "video": self.probe.facts.model_dump(mode="json"),
            "decoder": {"name": choice.name, "reason": choice.reason},
        }

    def _profile(self, written_s: float) -> dict[str, float]:
        nodes = {f"node {name}": t.total_ns / 1e9 for name, t in self.engine.timings.items()}
        seconds = {"decode": self.reader.decode_s, "convert": self.reader.convert_s, **nodes, "write": written_s}
        return {name: round(value, 4) for name, value in seconds.items()}


def outcomes(assertions: Sequence[Assertion]) -> list[dict[str, Any]]:
    """What became of each assertion, its ranges included."""
    return [assertion.finish().as_json() for assertion in assertions]


def feed_lines(assertions: Sequence[Assertion], path: Path, sink: Sink) -> None:
    """Give the lines of a file that the sink wrote to assertions; of an unfinished one the whole lines."""
    with open(path, "rb") as file:
        for line in written_frames(file, sink):
            for assertion in assertions:
                assertion.feed(line)


def _nothing_sampled(sampling: Sampling) -> str:
    if sampling.start is not None or sampling.end is not None:
        return "has no frame in the requested window"
    return "shows no keyframe; sample it otherwise" if sampling.keyframes else "holds no frame"


class _Every:
    """True when called at least so many seconds after it last was."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


def _limit_opencv_threads() -> None:
    """Frames are worked on side by side, so OpenCV's own threads would only compete."""
    cv2 = sys.modules.get("cv2")
    if cv2 is not None:
        cv2.setNumThreads(1)
    else:
        os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")


def _timing(timings: Timings, *, stateless: bool) -> NodeTiming:
    return NodeTiming(
        stateless=stateless,
        count=timings.count,
        mean_ms=round(timings.mean_ms, 4),
        p50_ms=round(timings.quantile_ms(0.5), 4),
        p95_ms=round(timings.quantile_ms(0.95), 4),
    )


def _frame_error(result: FrameResult) -> FrameError:
    assert result.failure is not None
    failure = result.failure
    return FrameError(
        frame_index=result.frame_index,
        time_s=result.time_s,
        node=failure.node,
        tool=failure.tool,
        type=failure.type,
        message=failure.message,
    )
