"""An opened video run once: results written as they come, with the accounting and the record."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from videodag_cli.engine.timings import Timings
from videodag_cli.errors import InputError, StoppedError, lacks_memory, no_memory, printable, told
from videodag_cli.lines import FrameResult
from videodag_cli.run.job import exit_code_of
from videodag_cli.run.opened import Opened
from videodag_cli.run.output import OutputFile
from videodag_cli.run.record import (
    MAX_ERRORS_KEPT,
    MAX_MISSING_TIMES,
    Accounting,
    FrameError,
    NodeTiming,
    RunRecord,
    package_versions,
)
from videodag_cli.run.sinks import Sink, written_frames
from videodag_cli.video.index_ranges import index_ranges

if TYPE_CHECKING:
    from videodag_cli.expressions.assertions import Assertion


class ProgressSink(Protocol):
    """Told how far a run is: frames done and frames in all."""

    def __call__(self, done: int, total: int) -> None: ...


class Execution:
    """Runs an opened video once."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._job = opened.job
        self._destination = opened.destination
        self._identity = opened.identity
        self._targets = opened.targets
        self._stamps = opened.stamps
        self._engine = opened.engine
        self._sink = opened.sink
        self._progress = opened.progress
        self._reader = opened.reader
        self._keeps_states = opened.keeps_states
        self._remarks = opened.remarks

    def results(self) -> Generator[FrameResult]:
        """The results of the frames that are not written yet."""
        due = _Every(self._job.options.checkpoint_every_s) if self._keeps_states else None
        with closing(
            self._engine.run(self._opened.frames, checkpoint_due=due, on_checkpoint=self._checkpoint)
        ) as results:
            for result in results:
                if result.frame_index > self._progress.last_frame:
                    yield self._stamps.on(result)

    def _checkpoint(self, frame_index: int, states: dict[str, Any]) -> None:
        if not self._keeps_states or not isinstance(self._destination, OutputFile):
            return
        try:
            self._destination.keep_note(self._job.request, self._identity, state_frame=frame_index, states=states)
        except (TypeError, ValueError) as error:
            self._remarks.append(f"states cannot be kept, so a continued run starts from the first frame: {error}")
            self._keeps_states = False

    def run(self, on_progress: ProgressSink | None, assertions: Sequence[Assertion]) -> RunRecord:
        """Write everything; returns the record, which for a file is written and the file renamed."""
        with closing(self.steps(assertions)) as steps:
            while True:
                try:
                    count = next(steps)
                except StopIteration as end:
                    record: RunRecord = end.value
                    return record
                if on_progress is not None:
                    on_progress(count, len(self._targets))

    def steps(self, assertions: Sequence[Assertion]) -> Generator[int, None, RunRecord]:
        """The same line by line: yields how many there are, and returns the record."""
        options, destination, sink = self._job.options, self._destination, self._sink
        count = self._progress.lines
        failed = self._progress.failed
        errors = list(self._progress.errors)
        if assertions and count and isinstance(destination, OutputFile):
            feed_lines(assertions, destination.part, sink)
        written_s = 0.0
        if destination is not None and count == 0 and not self._progress.kept_bytes:
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
                yield count
        accounting = self._account(count, failed)
        self._write(sink.footer())
        self._check_input()
        if not count:
            raise InputError(
                f"{printable(self._job.path)}: none of the {len(self._targets)} sampled frames could be decoded",
                word="input.no_frames",
            )
        self._keep_what_is_known()
        judged = outcomes(assertions)
        code = exit_code_of(accounting, options, judged)
        record = RunRecord(
            request=self._job.request,
            input=self._input_facts(),
            accounting=accounting,
            nodes={
                step.id: _timing(self._engine.timings[step.id], stateless=step.spec.stateless)
                for step in self._job.plan.steps
            },
            models=self._engine.models(),
            profile=self._profile(written_s),
            packages=package_versions(self._job.plan),
            workers=self._opened.workers,
            wall_time_s=round(time.perf_counter() - self._opened.started, 3),
            status="incomplete" if code == 4 else "done",
            exit_code=code,
            errors=errors,
            problems=[*self._reader.problems, *(self._reader.remarks if options.strict else ())],
            recalled=self._engine.recalled,
            remarks=[*(() if options.strict else self._reader.remarks), *self._remarks, *self._engine.remarks()],
            output=destination.facts() if isinstance(destination, OutputFile) else None,
            assertions=judged,
        )
        if isinstance(destination, OutputFile):
            destination.finish(record)
        return record

    def _keep_what_is_known(self) -> None:
        """Behind the last frame, for later runs: how the video was read, and what the tools say of themselves."""
        keeping = self._opened.keeping
        if keeping is None:
            return
        every_frame = self._progress.state_frame < 0 and not len(self._reader.undecodable)
        self._engine.finish_kept(every_frame=every_frame)
        if every_frame and not self._job.options.strict and not self._engine.sizes_vary:
            keeping.keep_reading(self._reader)
        if keeping.results.stopped:
            self._remarks.append(f"results are not kept: {keeping.results.stopped}")

    def _write(self, data: bytes, *, lines: int = 0) -> None:
        if isinstance(self._destination, OutputFile):
            self._destination.write(data, lines=lines)
        elif self._destination is not None and data:
            self._destination.write(data)

    def _stop_if_asked(self, result: FrameResult, failed: int) -> None:
        """Stop before the line is written, so that running again tries this frame again."""
        failure, options = result.failure, self._job.options
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
        missing = np.asarray(self._reader.undecodable, np.int64)
        missing = np.compress(missing > self._progress.last_frame, missing)
        if self._progress.lines:
            earlier = np.compress(self._targets <= self._progress.last_frame, self._targets)
            lost = np.setdiff1d(earlier, np.fromiter(self._progress.written, np.int64, len(self._progress.written)))
            missing = np.concatenate([lost, missing])
        index = self._opened.probe.index
        not_examined = max(0, len(index) - self._reader.decoded_count - len(missing))
        return Accounting(
            sampled=len(self._targets),
            ok=count - failed,
            failed=failed,
            undecodable=len(self._targets) - count,
            not_examined=not_examined,
            after_damage=self._reader.after_damage_count,
            contradictions=len(self._reader.problems) + len(self._reader.remarks) * self._job.options.strict,
            first_missing_time_s=index.time_s(int(missing[0])) if len(missing) else None,
            missing_ranges=index_ranges(missing, among=self._targets),
            missing_times_s=[index.time_s(int(rank)) for rank in missing[:MAX_MISSING_TIMES]],
        )

    def _check_input(self) -> None:
        try:
            same = self._identity.same_stat(self._job.identity())
        except InputError:
            same = False
        if not same:
            raise InputError(
                f"{printable(self._job.path)}: changed while it was read; run again when it is complete",
                word="input.changed",
            )

    def _input_facts(self) -> dict[str, Any]:
        identity = self._identity
        if self._opened.digest is not None:
            identity = identity.model_copy(update={"sha256": self._opened.digest.result()})
        choice = self._reader.choice
        return {
            **identity.model_dump(mode="json"),
            "video": self._opened.probe.facts.model_dump(mode="json"),
            "decoder": {"name": choice.name, "reason": choice.reason},
        }

    def _profile(self, written_s: float) -> dict[str, float]:
        nodes = {f"node {name}": t.total_ns / 1e9 for name, t in self._engine.timings.items()}
        seconds = {"decode": self._reader.decode_s, "convert": self._reader.convert_s, **nodes, "write": written_s}
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
