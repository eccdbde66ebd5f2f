"""What one call of each built-in tool costs at 1080p."""

from __future__ import annotations

import json
import statistics

from tests.benchmarks.contenders import loop, output_of
from tests.benchmarks.report import Section, Settings
from tests.benchmarks.table import aligned


def measure(settings: Settings) -> list[Section]:
    title = "tools: CPU milliseconds per call at 1080p, each on a fresh frame"
    settings.say(title)
    clip = settings.clip("gop250")
    rounds = [json.loads(output_of(loop("tool_calls", clip))) for _ in range(2 if settings.quick else 3)]
    rows: list[tuple[str, ...]] = [("tool", "median ms", "best ms", "given")]
    for name, first in rounds[0].items():
        times = [ms for one in rounds for ms in one[name]["ms"]]
        rows.append((name, f"{statistics.median(times):.3f}", f"{min(times):.3f}", first["given"]))
    return [Section(title, "\n".join([title, "", *aligned(rows)]), rounds)]
