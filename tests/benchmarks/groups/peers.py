"""Tools that answer the same question: PySceneDetect for cuts, ffprobe's signalstats for picture quality."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.contenders import command, output_of, videodag
from tests.benchmarks.measure import Contender, FailedRunError
from tests.benchmarks.report import Section, Settings, compare


def measure(settings: Settings) -> Iterator[Section]:
    yield from (part(settings) for part in (_scenes, _quality))


def _scenes(settings: Settings) -> Section:
    clip = settings.clip("gop250")
    name = "scenedetect detect-content"

    def same_cuts() -> str | None:
        ours, theirs = _our_cuts(clip), scenedetect_cuts(clip, settings.scratch)
        return None if ours == theirs else f"other cuts: {ours}, PySceneDetect {theirs}"

    contenders = [
        Contender(name, _scenedetect(clip, settings.scratch)),
        Contender(
            "videodag run -p scenes",
            videodag(clip, run="scenes"),
            name,
            {"wall": 1.0},
            check=same_cuts,
        ),
        Contender("videodag run, content alone", videodag(clip, run="bench_content"), name, {"wall": 1.0}),
    ]
    return compare("peers: cuts at 1080p, every frame (scenes runs two detectors)", contenders, settings)


def _quality(settings: Settings) -> Section:
    clip = settings.clip("gop250")
    name = "ffprobe signalstats"
    graph = ["-f", "lavfi", "-i", f"movie={clip},signalstats", "-show_entries", "frame_tags", "-of", "json"]
    contenders = [
        Contender(name, [command("ffprobe"), "-v", "error", *graph]),
        Contender("videodag run -p quality", videodag(clip, run="quality"), name, {"wall": 0.5}),
    ]
    return compare("peers: picture quality at 1080p, every frame", contenders, settings)


def _scenedetect(clip: Path, folder: Path) -> list[str]:
    listing = ["detect-content", "list-scenes", "--quiet", "--skip-cuts", "-o", str(folder), "-f", "scenes.csv"]
    return [command("scenedetect"), "--quiet", "-i", str(clip), *listing]


def scenedetect_cuts(clip: Path, folder: Path) -> list[int]:
    """First frames of all scenes but the first, 0-based."""
    output_of(_scenedetect(clip, folder))
    with open(folder / "scenes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise FailedRunError("scenedetect listed no scene")
    return [int(row["Start Frame"]) - 1 for row in rows[1:]]


def _our_cuts(clip: Path) -> list[int]:
    lines = map(json.loads, output_of(videodag(clip, run="scenes")).splitlines())
    return [line["frame_index"] for line in lines if line["result"]["content"]["cut"]]
