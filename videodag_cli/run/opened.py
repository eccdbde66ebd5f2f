"""A video opened for a job: probe, targets, reader, engine and sink, and how far an unfinished output has come."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from videodag_cli.data import Frame
from videodag_cli.engine.engine import Engine
from videodag_cli.errors import InputError, printable
from videodag_cli.graph.plan import Plan
from videodag_cli.run.job import Continuation, Job, default_workers
from videodag_cli.run.keeping import Keeping
from videodag_cli.run.output import OutputFile
from videodag_cli.run.part import PartProgress
from videodag_cli.run.record import Identity, digest_file
from videodag_cli.run.sinks import Sink, make_sink
from videodag_cli.run.stamps import Stamps
from videodag_cli.run.strict import every_frame
from videodag_cli.system.memory import give_back
from videodag_cli.system.straight import StraightOutput
from videodag_cli.video.opening import open_reader
from videodag_cli.video.probing import probe
from videodag_cli.video.reader import Reader
from videodag_cli.video.sampling import Sampling, select
from videodag_cli.video.source import Probe

Destination = OutputFile | StraightOutput | None
CpuShare = Callable[[], int]
"""How many CPUs a run may use now, of those that it shares with others; never fewer than before."""
LEAST_LANES = 2
"""Of a run that has one CPU of several: they cost no more than the threads of one decoder, and help when the other CPUs are free."""


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
class Opened:
    """What a run works with."""

    job: Job
    destination: Destination
    identity: Identity
    """Of the input, before anything was read."""
    probe: Probe
    targets: NDArray[np.int64]
    stamps: Stamps
    """What lines say of their moment beside its time."""
    engine: Engine
    sink: Sink
    progress: PartProgress
    """What is written already; the part is cut there, and the tools are in its state."""
    reader: Reader
    frames: Iterable[Frame]
    """Those the tools have yet to see."""
    workers: int
    digest: Future[str] | None
    """Of the input, while it is computed; None where nobody wants it."""
    started: float
    """When opening began, by `time.perf_counter`."""
    keeping: Keeping | None = None
    """Results that are kept from run to run."""
    remarks: list[str] = field(default_factory=list)

    @property
    def keeps_states(self) -> bool:
        """Whether states of tools can be kept beside the part."""
        return (
            isinstance(self.destination, OutputFile)
            and self.sink.resumable
            and not self.engine.is_stateless
            and self.engine.has_checkpoints
        )

    @property
    def start(self) -> RunStart:
        choice = self.reader.choice
        return RunStart(self.job.plan, self.probe, choice.name, choice.reason, len(self.targets), self.progress.lines)


@dataclass(frozen=True)
class Checked:
    """The input of a job, found fit to be read."""

    identity: Identity
    probe: Probe
    targets: NDArray[np.int64]
    stamps: Stamps
    started: float
    keeping: Keeping | None

    @classmethod
    def of(cls, job: Job) -> Checked:
        """Look at the video. Raises `InputError` where it cannot be used or holds none of the frames asked for."""
        started = time.perf_counter()
        identity = job.identity()
        found = probe(job.path, stream=job.options.stream, limits=job.options.limits)
        targets = select(found.index, job.sampling)
        if not len(targets):
            raise InputError(f"{printable(job.path)}: {_nothing_sampled(job.sampling)}", word="input.no_frames")
        stamps = Stamps.of(job.request.clock, found, timecode=job.request.timecode)
        return cls(identity, found, targets, stamps, started, Keeping.of(job, identity, found, targets))


@dataclass(frozen=True)
class Prepared:
    """A job's tools and its output, ready for frames."""

    job: Job
    destination: Destination
    checked: Checked
    engine: Engine
    sink: Sink
    progress: PartProgress
    workers: int
    lanes: int
    remarks: list[str]

    @classmethod
    def of(
        cls,
        job: Job,
        destination: Destination,
        checked: Checked,
        stack: ExitStack,
        continuation: Continuation,
        share: CpuShare | None = None,
    ) -> Prepared:
        """Make the tools, and cut an unfinished output where it can be continued."""
        options = job.options
        _limit_opencv_threads()
        if options.workers is not None:
            share = None
        workers = options.workers or (default_workers() if share is None else share())

        def make_engine() -> Engine:
            engine = Engine(
                job.plan,
                replace(checked.probe.info, sampled_count=len(checked.targets)),
                workers=workers,
                share=share,
                batch_size=options.batch_size,
                serial=continuation.serial,
                calls=continuation.calls,
                lost=continuation.lost,
                kept=None if checked.keeping is None else checked.keeping.results,
            )
            return stack.enter_context(engine)

        engine = make_engine()
        sink = make_sink(options.format, tags=options.tags)
        progress = _written(destination, sink, continuation)
        remarks: list[str] = []
        if engine.is_stateless:
            progress = replace(progress, state_frame=progress.last_frame, states=None)
        elif progress.states is None:
            progress = replace(progress, state_frame=-1)
        else:
            try:
                engine.restore(dict(progress.states))
            except Exception as error:  # an author's code
                remarks.append(f"a kept state could not be restored, so the frames were run again: {printable(error)}")
                engine = make_engine()
                progress = replace(progress, state_frame=-1, states=None)
        if isinstance(destination, OutputFile):
            destination.resume_at(progress)
        lanes = workers if options.workers is not None else max(workers, min(LEAST_LANES, default_workers()))
        return cls(job, destination, checked, engine, sink, progress, workers, lanes, remarks)

    def read(self, stack: ExitStack, *, needs_pixels: bool) -> tuple[Reader, Iterable[Frame]]:
        """A reader, and the frames that the tools have yet to see; without `needs_pixels` those may come without their pictures."""
        options, checked, after = self.job.options, self.checked, self.progress.state_frame
        keeping = checked.keeping
        if keeping is not None and not needs_pixels and not options.strict:
            unread = keeping.unread(checked.probe, checked.targets, decoder=options.decoder, after=after)
            if unread is not None:
                return unread, unread
        reader, frames = self._decode(stack, after)
        if keeping is not None:
            keeping.watch(self.job, checked.identity, reader)
        return reader, frames

    def _decode(self, stack: ExitStack, after: int) -> tuple[Reader, Iterable[Frame]]:
        options, checked = self.job.options, self.checked
        if not options.strict:
            reader = open_reader(checked.probe, checked.targets, decoder=options.decoder, after=after, lanes=self.lanes)
            return stack.enter_context(reader), reader
        reader = stack.enter_context(
            open_reader(checked.probe, np.arange(len(checked.probe.index)), decoder=options.decoder)
        )
        return reader, every_frame(reader, np.compress(checked.targets > after, checked.targets))

    def reading(self, reader: Reader, frames: Iterable[Frame], digest: Future[str] | None) -> Opened:
        """The same with frames."""
        return Opened(
            job=self.job,
            destination=self.destination,
            identity=self.checked.identity,
            probe=self.checked.probe,
            targets=self.checked.targets,
            stamps=self.checked.stamps,
            engine=self.engine,
            sink=self.sink,
            progress=self.progress,
            reader=reader,
            frames=frames,
            workers=self.workers,
            digest=digest,
            started=self.checked.started,
            keeping=self.checked.keeping,
            remarks=self.remarks,
        )


