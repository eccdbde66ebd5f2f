"""Decoding everything, to tell the whole truth about a file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from videodag_cli.video.facts import FullFacts
from videodag_cli.video.probing import Probe
from videodag_cli.video.reader import open_reader

MAX_RANGES = 100


def decode_everything(probe: Probe) -> FullFacts:
    """Decode every frame of a video and say which ones could not be decoded right."""
    decoded = 0
    with open_reader(probe, np.arange(len(probe.index))) as reader:
        for _ in reader:
            decoded += 1
        missing = reader.undecodable
    return FullFacts(
        decoded=decoded,
        undecodable=len(missing),
        undecodable_ranges=ranges(missing)[:MAX_RANGES],
        first_undecodable_time_s=probe.index.time_s(int(missing[0])) if len(missing) else None,
        after_damage=reader.after_damage_count,
        problems=list(reader.problems),
    )


def ranges(indices: NDArray[np.int64]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive numbers in an ascending array."""
    if len(indices) == 0:
        return []
    breaks = np.flatnonzero(np.diff(indices) > 1)
    firsts = indices[np.concatenate(([0], breaks + 1))]
    lasts = indices[np.concatenate((breaks, [len(indices) - 1]))]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))
