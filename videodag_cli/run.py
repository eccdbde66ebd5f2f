"""One video through one pipeline: reader -> engine -> sink, with the request, the accounting and the record.

record = run_video("clip.mp4", "people", sampling=Sampling(stride=5), output="people.jsonl")

for result in iter_video("clip.mp4", "people", sampling=Sampling(stride=5)):
    print(result.frame_index, result.values)
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from videodag_cli.engine import Engine
from videodag_cli.errors import InputError, OutputError, RequestError, StoppedError, printable
from videodag_cli.guard import ChildContext, child_context
from videodag_cli.lines import RESERVED_TAGS, FrameResult
from videodag_cli.output import (
    OutputFile,
    Progress,
    StraightOutput,
    is_special,
    record_path,
    write_atomically,
)
from videodag_cli.pipeline import LoadedPipeline, find, load, search_places
from videodag_cli.plan import Overrides, Plan, make_plan
from videodag_cli.plugins import Registry
from videodag_cli.record import (
    MAX_ERRORS_KEPT,
    Accounting,
    FrameError,
    Identity,
    NodeTiming,
    Request,
    RunRecord,
    digest_file,
    make_request,
    package_versions,
)
from videodag_cli.sinks import FORMATS, make_sink
from videodag_cli.strict import every_frame
from videodag_cli.timings import Timings
from videodag_cli.video import Limits, Probe, Reader, Sampling, choose_decoder, open_reader, probe, select

if TYPE_CHECKING:
    from videodag_cli.expressions import Assertion

MAX_RANGES = 100
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
CHECKPOINT_EVERY_S = 5.0


class ProgressSink(Protocol):
    """Told how far a run is: frames done and frames in all."""

    def __call__(self, done: int, total: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is carried out. Of these, `decoder`, `stream`, `format`, `tags` and `strict` belong to the request."""

    workers: int | None = None
    """Frames that stateless nodes work on at once; None: the CPUs that affinity and cgroup allow."""
    batch_size: int | None = None
    """At most this many frames at once for tools that take batches."""
    on_error: Literal["record", "stop"] = "record"
    max_errors: int | None = None
    """Stop when more frames than this failed."""
    strict: bool = False
    """Decode every frame of the video and stop if any is missing."""
    accept_damage_percent: float = 0.0
    """A run that lost at most this share of its sampled frames counts as done."""
    overwrite: bool = False
    force: bool = False
    decoder: str = "auto"
    stream: int | None = None
    limits: Limits = field(default_factory=Limits)
    format: str = "jsonl"
    tags: Mapping[str, str] = field(default_factory=dict)
    checkpoint_every_s: float = CHECKPOINT_EVERY_S

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise RequestError(f"format {self.format!r} is unknown; one of {', '.join(FORMATS)}")
        if not 0 <= self.accept_damage_percent <= 100:
            raise RequestError(f"accepted damage of {self.accept_damage_percent:g} %: give a share from 0 to 100")
        if self.max_errors is not None and self.max_errors < 0:
            raise RequestError(f"{self.max_errors} errors at most: give a number from 0 up")
        for tag in self.tags:
            if tag in RESERVED_TAGS:
                raise RequestError(f"tag {tag!r} is a field of every line; choose another name")


