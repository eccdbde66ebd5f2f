"""Pipelines of neural networks against a bare loop that runs the same networks on the same parts of the same frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.contenders import loop
from tests.benchmarks.measure import ROOT, VIDEODAG, Contender, Result, once
from tests.benchmarks.measure import measure as run_rounds
from tests.benchmarks.report import Section, Settings, section

CLIP = ROOT / "sample_videos" / "pedestrians.mp4"
FRAMES = 201
STRIDES = {"people": 2, "objects": 1, "faces": 2, "people_pose": 4}
PEOPLE = {"faces": ("objects", "detect.classes=person"), "people_pose": ("people", "people.classes=person")}
"""What finds the people in whose boxes the loop is to look."""
OF_LOOP, ON_TWO = 0.95, 1.9
"""Share of the loop's rate on one CPU, and times its rate on two."""
BARE, ONE, TWO = "bare loop, 1 CPU", "videodag run --workers 1, 1 CPU", "videodag run --workers 2, 2 CPUs"


def measure(settings: Settings) -> Iterator[Section]:
    yield from (_section(pipeline, stride, settings) for pipeline, stride in STRIDES.items())


def _section(pipeline: str, stride: int, settings: Settings) -> Section:
    """Each contender also with one frame: what that takes is starting up, and is no part of the rate."""
    stride *= 20 if settings.quick else 1
    title = f"networks: {pipeline} at 768x576, 1 frame in {stride}; per frame without starting up"
    settings.say(title)
    lines = _people(pipeline, stride, settings)
    limits = {ONE: {"cpu per frame": 1 / OF_LOOP, "wall per frame": 1 / OF_LOOP}, TWO: {"wall per frame": 1 / ON_TWO}}
    contenders = []
    for more, steps in (("", stride), (", one frame", FRAMES)):
        run = [VIDEODAG, "run", "-q", "-p", f"builtin:{pipeline}", "--frame-stride", str(steps), str(CLIP)]
        contenders += [
            Contender(BARE + more, loop("network_loop", CLIP, pipeline, steps, lines), cpus=1),
            Contender(ONE + more, [*run, "--workers", "1"], BARE, limits[ONE] if not more else {}, cpus=1),
            Contender(TWO + more, [*run, "--workers", "2"], BARE, limits[TWO] if not more else {}, cpus=2),
        ]
    results = run_rounds(contenders, rounds=settings.rounds, say=settings.say)
    found = {result.name: result for result in results}
    for name in (ONE, TWO):
        if all(found[each].runs for each in (name, f"{name}, one frame", BARE, f"{BARE}, one frame")):
            found[name].facts = {
                f"{what} per frame": _growth(found, name, f"{what}_s") / _growth(found, BARE, f"{what}_s")
                for what in ("cpu", "wall")
            }
    return section(title, results, settings)


def _growth(found: dict[str, Result], name: str, what: str) -> float:
    """What all frames took beyond the first."""
    return max(found[name].median(what) - found[f"{name}, one frame"].median(what), 1e-3)


def _people(pipeline: str, stride: int, settings: Settings) -> Path:
    """The people in the frames, where the loop looks inside their boxes."""
    lines = settings.scratch / f"{pipeline}.jsonl"
    if pipeline in PEOPLE:
        name, classes = PEOPLE[pipeline]
        options = ["--frame-stride", str(stride), "--set", classes, "-o", str(lines)]
        once(Contender("people", [VIDEODAG, "run", "-q", "-p", f"builtin:{name}", *options, str(CLIP)]))
    return lines
