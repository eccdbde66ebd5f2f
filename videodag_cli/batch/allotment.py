"""How the machine is shared among the videos of a batch: so many at once, and so many frames at once of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from videodag_cli.errors import VideodagError
from videodag_cli.graph.plan import Plan
from videodag_cli.system.byte_counts import shown_size
from videodag_cli.video.limits import Limits

BASE_BYTES = 350 << 20
"""A process with its decoder, and a small network or two."""
BYTES_PER_PIXEL = 100
"""What frames on their way through decoder, tools and back take: 50 to 75 with the shipped pipelines, more with those for text."""
ASSUMED_PIXELS = 3840 * 2160
LOOKED_AT = 8
"""So many videos are opened to see their size, the largest files first, where memory is short."""
MEMORY_SHARE = 0.8
"""Of the memory that is free; the rest is left to others, and to the cache of the files."""
JOBS_ON_ONE_DEVICE = 2
"""Processes that keep a graphics card busy: each has the networks in its memory."""


@dataclass(frozen=True)
class Allotment:
    jobs: int
    """Videos at once."""
    workers: int | None
    """Frames that each works on at once, while so many videos run; None: decided where they run."""
    reason: str
    """What that comes from, in a few words."""


def allot(
    count: int,
    *,
    cpus: int,
    memory_bytes: int | None,
    each_bytes: int,
    on_device: bool = False,
    jobs: int | None = None,
    workers: int | None = None,
) -> Allotment:
    """Decide for so many videos. jobs and workers: what the user says. each_bytes: memory that one video is expected to take."""
    told = [f"{cpus} CPU{'s' * (cpus != 1)}"]
    if jobs is None:
        jobs = max(1, min(cpus, count))
        if on_device and jobs > JOBS_ON_ONE_DEVICE:
            jobs = JOBS_ON_ONE_DEVICE
            told.append("networks on one device")
        if memory_bytes is not None:
            room = max(1, int(memory_bytes * MEMORY_SHARE) // max(1, each_bytes))
            if room < jobs:
                jobs = room
                told.append(
                    f"{shown_size(memory_bytes)} of memory are free, and a video takes about {shown_size(each_bytes)}"
                )
    return Allotment(jobs, workers or share_of(cpus, min(jobs, count)), "; ".join(told))


def share_of(cpus: int, running: int) -> int:
    """CPUs of each of so many videos: rather one too many than one that has nothing to do."""
    return -(-cpus // max(1, running))


def expected_bytes(pixels: int = ASSUMED_PIXELS) -> int:
    """Memory that a video of this size is expected to take, where no earlier batch has seen it."""
    return BASE_BYTES + BYTES_PER_PIXEL * pixels


def most_pixels(paths: Sequence[str], *, stream: int | None, limits: Limits) -> int:
    """The size of the largest of the first videos; those that cannot be opened take no memory."""
    from videodag_cli.video.probing import probe  # loads a decoder

    found = 0
    for path in paths[:LOOKED_AT]:
        try:
            width, height = probe(path, stream=stream, limits=limits).stored_size
        except VideodagError:
            continue
        found = max(found, width * height)
    return found


def is_on_device(plan: Plan) -> bool:
    """Whether a node of the plan is told to run on something else than the CPU."""
    return any(step.params.get("device") not in (None, "auto", "cpu") for step in plan.steps)
