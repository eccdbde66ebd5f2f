"""What the engine and the JSON of a line cost, measured in a process of its own without any video."""

from __future__ import annotations

import json
import statistics

from tests.benchmarks.contenders import HERE, output_of
from tests.benchmarks.measure import PYTHON
from tests.benchmarks.report import Section, Settings
from tests.benchmarks.table import aligned

LIMIT_US = 50.0
FRAMES = 20_000


def measure(settings: Settings) -> list[Section]:
    title = "engine: five nodes that do nothing, and their line of JSON; microseconds per frame"
    settings.say(title)
    script = [PYTHON, str(HERE / "loops" / "engine_loop.py"), str(FRAMES // (10 if settings.quick else 1))]
    rounds = [json.loads(output_of(script)) for _ in range(settings.rounds)]
    rows: list[tuple[str, ...]] = [("how", "median us", "best us", "cpu us", "asked for")]
    missed = []
    for how in rounds[0]:
        walls, cpus = ([one[how][what] for one in rounds] for what in ("wall_us", "cpu_us"))
        wall = statistics.median(walls)
        asked = ""
        if how == "videodag run" and not settings.quick:
            kept = wall <= LIMIT_US
            asked = f"<= {LIMIT_US:g} us: {'kept' if kept else 'MISSED'}"
            missed += [f"{title}: {asked}"] * (not kept)
        rows.append((how, f"{wall:.1f}", f"{min(walls):.1f}", f"{statistics.median(cpus):.1f}", asked))
    return [Section(title, "\n".join([title, "", *aligned(rows)]), rounds, missed)]
