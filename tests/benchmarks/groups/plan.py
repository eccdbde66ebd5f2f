"""What `videodag plan` expects, next to what the run then takes; in turn, so that what disturbs the machine disturbs both."""

from __future__ import annotations

import json
import statistics
import subprocess
from pathlib import Path

from tests.benchmarks import clips
from tests.benchmarks.contenders import pipeline
from tests.benchmarks.measure import ROOT, VIDEODAG, Contender, FailedRunError, once
from tests.benchmarks.report import Section, Settings
from tests.benchmarks.table import aligned

PAIRS = (
    ("people_tracking", "pedestrians", ()),
    ("faces", "pedestrians", ("--frame-stride", "4")),
    ("inspect", "bigbuckbunny", ()),
    ("quality", "minute720", ()),
    ("scenes", "hevc720", ()),
    ("vehicles", "gop30", ("--every", "0.5")),
)
WITHIN = 0.25
HEAD = ("pipeline, clip", "expected s", "real s", "expected / real", "expected MB", "real MB", "asked for")


def measure(settings: Settings) -> list[Section]:
    title = "plan: expected and real time of a run"
    settings.say(title)
    rows, data, missed = [], [], []
    for name, source, options in PAIRS[:2] if settings.quick else PAIRS:
        clip = clips.SAMPLES / f"{source}.mp4" if (clips.SAMPLES / f"{source}.mp4").exists() else settings.clip(source)
        asked = ["-p", pipeline(name), *options, str(clip)]
        expected, real = [], []
        for number in range(max(1, settings.rounds // 2)):
            settings.say(f"{name}, {source}: round {number + 1}")
            expected.append(_expected(asked))
            output = settings.scratch / f"{name}-{number}.jsonl"
            real.append(once(Contender(name, [VIDEODAG, "run", "-q", *asked, "-o", str(output)])))
        seconds = statistics.median(e["expected_s"] for e in expected), statistics.median(r.wall_s for r in real)
        memory = (
            statistics.median(e["expected_memory_mb"] for e in expected),
            statistics.median(r.peak_mb for r in real),
        )
        ratio = seconds[0] / seconds[1]
        kept = abs(ratio - 1) <= WITHIN
        what = f"{name}, {source}"
        if not kept and not settings.quick:
            missed.append(f"{title}: {what}: expected / real = {ratio:.2f}")
        verdict = f"within {WITHIN:.0%}: {'kept' if kept else 'MISSED'}"
        numbers = (f"{seconds[0]:.2f}", f"{seconds[1]:.2f}", f"{ratio:.2f}", f"{memory[0]:.0f}", f"{memory[1]:.0f}")
        rows.append((what, *numbers, verdict))
        data.append({"name": what, "expected": expected, "real_s": [r.wall_s for r in real], "ratio": ratio})
    return [Section(title, "\n".join([title, "", *aligned([HEAD, *rows])]), data, missed)]


def _expected(asked: list[str]) -> dict[str, float]:
    done = subprocess.run([VIDEODAG, "plan", "--json", *asked], capture_output=True, cwd=Path(ROOT), check=False)
    if done.returncode:
        raise FailedRunError(f"plan: exit code {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found
