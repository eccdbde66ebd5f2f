"""Pipelines changed at random over one cache: each result has the bytes and the record of a run without."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from tests.cached_runs import FRAMES, plugin, random_pipeline, run
from tests.clips import encode
from tests.soak.table import Tally
from videodag_cli.video.sampling import Sampling


def cache_edits(folder: Path, *, count: int, seed: int, deadline_s: float) -> Tally:
    """Random pipelines, params, samplings and ways to run, one after the other."""
    place = folder / "cache-edits"
    place.mkdir()
    clip = encode(place / "clip.mp4", indices=range(FRAMES), options={"g": "4"})
    tools = plugin(place / "tools")
    tally = Tally("Runs with and without a cache, after random edits of the pipeline")
    rng = random.Random(seed)
    until = time.monotonic() + deadline_s
    for number in range(count):
        if time.monotonic() > until:
            break
        nodes, edges, outputs = random_pipeline(rng)
        options: dict[str, Any] = {
            "outputs": outputs,
            "sampling": rng.choice([None, None, Sampling(stride=3), Sampling(max_frames=10)]),
            "workers": rng.choice([1, 3]),
            "batch_size": rng.choice([None, 2]),
        }
        plain, expected = run(clip, place, tools, nodes, edges, **options)
        kept, record = run(clip, place, tools, nodes, edges, cache=place / "c", **options)
        same = (kept, record.accounting, record.errors, record.problems) == (
            plain,
            expected.accounting,
            expected.errors,
            expected.problems,
        )
        tally.add("edits", "runs")
        tally.require("edits", same, f"run {number} of seed {seed} differs: {nodes}, {edges}, {outputs}")
        tally.counts["edits"]["recalled frames"] += sum(record.recalled.values())
    return tally
