"""Peak memory of every shipped pipeline on videos of growing length: packets of the same minute, repeated."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks import clips
from tests.benchmarks.contenders import videodag
from tests.benchmarks.measure import ROOT, Contender, FailedRunError, Result, once
from tests.benchmarks.report import Section, Settings, section

LENGTHS = ("30s", "1min", "5min", "10min", "20min")
GROWTH = {("1min", "20min"): 1.05, ("30s", "10min"): 1.10}
STRIDE = 30


def measure(settings: Settings) -> Iterator[Section]:
    names = sorted(path.stem for path in (ROOT / "pipelines").glob("*.json"))
    if settings.quick:
        names = names[:2]
    yield from (_pipeline(name, settings) for name in names)


def _pipeline(name: str, settings: Settings) -> Section:
    """One run each: memory hardly depends on what else the machine does."""
    lengths = LENGTHS[:3] if settings.quick else LENGTHS
    results: list[Result] = []
    title = f"memory: {name}, 1 in {STRIDE} of 360p"
    settings.say(title)
    for length in lengths:
        clip = clips.clip(f"long360_{length}")
        base = lengths[0] if length != lengths[0] else None
        result = Result(length, base, {})
        results.append(result)
        try:
            result.runs.append(once(Contender(length, videodag(clip, "--frame-stride", str(STRIDE), run=name))))
        except FailedRunError as error:
            result.wrong = str(error)
    by_length = {result.name: result for result in results if result.runs}
    for (short, long), limit in GROWTH.items():
        if short in by_length and long in by_length:
            grown = f"memory / {short}"
            by_length[long].facts[grown] = by_length[long].median("peak_mb") / by_length[short].median("peak_mb")
            by_length[long].limits = {**by_length[long].limits, grown: limit}
    return section(title, results, settings)
