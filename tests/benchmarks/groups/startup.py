"""How long it takes until something happens."""

from __future__ import annotations

from dataclasses import replace

from tests.benchmarks.contenders import HERE, videodag
from tests.benchmarks.measure import PYTHON, ROOT, VIDEODAG, Contender
from tests.benchmarks.report import Section, Settings, compare

NEEDED = "import av, cv2, numpy, orjson, typer, typer._adapters; from pydantic import BaseModel, Field, TypeAdapter"
"""What every run needs: decoders, arrays, JSON, and a command line with checked values."""


def measure(settings: Settings) -> list[Section]:
    bare, empty, needed = "python -c pass", "empty Typer command", "the imports of a run"
    clip = ROOT / "sample_videos" / "pedestrians.mp4"
    contenders = [
        Contender(bare, [PYTHON, "-c", "pass"]),
        Contender("videodag --help", [VIDEODAG, "--help"], bare, {"wall": 14}),
        Contender("import cv2", [PYTHON, "-c", "import cv2"], bare),
        Contender("videodag run, 10 frames", videodag(clip, "--max-frames", "10", run="quality"), bare),
        Contender(needed, [PYTHON, "-c", NEEDED]),
        Contender("videodag run, 1 frame", videodag(clip, "--max-frames", "1", run="quality"), needed, {"best": 1.25}),
        Contender(empty, [PYTHON, str(HERE / "loops" / "empty_typer.py"), "list"]),
        Contender("videodag pipelines list", [VIDEODAG, "pipelines", "list"], empty, {"wall": 1.2}),
    ]
    thorough = settings if settings.quick else replace(settings, rounds=3 * settings.rounds)
    return [compare("startup", contenders, thorough)]
