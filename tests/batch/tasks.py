"""Tasks over toy tools."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.graphs import TOYS, document, write
from videodag_cli.batch.task import PipelineSpec, VideoTask
from videodag_cli.graph.pipeline import load_pipeline
from videodag_cli.guard.guard_limits import GuardLimits
from videodag_cli.run.job import RunOptions
from videodag_cli.video.sampling import Sampling


def task(clip: Path, output: Path, nodes: object = ("mean",), number: int = 0, **limits: Any) -> VideoTask:
    file = write(output.parent, document(list(nodes), id=f"p{number}"))  # type: ignore[call-overload]
    spec = PipelineSpec(path=os.fspath(file), digest=load_pipeline(file).digest, overrides={}, plugin_folders=(TOYS,))
    return VideoTask(
        number=number,
        video=os.fspath(clip),
        pipelines=(spec,),
        outputs=(output,),
        forced=(False,),
        sampling=Sampling(),
        options=RunOptions(workers=1),
        limits=GuardLimits(**limits) if limits else None,
    )
