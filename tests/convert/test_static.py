"""What never moves is found among what does, and a filter with the zones that are written leaves it out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.commands import command, quick
from tests.results_files import box, line, write
from videodag_cli.convert.static import find_static
from videodag_cli.data import Detections, VideoInfo
from videodag_cli.errors import RequestError
from videodag_cli.results.reading import read_lines
from videodag_cli.tools.filter import DetectionFilter


def scene(folder: Path, name: str = "a.jsonl", frames: int = 40) -> Path:
    """A cone that shakes by a pixel and is missed in every fourth frame, somebody who walks, and somebody who stands half the time."""
    random = np.random.default_rng(3)
    lines = []
    for i in range(frames):
        rows = [box(5 * i, 50, 5 * i + 20, 110, class_name="person", confidence=0.9)]
        if i % 4:
            shake = random.uniform(-1, 1, 4)
            cone = np.array([300, 100, 330, 160]) + shake
            rows.append(box(*cone.tolist(), class_name="person", confidence=0.4))
        if i % 2:
            rows.append(box(500, 100, 520, 160, class_name="person", confidence=0.8))
        lines.append(line(i, {"people": rows}))
    return write(folder / name, lines)


def test_what_stays_in_its_place_is_found_and_what_moves_is_not(tmp_path: Path) -> None:
    found, frames = find_static(read_lines(scene(tmp_path)), share=0.6, min_frames=30)
    assert frames == 40
    (cone,) = found
    assert (cone.class_name, cone.frames) == ("person", 30)
    assert cone.confidence == pytest.approx(0.4)
    assert np.abs(np.array(cone.xyxy) - (300, 100, 330, 160)).max() < 0.5
    both, _ = find_static(read_lines(scene(tmp_path)), share=0.5, min_frames=30)
    assert [thing.frames for thing in both] == [30, 20]


def test_too_few_frames_tell_nothing(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="8 frames are too few to tell what never moves"):
        find_static(read_lines(scene(tmp_path, frames=8)), share=0.6, min_frames=30)


def test_several_clips_are_one_camera_and_the_zones_are_for_the_filter(tmp_path: Path) -> None:
    one, two = scene(tmp_path, "a.jsonl", 20), scene(tmp_path, "b.jsonl", 20)
    zones = tmp_path / "zones.json"
    done = quick(command("static", one, two, "-o", zones))
    assert done.code == 0, done.err
    shown = done.out.decode().splitlines()
    assert [row.split()[0] for row in shown] == ["CLASS", "person"]
    assert "30 of 40" in shown[1]
    tool = DetectionFilter(VideoInfo(640, 360), exclude_zones=zones)
    boxes = np.array([[300, 100, 330, 160], [500, 100, 520, 160], [100, 50, 120, 110]], np.float64)
    assert tool(Detections(boxes)).xyxy.tolist() == boxes[1:].tolist()
    again = quick(command("static", one, two, "-o", zones))
    assert again.code == 6
    parsed: dict[str, Any] = json.loads(quick(command("static", one, two, "--json")).out)
    assert [thing["frames"] for thing in parsed["static"]] == [30]


def test_nothing_that_stays_is_said_and_no_file_is_written(tmp_path: Path) -> None:
    path = write(tmp_path / "w.jsonl", [line(i, {"p": [box(9 * i, 0, 9 * i + 20, 40)]}) for i in range(40)])
    done = quick(command("static", path))
    assert done.out.decode() == "nothing stays in its place in 60% of 40 frames\n"
    refused = quick(command("static", path, "-o", tmp_path / "z.json"))
    assert refused.code == 2
    assert not (tmp_path / "z.json").exists()