@contextmanager
def opened_video(
    job: Job, destination: Destination, *, hashes: bool, continuation: Continuation | None = None
) -> Iterator[Opened]:
    """Open the video of a job and make its tools; on exit everything is closed.

    hashes: compute the digest of the input on the way.
    """
    with ExitStack() as stack:
        checked = Checked.of(job)
        prepared = Prepared.of(job, destination, checked, stack, continuation or Continuation())
        reader, frames = prepared.read(stack, needs_pixels=prepared.engine.needs_pixels)
        give_back()
        yield prepared.reading(reader, frames, start_digest(job, checked, stack) if hashes else None)


def start_digest(job: Job, checked: Checked, stack: ExitStack) -> Future[str]:
    """The digest of the input, computed beside decoding unless it is known."""
    if checked.keeping is not None:
        known: Future[str] = Future()
        known.set_result(checked.keeping.digest)
        return known
    pool = ThreadPoolExecutor(1, thread_name_prefix="videodag-digest")
    stack.callback(pool.shutdown, wait=False, cancel_futures=True)
    return pool.submit(digest_file, job.path)


def _written(destination: Destination, sink: Sink, continuation: Continuation) -> PartProgress:
    """How far an unfinished output has come."""
    if isinstance(destination, OutputFile):
        return destination.progress(sink) if sink.resumable else PartProgress()
    return PartProgress() if destination is None else continuation.progress


def _nothing_sampled(sampling: Sampling) -> str:
    if sampling.start is not None or sampling.end is not None:
        return "has no frame in the requested window"
    return "shows no keyframe; sample it otherwise" if sampling.keyframes else "holds no frame"


def _limit_opencv_threads() -> None:
    """Frames are worked on side by side, so OpenCV's own threads would only compete."""
    cv2 = sys.modules.get("cv2")
    if cv2 is not None:
        cv2.setNumThreads(1)
    else:
        os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
