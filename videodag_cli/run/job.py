"""The request: a video, a checked plan, a sampling, and how the run is carried out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from videodag_cli.engine.cache_folder import DEFAULT_BYTES
from videodag_cli.engine.envelope import CallLog
from videodag_cli.errors import InputError, OnError, RequestError, printable
from videodag_cli.graph.pipeline import LoadedPipeline, find_pipeline, load_pipeline, search_places
from videodag_cli.graph.plan import Overrides, Plan, make_plan
from videodag_cli.graph.plugins import Registry
from videodag_cli.lines import RESERVED_TAGS, NodeFailure
from videodag_cli.run.clock import check_clock, resolved
from videodag_cli.run.part import PartProgress
from videodag_cli.run.record import (
    Accounting,
    Identity,
    Request,
    RunRecord,
    make_request,
)
from videodag_cli.run.sinks import OUTPUT_FORMATS
from videodag_cli.system.allowance import allowed_cpus
from videodag_cli.video.limits import Limits
from videodag_cli.video.sampling import Sampling

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
CHECKPOINT_EVERY_S = 5.0


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is carried out. Of these, `decoder`, `stream`, `format`, `tags`, `clock`, `timecode` and `strict` belong to the request."""

    workers: int | None = None
    """Frames that stateless nodes work on at once; None: the CPUs that affinity and control groups allow."""
    batch_size: int | None = None
    """At most this many frames at once for tools that take batches."""
    on_error: OnError = "record"
    max_errors: int | None = None
    """Stop when more frames than this failed."""
    clock: str | None = None
    """When `time_s` is 0: an instant with its zone, `name:PATTERN` of the file's name, or `container`; lines get `time`."""
    timecode: bool = False
    """Lines get the SMPTE timecode that the container gives the video."""
    strict: bool = False
    """Decode every frame of the video and stop if any is missing."""
    accept_damage_percent: float = 0.0
    """A run that lost at most this share of its sampled frames counts as done."""
    overwrite: bool = False
    force: bool = False
    decoder: str = "auto"
    stream: int | None = None
    limits: Limits = field(default_factory=Limits)
    format: str = "jsonl"
    tags: Mapping[str, str] = field(default_factory=dict)
    checkpoint_every_s: float = CHECKPOINT_EVERY_S
    cache: str | None = None
    """Absolute path of a folder in which results of costly nodes are kept from run to run."""
    cache_bytes: int = DEFAULT_BYTES
    """About the most that is kept there; what was used least recently goes first."""

    def __post_init__(self) -> None:
        if self.clock is not None:
            check_clock(self.clock)
        if self.format not in OUTPUT_FORMATS:
            raise RequestError(f"format {self.format!r} is unknown; one of {', '.join(OUTPUT_FORMATS)}")
        if not 0 <= self.accept_damage_percent <= 100:
            raise RequestError(f"accepted damage of {self.accept_damage_percent:g} %: must be a share from 0 to 100")
        if self.max_errors is not None and self.max_errors < 0:
            raise RequestError(f"{self.max_errors} errors at most: must be 0 or more")
        for tag in self.tags:
            if tag in RESERVED_TAGS:
                raise RequestError(f"tag {tag!r} is a field of every line; choose another name")


@dataclass(frozen=True)
class Continuation:
    """What somebody who started this process again, because the last one died or hung, knows of the run."""

    calls: CallLog | None = None
    lost: Mapping[tuple[int, str], NodeFailure] = field(default_factory=dict)
    """Frame index and node of calls that are not made again but fail."""
    serial: bool = False
    """Run one call at a time, so that a death has one culprit."""
    progress: PartProgress = field(default_factory=PartProgress)
    """What was written to standard output before."""


def default_workers() -> int:
    """CPUs this process may use: its affinity, and what its control groups allow."""
    return allowed_cpus()


def plan_for(
    pipeline: str | os.PathLike[str] | LoadedPipeline,
    *,
    set_params: Overrides | None = None,
    pipeline_folders: Iterable[Path] = (),
    registry: Registry | None = None,
) -> Plan:
    """The checked plan of a pipeline given by name or file. Raises `PipelineError` and `PluginError`."""
    if not isinstance(pipeline, LoadedPipeline):
        pipeline = load_pipeline(find_pipeline(os.fspath(pipeline), search_places(pipeline_folders)).path)
    return make_plan(pipeline, registry or Registry(), overrides=set_params)


@dataclass(frozen=True)
class Job:
    """A request, checked as far as possible without the video."""

    given: str
    plan: Plan
    sampling: Sampling
    options: RunOptions
    request: Request

    @property
    def path(self) -> Path:
        return Path(self.given)

    @classmethod
    def make(
        cls,
        video: str | os.PathLike[str],
        pipeline: str | os.PathLike[str] | LoadedPipeline | Plan,
        sampling: Sampling | None,
        set_params: Overrides | None,
        registry: Registry | None,
        options: RunOptions | None,
    ) -> Job:
        options = options or RunOptions()
        sampling = sampling or Sampling()
        plan = pipeline if isinstance(pipeline, Plan) else plan_for(pipeline, set_params=set_params, registry=registry)
        registry = plan.registry
        for step in plan.steps:
            registry.require(step.node.plugin_id, step.spec)
        digests = {
            step.node.plugin_id: digest
            for step in plan.steps
            if (digest := registry.plugin(step.node.plugin_id).digest) is not None
        }
        request = make_request(
            plan,
            sampling=sampling.as_json(),
            plugin_digests=digests,
            tags=options.tags,
            format=options.format,
            stream=options.stream,
            decoder=options.decoder,
            strict=options.strict,
            clock=None if options.clock is None else resolved(options.clock, Path(video)),
            timecode=options.timecode,
        )
        return cls(os.fspath(video), plan, sampling, options, request)

    def identity(self) -> Identity:
        if _URL.match(self.given):
            raise InputError(f"{printable(self.given)}: is a URL; videos are read from files", word="input.not_file")
        try:
            return Identity.of(self.path)
        except FileNotFoundError as error:
            what = "is a link to a file that does not exist" if self.path.is_symlink() else "there is no such file"
            raise InputError(f"{printable(self.path)}: {what}", word="input.missing") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"{printable(self.path)}: {reason.lower()}", word="input.unreadable") from error


def exit_code_of(accounting: Accounting, options: RunOptions, outcomes: Sequence[Mapping[str, Any]]) -> int:
    """4 for failed or lost frames and for a file that contradicts itself, else 5 for an assertion that does not hold, else 0."""
    accepted = options.accept_damage_percent
    lost = accounting.undecodable * 100 > accepted * accounting.sampled
    if accounting.failed or (accounting.undecodable and lost) or (accounting.contradictions and not accepted):
        return 4
    return 0 if all(outcome["holds"] for outcome in outcomes) else 5


def as_of_now(record: RunRecord, options: RunOptions, assertions: list[dict[str, Any]]) -> RunRecord:
    """A finished record as of a run with these options: what damage is accepted, and what is asserted, may have changed."""
    code = exit_code_of(record.accounting, options, assertions)
    return record.model_copy(update={"exit_code": code, "status": "up_to_date", "assertions": assertions})
