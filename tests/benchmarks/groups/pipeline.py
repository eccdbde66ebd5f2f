"""Several nodes: five of OpenCV, two with state that overlap, and a detector with a tracker."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.contenders import loop, videodag
from tests.benchmarks.measure import VIDEODAG, Contender, Result
from tests.benchmarks.measure import measure as run_rounds
from tests.benchmarks.report import Section, Settings, compare, section

STRIDE = 5
WAIT_FRAMES = 200


def measure(settings: Settings) -> Iterator[Section]:
    yield from (part(settings) for part in (_five, _waits, _tracking, _two))


def _five(settings: Settings) -> Section:
    title = f"pipeline: MOG2, DIS flow, sharpness, black, codes at 1080p, 1 in {STRIDE}"
    settings.say(title)
    clip = settings.clip("gop250")
    jpeg, serial, ours = "loop, a JPEG per frame", "serial loop", "videodag run"
    run = videodag(clip, "--frame-stride", str(STRIDE), run="bench_five")
    contenders = [
        Contender(jpeg, loop("five_nodes", clip, STRIDE, "jpeg")),
        Contender(serial, loop("five_nodes", clip, STRIDE, "array"), jpeg),
        Contender(ours, run, jpeg, {"wall": 1 / 2.2, "wall / serial": 1 / 1.3, "wall / (cpu / 2)": 1.15}),
        Contender(f"{ours}, 1 CPU", run, jpeg, cpus=1),
        Contender(f"{serial}, 1 CPU", loop("five_nodes", clip, STRIDE, "array"), jpeg, cpus=1),
    ]
    results = run_rounds(contenders, rounds=settings.rounds, say=settings.say)
    found = {result.name: result for result in results}
    if found[ours].runs and found[serial].runs:
        found[ours].facts = {
            "wall / serial": found[ours].median("wall_s") / found[serial].median("wall_s"),
            **_bound(found[ours], 2),
        }
    return section(title, results, settings)


def _waits(settings: Settings) -> Section:
    """Side by side, two nodes that wait take as long as one."""
    clip = settings.clip("long360")
    one, options = "one node with state, 10 ms", ("--max-frames", str(WAIT_FRAMES))
    contenders = [
        Contender(one, videodag(clip, *options, run="bench_wait")),
        Contender("two of them in parallel branches", videodag(clip, *options, run="bench_waits"), one, {"wall": 1.15}),
    ]
    return compare(f"pipeline: nodes with state overlap, {WAIT_FRAMES} frames", contenders, settings)


def _two(settings: Settings) -> Section:
    """Two pipelines over one decode, and as two runs one after the other."""
    clip = settings.clip("gop250")
    runs = [shlex.join([VIDEODAG, "run", "-q", "-p", name, str(clip)]) for name in ("quality", "scenes")]
    alone, together = "quality, then scenes", "both over one decode"
    outputs = str(settings.scratch / "{pipeline}.jsonl")
    contenders = [
        Contender(alone, ["sh", "-c", " && ".join(runs)]),
        Contender(
            together,
            [VIDEODAG, "run", "-q", "--force", "-p", "quality", "-p", "scenes", str(clip), "-o", outputs],
            alone,
            {"cpu": 0.75},
        ),
    ]
    return compare("pipeline: quality and scenes at 1080p, every frame", contenders, settings)


def _tracking(settings: Settings) -> Section:
    title = f"pipeline: people_tracking at 1080p, 1 in {STRIDE}"
    settings.say(title)
    clip = settings.clip("gop250")
    contenders, records = [], {}
    for cpus in (None, 2, 1):
        if cpus is None or cpus <= len(os.sched_getaffinity(0)):
            name = "videodag run" if cpus is None else f"videodag run, taskset {cpus} CPU{'s' * (cpus > 1)}"
            record = records[name] = settings.scratch / f"tracking_{cpus}.json"
            command = videodag(clip, "--frame-stride", str(STRIDE), "--record", str(record), run="people_tracking")
            base = "videodag run" if cpus is not None else None
            contenders.append(Contender(name, command, base, {"wall / bound": 1.2}, cpus=cpus))
    results = run_rounds(contenders, rounds=settings.rounds, say=settings.say)
    for contender, result in zip(contenders, results, strict=True):
        if result.runs:
            cpus = contender.cpus or len(os.sched_getaffinity(0))
            slowest = _slowest_in_order_s(records[result.name])
            bound = max(result.median("cpu_s") / cpus, slowest)
            result.facts = {"wall / bound": result.median("wall_s") / bound, "slowest in-order stage s": slowest}
    return section(title, results, settings)


def _bound(result: Result, cpus: int) -> dict[str, float]:
    """Wall time to what these CPU seconds would take on CPUs that are always busy."""
    return {f"wall / (cpu / {cpus})": result.median("wall_s") / (result.median("cpu_s") / cpus)}


def _slowest_in_order_s(record: Path) -> float:
    """Seconds in the stateful node that took longest, from the run record."""
    content = json.loads(record.read_text())
    return max(
        float(content["profile"][f"node {name}"]) for name, node in content["nodes"].items() if not node["stateless"]
    )
