"""Another param downstream of a detector, with what the first run kept: start-up, decoding and tracking are left."""

from __future__ import annotations

import filecmp

from tests.benchmarks import clips
from tests.benchmarks.contenders import pipeline
from tests.benchmarks.measure import VIDEODAG, Contender, Result, once
from tests.benchmarks.report import Section, Settings, section

LIMIT = 0.1


def measure(settings: Settings) -> list[Section]:
    """Each round has an empty folder for a first run, two runs again, and one without a cache."""
    title = "rerun: people_tracking over pedestrians.mp4, another track.max_age_s"
    settings.say(title)
    clip = str(clips.SAMPLES / "pedestrians.mp4")
    first, base = "first run, --cache", "without --cache"
    names = {
        "again, track.max_age_s=3": ("track.max_age_s=3", base),
        "again, track.appearance=false": ("track.appearance=false", base),
    }
    results = {name: Result(name, None if name == first else first, {}) for name in (first, base, *names)}
    for name in names:
        results[name].limits = {"wall": LIMIT} if "max_age" in name else {}
    for number in range(max(1, settings.rounds // 2)):
        settings.say(f"round {number + 1}")
        folder = settings.scratch / f"round{number}"
        folder.mkdir()

        def run(name: str, *options: str, kept: bool = True) -> str:
            output = str(folder / f"{len(list(folder.iterdir()))}.jsonl")  # noqa: B023
            cache = ["--cache", str(folder / "kept")] if kept else []  # noqa: B023
            command = [VIDEODAG, "run", "-q", "-p", pipeline("people_tracking"), clip, "-o", output, *cache, *options]
            results[name].runs.append(once(Contender(name, command)))
            return output

        run(first)
        plain = run(base, "--set", "track.max_age_s=3", kept=False)
        for name, (changed, _) in names.items():
            again = run(name, "--set", changed)
            if "max_age" in name and not filecmp.cmp(plain, again, shallow=False):
                results[name].wrong = "other bytes than without --cache"
    return [section(title, list(results.values()), settings)]
