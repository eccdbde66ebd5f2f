"""One video's share of a batch: what a process, here or on another machine, needs to know to run it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from videodag_cli.graph.pipeline import BUILTIN, builtin_folder
from videodag_cli.graph.plan import Overrides, Plan
from videodag_cli.guard.guard_limits import GuardLimits
from videodag_cli.run.job import RunOptions
from videodag_cli.video.sampling import Sampling


@dataclass(frozen=True, kw_only=True)
class PipelineSpec:
    """A pipeline by its file, so that another process plans it for itself."""

    path: str
    """Absolute path of the pipeline's file, or `builtin:ID`, which is the same on every machine."""
    digest: str
    """Of the file when it was planned first; a file that changed since is refused."""
    overrides: Mapping[str, Mapping[str, Any]]
    """Node -> parameter -> value; paths among them are absolute."""
    plugin_folders: tuple[Path, ...] = ()

    @classmethod
    def of(cls, plan: Plan, overrides: Overrides) -> PipelineSpec:
        """overrides: those that the plan was made with."""
        return cls(
            path=_path_everywhere(plan.loaded.path),
            digest=plan.loaded.digest,
            overrides=_absolute(overrides, plan),
            plugin_folders=plan.registry.folders,
        )


def _path_everywhere(path: Path) -> str:
    built_in = path.parent.resolve() == builtin_folder().resolve()
    return f"{BUILTIN}{path.stem}" if built_in else os.path.abspath(path)


def _absolute(overrides: Overrides, plan: Plan) -> dict[str, dict[str, object]]:
    """The same parameters with every file by its absolute path, so that they mean the same in any process."""
    return {
        node: {
            name: os.path.abspath(value) if f"{node}.{name}" in plan.files else value for name, value in params.items()
        }
        for node, params in overrides.items()
    }


@dataclass(frozen=True, kw_only=True)
class VideoTask:
    """A video, its pipelines and where their lines go; can be pickled."""

    number: int
    """Place in the batch, from 0."""
    video: str
    pipelines: tuple[PipelineSpec, ...]
    outputs: tuple[Path, ...]
    """One for each pipeline."""
    forced: tuple[bool, ...]
    """For each pipeline, whether it runs even if its output is up to date."""
    sampling: Sampling
    options: RunOptions
    assertions: tuple[str, ...] = ()
    limits: GuardLimits | None = None
    """Kept for this video by a parent of the process that runs it."""

    def part(self, number: int) -> VideoTask:
        """The same task with one of its pipelines."""
        chosen = slice(number, number + 1)
        return replace(self, pipelines=self.pipelines[chosen], outputs=self.outputs[chosen], forced=self.forced[chosen])
