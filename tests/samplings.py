"""Any two samplings of a file agree: a frame that both have is the same, or neither of them calls itself good."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from videodag_cli.video.opening import open_reader
from videodag_cli.video.source import Probe


@dataclass(frozen=True)
class Outcome:
    name: str
    targets: tuple[int, ...]
    pictures: dict[int, str]
    """By frame index; a frame that is not there could not be decoded."""
    good: bool
    """The run would end with exit code 0."""


def sampled(found: Probe, name: str, targets: Sequence[int], **options: Any) -> Outcome:
    with open_reader(found, np.array(targets, np.int64), **options) as reader:
        pictures = {frame.index: hashlib.md5(frame.image.tobytes()).hexdigest() for frame in reader}
        good = len(reader.undecodable) == 0 and not reader.problems
    return Outcome(name, tuple(targets), pictures, good)


def some(found: Probe, chance: random.Random, count: int) -> list[Outcome]:
    """The whole, by one thread and by many, and so many other samplings."""
    frames = len(found.index)
    keyframes = np.flatnonzero(found.index.keyframe).tolist()
    made = [sampled(found, "all", range(frames)), sampled(found, "all, one thread", range(frames), threads=1)]
    for _ in range(count):
        threads = chance.choice([None, 1, 2, 5])
        kind = chance.choice(["stride", "window", "strided window", "keyframes", "one", "any"])
        start, end = sorted(chance.sample(range(frames + 1), 2))
        step = chance.choice([2, 3, 5, 7, 13])
        targets = {
            "stride": range(0, frames, step),
            "window": range(start, end),
            "strided window": [i for i in range(start, end) if i % step == 0],
            "keyframes": keyframes,
            "one": [start],
            "any": sorted(chance.sample(range(frames), min(frames, 1 + step))),
        }[kind]
        made.append(
            sampled(found, f"{kind} {list(targets)[:3]}..{end}/{step}, threads {threads}", targets, threads=threads)
        )
    return made


def disagreements(outcomes: Sequence[Outcome], *, losses: bool = True) -> list[str]:
    """What contradicts between any two; nothing where all is well.

    losses: a frame that only one of them could decode counts too. It may be so where a damaged picture, to which no other refers,
    spoils the decoder for what follows: a sampling that leaves it out decodes the rest.
    """
    found = []
    for number, one in enumerate(outcomes):
        for other in outcomes[:number]:
            if not (one.good or other.good):
                continue
            common = set(one.targets) & set(other.targets)
            if not losses:
                common &= set(one.pictures) & set(other.pictures)
            differing = sorted(i for i in common if one.pictures.get(i) != other.pictures.get(i))
            if differing:
                words = ["good" if run.good else "not good" for run in (one, other)]
                found.append(f"{one.name} ({words[0]}) and {other.name} ({words[1]}): frames {differing[:5]}")
    return found


def broken_off(found: Probe, chance: random.Random, count: int) -> list[str]:
    """Runs that are continued after so many frames end in what an undisturbed one ends in."""
    frames = len(found.index)
    wrong = []
    for _ in range(count):
        targets = range(0, frames, chance.choice([1, 2, 3, 7]))
        whole = sampled(found, "undisturbed", targets)
        after = chance.choice([-1, *targets])
        rest = sampled(found, f"after {after}", targets, after=after)
        expected = {index: picture for index, picture in whole.pictures.items() if index > after}
        if rest.pictures != expected:
            differing = sorted(i for i in expected | rest.pictures if expected.get(i) != rest.pictures.get(i))
            wrong.append(f"continued after {after} of {targets}: frames {differing[:5]}")
    return wrong
