"""What a run will cost, found by running part of it: the same reader and the same nodes, over a few stretches of its frames.

Time is extrapolated from the moments at which results come out one after the other, because what works side by side and what waits for
what shows only there.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from videodag_cli.data import Frame
from videodag_cli.engine.timings import Timings
from videodag_cli.graph.plan import Step
from videodag_cli.run.job import Continuation, Job, default_workers
from videodag_cli.run.opened import Checked, Prepared
from videodag_cli.run.record import package_versions
from videodag_cli.system.memory import available_mb, give_back, peak_bytes

FRAMES = 72
"""Sampled frames that are run."""
STRETCHES = 3
WHOLE_S = 6.0
"""A video that is run in about this time is run as a whole: pictures come out of a decoder in bursts, which blur short stretches."""
TIMED_S = 2.0
"""A stretch is long enough to take about this long."""
STRETCH_S = 12.0
"""A stretch ends early after this long, once enough has come out."""
LEAST = 8
"""Results that a rate is taken from, at least, where there are so many."""
BEHIND = 16
"""Frames that are read behind those that are timed: without them decoding would be over before the last ones are."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class NodeCost(_Model):
    node: str
    tool: str
    ms: float = Field(description="Milliseconds of a call for one frame, while everything else is running")
    in_order: bool = Field(description="It sees the frames one after the other; others work on several at once")


class RunCosts(_Model):
    """What `videodag plan --json` prints."""

    pipeline: str
    video: str
    sampled: int = Field(description="Frames that the run will work on")
    tried: int = Field(description="Frames that were run to find this out, spread over the video")
    failed: int = Field(description="Frames among these on which a node failed")
    undecodable: int = Field(description="Frames among these that could not be decoded")
    decoder: str
    workers: int = Field(description="Frames worked on at once")
    startup_s: float = Field(
        description="Seconds until the first frame is read: loading, the packet index, opening models"
    )
    decode_ms: float = Field(
        description="Milliseconds of decoding and conversion for a sampled frame, in the reader's thread"
    )
    nodes: list[NodeCost]
    frame_ms: float = Field(description="Milliseconds from one result to the next, everything side by side")
    bottleneck: str = Field(description="decode, or the node that holds everything up; startup where nothing does")
    expected_s: float
    expected_memory_mb: float = Field(description="Largest resident memory of the process")
    command: list[str] = Field(description="The command line that is recommended")
    jobs: int = Field(description="What --jobs is recommended to be for many such videos")


def run_costs(job: Job, *, frames: int = FRAMES, began_s: float | None = None) -> RunCosts:
    """Run some of a job's frames and extrapolate; nothing is written. Raises what the run would raise.

    began_s: when the process began, by `time.perf_counter`; None: when this is called.
    """
    began_s = time.perf_counter() if began_s is None else began_s
    checked = Checked.of(job)
    count = len(checked.targets)
    behind = BEHIND + max(_lookahead(step) for step in job.plan.steps)
    trials = [_Trial(job, checked, *next(stretches(checked.targets, frames, behind=behind)))]
    first = trials[0]
    startup_s = first.ready_s - began_s
    if first.timed < count:
        pace_s = first.run_s / max(1, first.read)
        wanted = count if count * pace_s <= WHOLE_S else max(frames, math.ceil(STRETCHES * TIMED_S / max(pace_s, 1e-6)))
        trials = [_Trial(job, checked, *stretch) for stretch in stretches(checked.targets, wanted, behind=behind)]
    whole = trials[0] if trials[0].timed == count == trials[0].out + trials[0].undecodable else None
    package_versions(job.plan)  # as a run does at its end
    closing_s = first.closing_s
    decode_s = sum(trial.decode_s for trial in trials) / max(1, sum(trial.decoded for trial in trials))
    nodes = [
        NodeCost(
            node=step.id,
            tool=step.tool_name,
            ms=round(_mean_ms([trial.timings[step.id] for trial in trials]), 4),
            in_order=not step.spec.stateless,
        )
        for step in job.plan.steps
    ]
    workers = first.workers
    busy = {"decode": decode_s * 1000}
    busy.update({f"node {node.node}": node.ms / (1 if node.in_order else workers) for node in nodes})
    slowest = max(busy, key=lambda name: busy[name])
    steady = [trial.frame_s for trial in trials]
    frame_s = max(sum(steady) / len(steady), busy[slowest] / 1000)  # nothing is faster than its slowest part
    if whole is not None:
        frame_s = whole.run_s / count
    expected_s = startup_s + (count * frame_s if whole else trials[0].first_s + (count - 1) * frame_s) + closing_s
    bottleneck = slowest if count * frame_s > startup_s else "startup"
    memory_mb = peak_bytes() / (1 << 20)
    return RunCosts(
        pipeline=job.plan.pipeline.id,
        video=checked.probe.shown,
        sampled=count,
        tried=sum(trial.out for trial in trials),
        failed=sum(trial.failed for trial in trials),
        undecodable=sum(trial.undecodable for trial in trials),
        decoder=first.decoder,
        workers=workers,
        startup_s=round(startup_s, 3),
        decode_ms=round(decode_s * 1000, 4),
        nodes=nodes,
        frame_ms=round(frame_s * 1000, 4),
        bottleneck=bottleneck,
        expected_s=round(expected_s, 2),
        expected_memory_mb=round(memory_mb),
        command=["videodag", "run", *recommended_options(nodes, decode_s * 1000)],
        jobs=max(1, min(default_workers(), int(available_mb() / max(1.0, 1.2 * memory_mb)))),
    )