def default_workers() -> int:
    """CPUs this process may use: its affinity, and what its control group allows."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        count = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()[:2]
        if quota != "max":
            count = min(count, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass
    return count


def plan_for(
    pipeline: str | os.PathLike[str] | LoadedPipeline,
    *,
    set_params: Overrides | None = None,
    pipeline_folders: Iterable[Path] = (),
    registry: Registry | None = None,
) -> Plan:
    """The checked plan of a pipeline given by name or file. Raises `PipelineError` and `PluginError`."""
    if not isinstance(pipeline, LoadedPipeline):
        pipeline = load(find(os.fspath(pipeline), search_places(pipeline_folders)).path)
    return make_plan(pipeline, registry or Registry(), overrides=set_params)


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
    job = _Job.make(video, pipeline, sampling, set_params, registry, options)
    destination = _destination(output, job)
    if record is not None:
        _check_record(Path(record), job, destination)
    try:
        with ExitStack() as stack:
            if isinstance(destination, OutputFile):
                finished = _begin(job, destination)
                if finished is not None:
                    found = _as_of_now(finished, job.options, _judged(assertions, destination.path))
                    if record is not None:
                        write_atomically(Path(record), found.to_json())
                    return found
            elif destination is not None:
                stack.callback(destination.close)
            execution = stack.enter_context(
                _Execution(job, destination, hashes=bool(record) or isinstance(destination, OutputFile))
            )
            if on_start is not None:
                on_start(execution.start)
            result = execution.run(on_progress, assertions)
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
    """The results of a pipeline over a video, one per sampled frame, as they come. Raises as `run_video` does."""
    job = _Job.make(video, pipeline, sampling, set_params, registry, options)
    with _Execution(job, None, hashes=False) as execution, closing(execution.results()) as results:
        yield from results


def describe_run(
    video: str | os.PathLike[str],
    plan: Plan,
    *,
    sampling: Sampling,
    options: RunOptions,
    output: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    """Everything `run_video` would decide, as plain data; nothing is decoded or written."""
    job = _Job.make(video, plan, sampling, None, None, options)
    destination = _destination(output, job)
    action = "fresh"
    if isinstance(destination, OutputFile):
        action = destination.decide(job.request, job.path, overwrite=options.overwrite, force=options.force).kind
    elif destination is not None:
        destination.close()
    found = probe(job.path, stream=options.stream, limits=options.limits)
    targets = select(found.index, sampling)
    choice = choose_decoder(found, targets, decoder=options.decoder)
    return {
        "request": job.request.model_dump(mode="json"),
        "order": [step.id for step in plan.steps],
        "outputs": plan.output_types,
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


@dataclass(frozen=True)
class _Job:
    """What is asked for, checked as far as can be without the video."""

    given: str
    plan: Plan
    sampling: Sampling
    options: RunOptions
    request: Request

    @property
    def path(self) -> Path:
        return Path(self.given)

    @classmethod
    def make(
        cls,
        video: str | os.PathLike[str],
        pipeline: str | os.PathLike[str] | LoadedPipeline | Plan,
        sampling: Sampling | None,
        set_params: Overrides | None,
        registry: Registry | None,
        options: RunOptions | None,
    ) -> _Job:
        options = options or RunOptions()
        sampling = sampling or Sampling()
        plan = pipeline if isinstance(pipeline, Plan) else plan_for(pipeline, set_params=set_params, registry=registry)
        registry = plan.registry
        for step in plan.steps:
            registry.require(step.node.plugin_id, step.spec)
        digests = {
            step.node.plugin_id: digest
            for step in plan.steps
            if (digest := registry.plugin(step.node.plugin_id).digest) is not None
        }
        request = make_request(
            plan,
            sampling=sampling.as_json(),
            plugin_digests=digests,
            tags=options.tags,
            format=options.format,
            stream=options.stream,
            decoder=options.decoder,
            strict=options.strict,
        )
        return cls(os.fspath(video), plan, sampling, options, request)

    def identity(self) -> Identity:
        if _URL.match(self.given):
            raise InputError(f"{printable(self.given)}: is a URL; videos are read from files", word="input.not_file")
        try:
            return Identity.of(self.path)
        except FileNotFoundError as error:
            raise InputError(f"{printable(self.path)}: there is no such file", word="input.missing") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"{printable(self.path)}: {reason.lower()}", word="input.unreadable") from error


def _destination(
    output: str | os.PathLike[str] | StraightOutput | None, job: _Job
) -> OutputFile | StraightOutput | None:
    if output is None:
        return None
    job.identity()
    if isinstance(output, StraightOutput):
        if output.is_file(job.path):
            raise OutputError(f"the output is the input {printable(job.path)}", word="output.input")
        return output
    path = Path(output)
    if is_special(path):
        return StraightOutput.open(path)
    file = OutputFile(path)
    file.check_place([job.path])
    return file


def _check_record(path: Path, job: _Job, destination: OutputFile | StraightOutput | None) -> None:
    """Raise `OutputError` if the record could not be written at the end, or would replace the input or the output."""
    if is_special(path):
        return
    place = OutputFile(path)
    place.check_place([job.path])
    if not os.access(place.path.parent, os.W_OK):
        raise OutputError(f"{place.shown}: its folder cannot be written; choose another", word="output.folder")
    if isinstance(destination, OutputFile):
        mine = place.path in (destination.path, destination.part, destination.note)
    else:
        mine = destination is not None and place.path.exists() and destination.is_file(place.path)
    if mine:
        raise OutputError(f"--record {place.shown}: is the output; choose another name", word="output.input")


def _begin(job: _Job, destination: OutputFile) -> RunRecord | None:
    """Apply the output rule; the record of an output that is up to date, else None with the part locked."""
    options = job.options
    while True:
        decision = destination.decide(job.request, job.path, overwrite=options.overwrite, force=options.force)
        if decision.kind == "up_to_date":
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


def _as_of_now(record: RunRecord, options: RunOptions, assertions: list[dict[str, Any]]) -> RunRecord:
    """A finished record as of a run with these options: what damage is accepted, and what is asserted, may have changed."""
    code = _exit_code(record.accounting, options)
    return record.model_copy(update={"exit_code": code, "status": "up_to_date", "assertions": assertions})


def _judged(assertions: Sequence[Assertion], path: Path) -> list[dict[str, Any]]:
    """The outcome of assertions over a finished file."""
    if assertions:
        _feed_lines(assertions, path)
    return _outcomes(assertions)


def _feed_lines(assertions: Sequence[Assertion], path: Path) -> None:
    """Give the lines of a file to assertions; of an unfinished one the whole lines."""
    with open(path, "rb") as file:
        for line in file:
            body = line.removeprefix(b",")
            if body.startswith(b"{") and line.endswith(b"\n") and not body.startswith(b'{"results":['):
                parsed = orjson.loads(body)
                for assertion in assertions:
                    assertion.feed(parsed)


def _outcomes(assertions: Sequence[Assertion]) -> list[dict[str, Any]]:
    outcomes = [assertion.finish() for assertion in assertions]
    return [{"assertion": o.text, "holds": o.holds, "message": o.message} for o in outcomes]


def _exit_code(accounting: Accounting, options: RunOptions) -> int:
    lost = accounting.undecodable * 100 > options.accept_damage_percent * accounting.sampled
    return 4 if accounting.failed or (accounting.undecodable and lost) else 0


class _Execution:
    """A video opened for a job: probe, targets, reader and engine, ready to run once."""

    def __init__(self, job: _Job, destination: OutputFile | StraightOutput | None, *, hashes: bool) -> None:
        self.job = job
        self.destination = destination
        self._hashes = hashes
        self._remarks: list[str] = []
        self._stack = ExitStack()
        self._started = time.perf_counter()

    def __enter__(self) -> _Execution:
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
            window = " in the window asked for" if len(self.probe.index) else ""
            raise InputError(f"{printable(job.path)}: holds no frame{window}", word="input.no_frames")
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
        every = np.arange(len(self.probe.index), dtype=np.int64)
        behind = np.compress(self.targets > self.progress.state_frame, self.targets)
        self.reader: Reader = stack.enter_context(
            open_reader(self.probe, every if options.strict else behind, decoder=options.decoder)
        )
        self._frames = every_frame(self.reader, behind) if options.strict else self.reader
        self._digest: Future[str] | None = None
        if self._hashes:
            pool = ThreadPoolExecutor(1, thread_name_prefix="videodag-digest")
            stack.callback(pool.shutdown, wait=False, cancel_futures=True)
            self._digest = pool.submit(digest_file, job.path)

    def _make_engine(self) -> Engine:
        child = child_context() or ChildContext()
        return Engine(
            self.job.plan,
            self._info,
            workers=self.workers,
            batch_size=self.job.options.batch_size,
            serial=child.serial,
            board=child.board,
            lost={(item.frame_index, item.failure.node): item.failure for item in child.lost},
        )

    @property
    def start(self) -> RunStart:
        choice = self.reader.choice
        return RunStart(self.job.plan, self.probe, choice.name, choice.reason, len(self.targets), self.progress.lines)

    def _continue(self, stack: ExitStack) -> Progress:
        """How far an unfinished output has come; the part is cut there, the tools get their states."""
        progress = Progress()
        if isinstance(self.destination, OutputFile) and self.sink.resumable:
            progress = self.destination.progress()
        elif isinstance(self.destination, StraightOutput):
            progress = (child_context() or ChildContext()).progress
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
            _feed_lines(assertions, destination.part)
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
        code = _exit_code(accounting, options)
        record = RunRecord(
            request=self.job.request,
            input=self._input_facts(),
            accounting=accounting,
            nodes={
                step.id: _timing(self.engine.timings[step.id], stateless=step.spec.stateless)
                for step in self.job.plan.steps
            },
            profile=self._profile(written_s),
            packages=package_versions(self.job.plan),
            workers=self.workers,
            wall_time_s=round(time.perf_counter() - self._started, 3),
            status="incomplete" if code else "done",
            exit_code=code,
            errors=errors,
            problems=[*self.reader.problems, *self._remarks],
            output=destination.facts() if isinstance(destination, OutputFile) else None,
            assertions=_outcomes(assertions),
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
        what = (
            f"frame {result.frame_index} t={result.time_s:.2f}s: node {failure.node!r} ({failure.tool}): "
            f"{failure.type}: {failure.message}"
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
            first_missing_time_s=index.time_s(int(missing[0])) if len(missing) else None,
            missing_ranges=_ranges(missing, self.targets),
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


def _ranges(missing: NDArray[np.int64], targets: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Missing frames as runs of neighbouring targets."""
    if not len(missing):
        return []
    places = np.searchsorted(targets, missing)
    breaks = np.flatnonzero(np.diff(places) != 1)
    starts = np.concatenate([[0], breaks + 1])
    ends = np.concatenate([breaks, [len(missing) - 1]])
    return [(int(missing[a]), int(missing[b])) for a, b in zip(starts, ends, strict=True)][:MAX_RANGES]


__all__ = ["RunOptions", "RunStart", "iter_video", "plan_for", "record_path", "run_video"]
