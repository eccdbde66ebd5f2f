"""Clips and batches over toy tools."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.batch.cluster import Cluster
from tests.clips import encode
from tests.graphs import document, registry, write
from videodag_cli.batch.api import Batch, BatchOptions
from videodag_cli.batch.finding import find_videos
from videodag_cli.batch.naming import outputs_for
from videodag_cli.run.job import RunOptions, plan_for
from videodag_cli.video.sampling import Sampling

FRAMES = 12


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", indices=range(FRAMES))


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def videos(tmp_path: Path, clip: Path) -> Path:
    """A folder with two good clips and a file that is none."""
    folder = tmp_path / "in"
    (folder / "cam").mkdir(parents=True)
    for name in ("a.mp4", "cam/b.MOV"):
        (folder / name).write_bytes(clip.read_bytes())
    (folder / "text.mp4").write_text("no video")
    return folder


@pytest.fixture
def batch(tmp_path: Path, videos: Path) -> Callable[..., Batch]:
    """Makes a batch of that folder; `pipelines` are lists of nodes."""

    def make(pipelines: Iterable[Any] = (["mean"],), *, arguments: Iterable[Path] = (), **more: Any) -> Batch:
        plans = []
        for number, nodes in enumerate(pipelines):
            file = write(tmp_path, document(list(nodes), id=f"p{number}"))
            plans.append(plan_for(os.fspath(file), registry=registry()))
        run_options = RunOptions(**more.pop("run_options", {}))
        assertions = more.pop("assertions", ())
        found = find_videos([os.fspath(path) for path in (arguments or [videos])])
        outputs = outputs_for(
            found.videos, [plan.pipeline.id for plan in plans], folder=tmp_path / "out", format=run_options.format
        )
        return Batch(
            found,
            tuple(plans),
            tmp_path / "out",
            outputs,
            Sampling(),
            run_options,
            BatchOptions(**more),
            assertions=assertions,
            set_params=tuple({} for _ in plans),
        )

    return make
