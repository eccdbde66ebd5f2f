"""Results files for tests of what reads them: real runs over the sample clips, and lines with known content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.commands import videodag
from tests.shared import made_once, shared_folder

CLIPS = Path(__file__).parent.parent / "sample_videos"


@cache
def run(pipeline: str, clip: str, *options: str) -> Path:
    """The results of a shipped pipeline on a sample clip; run once for all tests."""

    def make(folder: Path) -> None:
        folder.mkdir()
        done = videodag("run", "-q", "-p", pipeline, *options, CLIPS / clip, "-o", folder / name)
        assert done.code == 0, done.err

    name = f"{pipeline}.jsonl"
    key = hashlib.sha256(repr((pipeline, clip, options)).encode()).hexdigest()[:12]
    return made_once(shared_folder() / f"{pipeline}-{key}", make) / name


def crossings() -> Path:
    """Tracks and line crossings of the pedestrians."""
    return run("line_counting", "pedestrians.mp4", "--frame-stride", "4", "--set", "detect.tiles=1x1")


def cuts() -> Path:
    return run("scenes", "synthetic.mp4")


def qualities() -> Path:
    return run("quality", "pedestrians.mp4", "--frame-stride", "10", "--tag", "camera=north")


def codes() -> Path:
    return run("codes", "synthetic.mp4")


def box(x1: float, y1: float, x2: float, y2: float, **more: Any) -> dict[str, Any]:
    return {"xyxy": [x1, y1, x2, y2], **more}


def line(index: int, result: dict[str, Any] | None, *, rate: int = 25, **tags: str) -> dict[str, Any]:
    found: dict[str, Any] = {**tags, "frame_index": index, "time_s": round(index / rate, 6), "result": result}
    if result is None:
        found["error"] = {"node": "read", "tool": "toys.read", "type": "ValueError", "message": "no luck"}
    return found


def write(path: Path, lines: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(item, separators=(",", ":")) + "\n" for item in lines))
    return path


def parsed(path: Path) -> Sequence[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text().splitlines()]
