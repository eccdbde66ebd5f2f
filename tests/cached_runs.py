"""Runs with results kept from run to run, over tools that say when they were called."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

from tests.graphs import document, node, write
from videodag_cli.graph.plugins import Registry
from videodag_cli.run.api import plan_for, run_video
from videodag_cli.run.job import RunOptions
from videodag_cli.run.record import RunRecord
from videodag_cli.video.sampling import Sampling

FRAMES = 24
COSTLY = '''
from dataclasses import dataclass
from typing import NewType
import numpy as np
from videodag_cli import Detections, Frame, Tracks, VideoInfo, tool

CALLS = []
Score = NewType("Score", float)
Seen = NewType("Seen", int)
Moment = NewType("Moment", float)
Odd = NewType("Odd", dict)

@tool(version=VERSION, cache=True, requires=REQUIRES)
def boxes(frame: Frame, *, level: int = 100) -> Detections:
    CALLS.append(("boxes", frame.index))
    columns = frame.image.astype(np.float64).mean(axis=(0, 2))
    xs = np.flatnonzero(columns > level)[:4]
    return Detections(
        xyxy=np.array([(x, 1 / 3, x + 2.5, columns[x]) for x in xs]).reshape(-1, 4), confidence=columns[xs] / 300,
        class_name=["thing"] * len(xs), data={"column": tuple(int(x) for x in xs)})

@tool(stateless=True, cache=True, batch_size=4)
class Batched:
    def __init__(self, *, fail: list[int] = []) -> None:
        self.fail, self.seen = fail, 0
    def __call__(self, frames: list[Frame]) -> list[Score]:
        if any(frame.index in self.fail for frame in frames):
            raise ValueError("not this one")
        CALLS.extend(("batched", frame.index) for frame in frames)
        self.seen += len(frames)
        return [Score(float(frame.gray.mean()) / 7) for frame in frames]
    def describe(self) -> dict[str, str]:
        return {"batched": "yes"}
    @staticmethod
    def remarks(instances: list["Batched"]) -> list[str]:
        return [f"saw {sum(instance.seen for instance in instances)} frames"]

@tool(stateless=True, cache=True)
class Knows:
    def __init__(self, video: VideoInfo) -> None:
        self.video = video
    def __call__(self, frame: Frame) -> Moment:
        return Moment(frame.index / self.video.sampled_count)

@tool(cache=True)
def inside(frame: Frame, detections: Detections) -> Odd:
    CALLS.append(("inside", frame.index))
    return Odd({"means": [float(frame.image[:, int(b[0]):int(b[2])].mean()) for b in detections.xyxy], "nan": float("nan")})

@tool(cache=True)
def local(frame: Frame) -> set_of:
    return set_of(frame.index)

@tool
def stronger(detections: Detections, *, least: float = 0.0) -> Detections:
    return detections[detections.confidence >= least]

@tool
class Ids:
    """Counts on from frame to frame."""
    def __init__(self, *, step: int = 1) -> None:
        self.count, self.step = 0, step
    def __call__(self, detections: Detections) -> Tracks:
        ids = self.count + np.arange(len(detections)) * self.step
        self.count += len(detections) * self.step
        return Tracks(xyxy=detections.xyxy, confidence=detections.confidence, tracker_id=ids)
    def state(self):
        return {"count": self.count}
    def restore(self, state):
        self.count = state["count"]

@tool
class Late:
    lookahead = 2
    def __init__(self, *, factor: int = 1) -> None:
        self.last, self.factor = 0, factor
    def __call__(self, tracks: Tracks) -> Seen:
        self.last = len(tracks) * self.factor
        return Seen(self.last)
    def finish(self) -> list[Seen]:
        return [Seen(-1)] * 2

@tool(pixels=False)
def moment(frame: Frame, tracks: Tracks) -> Moment:
    return Moment(frame.time_s + frame.width + len(tracks))

@tool
def half(frame: Frame) -> Frame:
    return frame.resized(frame.width // 2, frame.height // 2)

@tool(pixels=False)
def liar(frame: Frame) -> Score:
    return Score(float(frame.image.mean()))
'''


def plugin(folder: Path, *, version: int = 1, requires: str | None = None, more: str = "") -> Registry:
    folder.mkdir(exist_ok=True)
    text = "class set_of(set):\n    pass\n" + COSTLY.replace("VERSION", str(version)).replace(
        "REQUIRES", repr(requires)
    )
    text = text.replace("-> set_of", "-> Odd").replace(
        "return set_of(frame.index)", "return Odd({'set': {frame.index}})"
    )
    (folder / "costly.py").write_text(text + more)
    found = Registry([folder])
    found.plugin("costly")
    return found


def calls() -> list[tuple[str, int]]:
    """What was called since this was asked last."""
    made: list[tuple[str, int]] = sys.modules["videodag_local_plugins.costly"].CALLS
    found = sorted(made)
    made.clear()
    return found


def costly(spec: str, **params: Any) -> dict[str, Any]:
    node_id, _, tool = spec.rpartition(":")
    return node(f"{node_id or tool}:costly.{tool}", **params)


CHAIN = [costly("boxes"), costly("ids"), costly("moment")]
EDGES = "boxes>ids ids>moment"


def run(
    clip: Path,
    folder: Path,
    tools: Registry,
    nodes: list[Any],
    edges: str = "",
    *,
    cache: Path | None = None,
    sampling: Sampling | None = None,
    outputs: list[str] | None = None,
    **options: Any,
) -> tuple[bytes, RunRecord]:
    pipeline = write(folder, document(nodes, edges, id="p", outputs=outputs))
    output = folder / ("kept.jsonl" if cache else "plain.jsonl")
    made = RunOptions(force=True, overwrite=True, cache=None if cache is None else str(cache), **options)
    plan = plan_for(str(pipeline), registry=tools)
    record = run_video(clip, plan, output=output, sampling=sampling, options=made)
    return output.read_bytes(), record


def random_pipeline(rng: random.Random) -> tuple[list[Any], str, list[str]]:
    """Costly nodes in all places: behind a resized frame, a filter, a node with state, a look-ahead, failures."""
    nodes = [costly("boxes", level=rng.choice([90, 100, 120]))]
    edges, before = [], "boxes"
    outputs = ["boxes"]
    if rng.random() < 0.4:
        nodes.append(costly("half"))
        edges.append("half>boxes")
    if rng.random() < 0.6:
        nodes.append(costly("stronger", least=rng.choice([0.0, 0.4, 0.6])))
        edges.append("boxes>stronger")
        before = "stronger"
    if rng.random() < 0.7:
        nodes.append(costly("ids", step=rng.choice([1, 2])))
        edges.append(f"{before}>ids")
        before = "ids"
        outputs.append("ids")
        if rng.random() < 0.5:
            nodes.append(costly("late", factor=rng.choice([1, 3])))
            edges.append("ids>late")
            outputs.append("late")
        if rng.random() < 0.5:
            nodes.append(costly("moment"))
            edges.append("ids>moment")
            outputs.append("moment")
    if rng.random() < 0.6:
        nodes.append(costly("inside"))
        edges.append(f"{before}>inside")
        outputs.append("inside")
    if rng.random() < 0.4:
        nodes.append(costly("batched", fail=rng.choice([[], [], [3], [10, 11]])))
        outputs.append("batched")
    if rng.random() < 0.3:
        nodes.append(costly("knows"))
        outputs.append("knows")
    chosen = [name for name in outputs if rng.random() < 0.7]
    feeding = {edge.split(">")[0] for edge in edges}
    leaves = [item["id"] for item in nodes if item["id"] not in feeding]
    return nodes, " ".join(edges), list(dict.fromkeys([*leaves, *chosen]))