def _lookahead(step: Step) -> int:
    """Frames behind one that has to be read before there is a result for it."""
    found = getattr(step.spec.target, "lookahead", 0)
    return found if isinstance(found, int) else 0


def stretches(targets: NDArray[np.int64], frames: int, *, behind: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Sampled frames that follow each other, and how many of them are timed; all of them where there are no more."""
    count = len(targets)
    if count <= frames + behind:
        yield targets, count
        return
    length = max(LEAST, frames // STRETCHES)
    for number in range(STRETCHES):
        begin = int((count - length) * (2 * number + 1) / (2 * STRETCHES))
        yield targets[begin : begin + length + behind], length


class _Trial:
    """One stretch of frames, run as the whole would be."""

    def __init__(self, job: Job, checked: Checked, stretch: NDArray[np.int64], timed: int) -> None:
        self.timed = timed
        self.failed = 0
        moments: list[float] = []
        with ExitStack() as stack:
            prepared = Prepared.of(job, None, replace(checked, targets=stretch), stack, Continuation())
            reader, found = prepared.read(stack, needs_pixels=True)
            give_back()
            self.ready_s = time.perf_counter()
            before_first_s = 0.0
            self.read = 0

            def counted() -> Iterator[Frame]:
                nonlocal before_first_s
                for frame in found:
                    if not self.read:
                        before_first_s = reader.decode_s + reader.convert_s
                    self.read += 1
                    yield frame

            with closing(prepared.engine.run(counted())) as results:
                for result in itertools.islice(results, timed):
                    moments.append(time.perf_counter())
                    self.failed += result.failure is not None
                    if moments[-1] - self.ready_s > STRETCH_S and len(moments) >= LEAST:
                        break
                if len(stretch) == timed == len(moments):
                    next(results, None)
            self.run_s = time.perf_counter() - self.ready_s
            self.timings: dict[str, Timings] = prepared.engine.timings
            self.workers = prepared.workers
            self.decoder = reader.choice.name
            self.decode_s = reader.decode_s + reader.convert_s
            self.first_s = (moments[0] if moments else time.perf_counter()) - self.ready_s
            self.decoded = self.read
            if self.read > 1:  # a whole run has no pictures before its first one that are decoded for it alone
                self.decode_s -= before_first_s
                self.decoded -= 1
                self.first_s = max(0.0, self.first_s - before_first_s) + self.decode_s / self.decoded
            self.undecodable = len(reader.undecodable)
            left_s = time.perf_counter()
        self.closing_s = time.perf_counter() - left_s
        self.out = len(moments)
        self.frame_s = seconds_each(moments)


def seconds_each(moments: list[float]) -> float:
    """Seconds from one result to the next, by least squares: results come in bursts. The first ones come while everything fills up."""
    steady = np.asarray(moments[min(len(moments) // 4, 8) :])
    if len(steady) < 2:
        return 0.0
    return max(0.0, float(np.polyfit(np.arange(len(steady)), steady, 1)[0]))


def _mean_ms(timings: list[Timings]) -> float:
    calls = sum(timing.count for timing in timings)
    return sum(timing.total_ns for timing in timings) / calls / 1e6 if calls else 0.0


def recommended_options(nodes: list[NodeCost], decode_ms: float) -> list[str]:
    """`--workers` where fewer frames at once are as fast, because something else is slower, or more would be faster."""
    cpus = default_workers()
    side_by_side = sum(node.ms for node in nodes if not node.in_order)
    slowest = max([decode_ms, *(node.ms for node in nodes if node.in_order), side_by_side / cpus, 1e-6])
    enough = max(1, min(cpus, math.ceil(side_by_side / slowest)))
    return [] if enough == cpus else ["--workers", str(enough)]
