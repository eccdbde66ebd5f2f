"""Microseconds per frame of the engine with five trivial nodes and of their lines, as JSON: `engine_loop.py FRAMES`."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from videodag_cli import Frame, VideoInfo
from videodag_cli.engine.engine import Engine
from videodag_cli.graph.plugins import Registry
from videodag_cli.run.job import plan_for
from videodag_cli.run.sinks import make_sink

HERE = Path(__file__).parents[1]
count = int(sys.argv[1])
plan = plan_for(str(HERE / "pipelines" / "bench_trivial.json"), registry=Registry([HERE / "plugins"]))
image = np.zeros((36, 64, 3), np.uint8)


def frames() -> Iterator[Frame]:
    return (Frame(image, index, index / 30) for index in range(count))


def with_engine(*, serial: bool, workers: int = 2) -> None:
    sink = make_sink("jsonl", tags={})
    with Engine(plan, VideoInfo(64, 36), workers=workers, serial=serial) as engine:
        for result in engine.run(frames()):
            os.write(devnull, sink.frame(result, first=False))


def frames_alone() -> None:
    for _ in frames():
        pass


devnull = os.open(os.devnull, os.O_WRONLY)
cases: dict[str, Callable[[], None]] = {
    "videodag run": lambda: with_engine(serial=False),
    "one worker": lambda: with_engine(serial=False, workers=1),
    "on one thread": lambda: with_engine(serial=True),
    "making the frames alone": frames_alone,
}
found = {}
for name, case in cases.items():
    wall, cpu = time.perf_counter(), time.process_time()
    case()
    found[name] = {
        "wall_us": (time.perf_counter() - wall) / count * 1e6,
        "cpu_us": (time.process_time() - cpu) / count * 1e6,
    }
print(json.dumps(found))
