"""Small real tools for tests."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NewType

import numpy as np
from pydantic import Field

from videodag_cli import Codes, Detections, Frame, Tracks, VideoInfo, tool

Mean = NewType("Mean", float)
Index = NewType("Index", int)
Count = NewType("Count", int)
Delayed = NewType("Delayed", int)
Anything = NewType("Anything", dict)  # type: ignore[type-arg]
Sides = NewType("Sides", str)


@dataclass(frozen=True)
class Size:
    width: int
    height: int


@tool
def mean(frame: Frame, *, scale: Annotated[float, Field(gt=0, description="Factor.")] = 1.0) -> Mean:
    """Mean of all pixels."""
    return Mean(float(frame.image.mean()) * scale)


@tool
def index(frame: Frame) -> Index:
    """The frame's index."""
    return Index(frame.index)


@tool
def size(frame: Frame) -> tuple[Size, Mean]:
    """Two outputs."""
    return Size(frame.width, frame.height), Mean(0.5)


_THREE = threading.Barrier(3, timeout=20)


@tool
def meets(frame: Frame) -> Count:
    """Waits until three frames are worked on at the same time."""
    _THREE.wait()
    time.sleep(0.005)
    return Count(3)


@tool
def twice(mean: Mean) -> Mean:
    """Twice the mean."""
    return Mean(mean * 2)


@tool
def fails_at(frame: Frame, *, frames: list[int], kind: Literal["value", "exit", "memory", "deep"] = "value") -> Index:
    """Raise on the frames named."""
    if frame.index in frames:
        if kind == "exit":
            raise SystemExit(3)
        if kind == "memory":
            raise MemoryError
        if kind == "deep":
            return fails_at(frame, frames=frames, kind=kind)
        raise ValueError(f"no good\nframe {frame.index} at /usr/share/secret/place.bin and 0x7f0011223344")
    return Index(frame.index)


@tool
class Counter:
    """Count the frames seen; says when its state is saved."""

    def __init__(self, video: VideoInfo, *, sleep_s: float = 0.0) -> None:
        self.width = video.width
        self.sleep_s = sleep_s
        self.seen = 0

    def __call__(self, frame: Frame) -> Count:
        time.sleep(self.sleep_s)
        self.seen += 1
        return Count(self.seen)

    def state(self) -> dict[str, Any]:
        return {"seen": self.seen, "array": np.arange(self.seen % 5)}

    def restore(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]
        assert len(state["array"]) == self.seen % 5


@tool
class CountsInputs:
    """Count the indices seen."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, index: Index) -> Count:
        self.seen += 1
        return Count(self.seen)


@tool
class CannotStart:
    """Raise when it is made."""

    def __init__(self) -> None:
        raise RuntimeError("no licence")

    def __call__(self, frame: Frame) -> Index:
        return Index(0)


@tool
class Forgetful:
    """Count the frames seen, without a way to save the state."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, frame: Frame) -> Count:
        self.seen += 1
        return Count(self.seen)


@tool
class Later:
    """The index of the frame two sampled frames after this one, or -1 at the end."""

    lookahead = 2

    def __init__(self, *, fail: int = -1) -> None:
        self.fail = fail

    def __call__(self, frame: Frame) -> Delayed:
        if frame.index == self.fail:
            raise RuntimeError("not this one")
        return Delayed(frame.index)

    def finish(self) -> list[Delayed]:
        return [Delayed(-1)] * self.lookahead


@tool(batch_size=4)
def in_batches(frames: list[Frame], *, fail: int = -1) -> list[Index]:
    """The index, several at once."""
    if any(frame.index == fail for frame in frames):
        raise RuntimeError("one of these")
    return [Index(frame.index) for frame in frames]


COUNTED: list[int] = []


@tool(batch_size=3)
def counted(frames: list[Frame]) -> list[Index]:
    """The index; remembers its calls."""
    COUNTED.extend(frame.index for frame in frames)
    return [Index(frame.index) for frame in frames]


@tool
def bright(frame: Frame) -> Detections:
    """One box around the pixels above 200."""
    ys, xs = np.nonzero(frame.image.max(axis=2) > 200)
    if not len(xs):
        return Detections.empty()
    box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    return Detections(xyxy=np.array([box]), confidence=np.array([0.9]), class_name=("bright",))


@tool
def follow(frame: Frame, detections: Detections) -> Tracks:
    """Every box gets an id."""
    return Tracks(xyxy=detections.xyxy, tracker_id=np.arange(1, len(detections) + 1))


@tool
def as_codes(frame: Frame) -> Codes:
    """A subclass of detections."""
    return Codes(xyxy=np.array([[1.0, 2.0, 3.0, 4.0]]))


@tool
def two(first: Detections, second: Detections) -> Sides:
    """Which is which."""
    return Sides(f"{len(first)}-{len(second)}")


@tool
def pair(detections: Detections, tracks: Tracks) -> Sides:
    """A type and its subclass."""
    return Sides(f"{len(detections)}-{len(tracks)}")


@tool
def either(values: Mean | Count) -> Sides:
    """A mean or a count."""
    return Sides(str(values))


@tool
def perhaps(frame: Frame, detections: Detections | None) -> Sides:
    """An optional input."""
    return Sides("none" if detections is None else str(len(detections)))


@tool
def many(*detections: Detections) -> Sides:
    """Any number of inputs."""
    return Sides("+".join(str(len(d)) for d in detections))


@tool
def half(frame: Frame) -> Frame:
    """The frame at half its size."""
    return frame.resized(frame.width // 2, frame.height // 2)


@tool
def corner(frame: Frame) -> Frame:
    """The frame without its first 10 columns and 6 rows."""
    return frame.cropped(10, 6, frame.width, frame.height)


@tool
def seen_box(frame: Frame, detections: Detections) -> Sides:
    """The first box in the coordinates of this frame."""
    return Sides(",".join(f"{v:.1f}" for v in detections.xyxy[0]) if len(detections) else "")


@tool
def writes(frame: Frame) -> Index:
    """Try to paint on the shared picture."""
    frame.image[0, 0, 0] = 1
    return Index(1)


@tool
def prints(frame: Frame) -> Index:
    """Print, from Python and from below."""
    import os

    print("chatter")
    os.write(1, b"chatter from below\n")
    return Index(frame.index)


@tool
def tells(frame: Frame) -> Index:
    """Print to both streams."""
    import sys

    print("chatter")
    print("chatter", file=sys.stderr)
    return Index(frame.index)


@tool
def returns(frame: Frame, *, what: str = "nan") -> Anything:
    """Awkward results."""
    cycle: list[object] = []
    cycle.append(cycle)
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    values: dict[str, object] = {
        "nan": float("nan"),
        "inf": float("inf"),
        "numpy": np.float32(0.5),
        "array": np.array([[1, 2], [3, 4]]),
        "bytes": b"raw",
        "cycle": cycle,
        "deep": deep,
        "huge": 10**30,
        "surrogate": "\ud800",
        "object": object(),
        "key": {1: 2},
        "set": {1},
        "newline": "a\nb\u2028c",
        "megabyte": "x" * (1 << 20),
        "minus_zero": -0.0,
    }
    return Anything({"value": values[what]})


@tool
def wrong_type(frame: Frame) -> Mean:
    """Return something else than promised."""
    return "text"  # type: ignore[return-value]
