"""CPU milliseconds of one call of each built-in tool on frames of a clip, as JSON: `tool_calls.py CLIP`.

Each call gets a frame of its own, so it also pays for what it shares with others in a pipeline (luma, smaller versions).
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from videodag_cli import Frame, VideoInfo
from videodag_cli.data import Image
from videodag_cli.graph.plugins import Registry
from videodag_cli.toolspec import ToolSpec

cv2.setNumThreads(1)
CALLS, SPACING = 12, 7
SQUARE = [[0.3, 0.2], [0.7, 0.2], [0.7, 0.9], [0.3, 0.9]]
ZONES = {"zones": [{"name": "middle", "polygon": SQUARE}], "units": "fraction"}
LINES = {"lines": [{"name": "middle", "start": [0.5, 1.0], "end": [0.5, 0.0]}], "units": "fraction"}

capture = cv2.VideoCapture(sys.argv[1])
pictures: list[Image] = []
while len(pictures) < CALLS:
    for _ in range(SPACING):
        capture.grab()
    ok, picture = capture.retrieve()
    if not ok:
        break
    pictures.append(np.asarray(picture, np.uint8))
info = VideoInfo(pictures[0].shape[1], pictures[0].shape[0])
registry = Registry()


def made(plugin: str, name: str, **params: Any) -> Callable[..., Any]:
    """A tool with parameters checked as a pipeline's are."""
    spec: ToolSpec = registry.tool(plugin, name)
    given = spec.check_params(params)
    if not spec.is_class:
        return lambda *inputs: spec.target(*inputs, **given)
    instance = spec.target(*([info] if spec.signature.wants_video else []), **given)
    if spec.batch_size > 1:
        return lambda *inputs: instance(*([value] for value in inputs))[0]
    return lambda *inputs: instance(*inputs)


people = made("detect", "objects", model="people", classes=["person"], confidence=0.2, tiles="1x2")
found = [people(Frame(picture)) for picture in pictures]
track = made("track", "objects")
tracks = [track(Frame(p, i, i / 5), d) for i, (p, d) in enumerate(zip(pictures, found, strict=True))]
foreground = made("motion", "foreground", warmup=1)
masks = [foreground(Frame(picture)) for picture in pictures]

frame_only: dict[str, Callable[..., Any]] = {
    **{f"quality.{name}": made("quality", name) for name in
       ("brightness", "contrast", "sharpness", "clipping", "noise", "black", "freeze")},
    **{f"motion.{name}": made("motion", name) for name in ("foreground", "flow")},
    **{f"scene.{name}": made("scene", name) for name in ("content", "adaptive")},
    "codes.read": made("codes", "read"),
    "image.resize max_side=640": made("image", "resize", max_side=640),
    "image.crop": made("image", "crop", region=[0.2, 0.2, 0.8, 0.8], units="fraction"),
    "image.mask": made("image", "mask", **ZONES),
    "detect.objects people": made("detect", "objects", model="people"),
    "detect.objects people tiles=1x2": people,
    "detect.objects vehicles": made("detect", "objects", model="vehicles"),
    "detect.faces full": made("detect", "faces"),
    "detect.faces short": made("detect", "faces", model="short"),
}  # fmt: skip
with_values: dict[str, tuple[Callable[..., Any], list[Any], bool]] = {
    "motion.regions": (made("motion", "regions"), masks, False),
    "motion.share": (made("motion", "share"), masks, False),
    "track.objects": (made("track", "objects"), found, True),
    "zones.count": (made("zones", "count", **ZONES), found, False),
    "zones.dwell": (made("zones", "dwell", **ZONES), tracks, True),
    "zones.line": (made("zones", "line", **LINES), tracks, True),
    "filter.detections": (made("filter", "detections", classes=["person"]), found, False),
    "merge.detections": (made("merge", "detections"), found, False),
}


def spent_ms(call: Callable[..., Any], *inputs: Any) -> float:
    before = time.process_time_ns()
    call(*inputs)
    return (time.process_time_ns() - before) / 1e6


result = {}
for name, tool in frame_only.items():
    frames = [Frame(p, i, i / 5) for i, p in enumerate(pictures)]
    tool(Frame(pictures[0], 0, -1.0))
    result[name] = {"ms": [spent_ms(tool, frame) for frame in frames], "given": "frame"}
for name, (tool, values, wants_frame) in with_values.items():
    times = []
    for i, (picture, value) in enumerate(zip(pictures, values, strict=True)):
        times.append(spent_ms(tool, *([Frame(picture, i, i / 5)] * wants_frame), value))
    kind = type(values[0]).__name__
    given = "mask" if values is masks else f"{kind}, {sum(map(len, values)) / len(values):.0f} boxes"
    result[name] = {"ms": times, "given": given}
print(json.dumps(result))
