"""Decoding everything, to tell the whole truth about a file."""

from __future__ import annotations

import numpy as np

from videodag_cli.video.facts import FullFacts
from videodag_cli.video.index_ranges import index_ranges
from videodag_cli.video.opening import open_reader
from videodag_cli.video.source import Probe


def decode_everything(probe: Probe) -> FullFacts:
    """Decode every frame of a video and say which ones could not be decoded correctly."""
    decoded = 0
    with open_reader(probe, np.arange(len(probe.index))) as reader:
        for _ in reader:
            decoded += 1
        missing = reader.undecodable
    return FullFacts(
        decoded=decoded,
        undecodable=len(missing),
        undecodable_ranges=index_ranges(missing),
        first_undecodable_time_s=probe.index.time_s(int(missing[0])) if len(missing) else None,
        after_damage=reader.after_damage_count,
        problems=list(reader.problems),
        remarks=list(reader.remarks),
    )
