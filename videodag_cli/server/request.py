"""What a client asks for, checked before anything waits: the pipeline, the options, and the command line that they stand for."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, WithJsonSchema, field_validator

from videodag_cli.errors import PipelineError, RequestError, VideodagError, printable
from videodag_cli.graph.assignments import overrides
from videodag_cli.graph.pipeline import (
    FoundPipeline,
    LoadedPipeline,
    Place,
    find_pipeline,
    load_pipeline,
    search_places,
)
from videodag_cli.graph.plan import Plan, make_plan
from videodag_cli.graph.plugins import Registry, make_registry
from videodag_cli.run.clock import CONTAINER, check_clock
from videodag_cli.server.places import RESULTS, VIDEO
from videodag_cli.server.settings import Settings
from videodag_cli.video.sampling_options import SamplingOptions

MAX_OPTIONS_BYTES = 1 << 20


class Options(SamplingOptions):
    """`options` of a job. Without a sampling every frame runs."""

    model_config = ConfigDict(strict=True)

    set: dict[str, Any] | list[str] = Field(
        default_factory=dict,
        description='Params that replace the pipeline\'s: `{"detect.confidence": 0.3}`, or `["detect.confidence=0.3"]`; no files.',
    )
    clock: (
        Annotated[str, WithJsonSchema({"anyOf": [{"const": CONTAINER}, {"type": "string", "format": "date-time"}]})]
        | None
    ) = Field(
        default=None,
        description="Lines also get `time`, with this instant as time 0: `2026-11-25T08:00:00Z`, or `container`.",
    )
    timecode: bool = Field(default=False, description="Lines also get `timecode`, the SMPTE timecode of the container.")
    sync: bool = Field(default=False, description="Answer with the results where the file is small and done in time.")

    @field_validator("frame_stride", "num_frames", "max_frames")
    @classmethod
    def _counts(cls, value: int | None) -> int | None:
        if value is not None and not 1 <= value <= 2**53:
            raise ValueError("must be a whole number from 1 to 2**53")
        return value

    @property
    def assignments(self) -> list[str]:
        """As `--set` takes them."""
        if isinstance(self.set, list):
            return self.set
        return [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in self.set.items()]


class FieldError(RequestError):
    """A wrong field of the request."""

    def __init__(self, field: str, message: str, *, word: str | None = None) -> None:
        super().__init__(f"{field}: {message}", word=word)
        self.field = field


@dataclass(frozen=True)
class Asked:
    """A checked request."""

    loaded: LoadedPipeline
    options: Options
    given: Mapping[str, Any]

    def as_json(self, settings: Settings) -> dict[str, Any]:
        """As a job keeps it."""
        limits = settings.limits
        arguments = ["run", "--pipeline", os.path.abspath(self.loaded.path)]
        for folder in settings.plugin_folders:
            arguments += ["--plugins-dir", os.path.abspath(folder)]
        if settings.cache is not None:
            arguments.append(f"--cache={settings.cache}")
            if settings.cache_bytes is not None:
                arguments.append(f"--cache-size={settings.cache_bytes}")
        if limits.max_pixels is not None:
            arguments.append(f"--max-pixels={limits.max_pixels}")
        if limits.max_frames is not None:
            arguments.append(f"--max-index-frames={limits.max_frames}")
        arguments += [*self.options.arguments(), *(f"--set={text}" for text in self.options.assignments)]
        if self.options.clock is not None:
            arguments.append(f"--clock={self.options.clock}")
        if self.options.timecode:
            arguments.append("--timecode")
        arguments += ["--quiet", "--progress=json", "--output", RESULTS, VIDEO]
        return {
            "options": dict(self.given),
            "arguments": arguments,
            "pipeline": {"path": os.path.abspath(self.loaded.path), "digest": self.loaded.digest},
            "limits": {"timeout_s": limits.job_timeout_s, "memory_bytes": limits.job_memory_bytes},
        }


class Catalogue:
    """The pipelines and tools that a service offers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def registry(self) -> Registry:
        return make_registry(self._settings.plugin_folders)

    @property
    def places(self) -> list[Place]:
        return search_places(self._settings.pipeline_folders)

    def find(self, pipeline_id: str) -> FoundPipeline:
        """The pipeline of an id or `builtin:ID`; never a path. Raises `PipelineError` (`pipeline.unknown`)."""
        if pipeline_id.endswith(".json") or "/" in pipeline_id or len(pipeline_id) > 200:
            shown = printable(pipeline_id, limit=60)
            raise PipelineError(
                f"{shown!r} is not the id of a pipeline; GET /pipelines lists them", word="pipeline.unknown"
            )
        return find_pipeline(pipeline_id, self.places)

    def plan(self, found: FoundPipeline) -> Plan:
        return make_plan(load_pipeline(found.path), self.registry)

    def check(self, pipeline_id: str, text: str | None) -> Asked:
        """A request as it came. Raises `PipelineError`, and `FieldError` for what is wrong in the options."""
        loaded = load_pipeline(self.find(pipeline_id).path)
        given = parse_options(text)
        options = _options(given)
        with _of_field("options"):
            options.sampling()
        if options.clock is not None:
            if options.clock.startswith("name:"):
                raise FieldError("options.clock", "give the instant itself; name: reads names on the command line only")
            with _of_field("options.clock"):
                check_clock(options.clock)
        try:
            (values,) = overrides([loaded.pipeline], self.registry, None, options.assignments)
            self._refuse_files(loaded, values)
            plan = make_plan(loaded, self.registry, overrides=values)
        except FieldError:
            raise
        except VideodagError as error:
            message = error.message.replace(printable(loaded.path), f"pipeline {printable(loaded.pipeline.id)}")
            if options.assignments:
                raise FieldError("options.set", message, word=error.word) from error
            raise PipelineError(message, word=error.word) from error
        for step in plan.steps:
            self.registry.require(step.node.plugin_id, step.spec)
        return Asked(loaded, options, given)

    def _refuse_files(self, loaded: LoadedPipeline, values: Mapping[str, Mapping[str, Any]]) -> None:
        """A client does not say which files of this machine are opened."""
        nodes = {node.id: node for node in loaded.pipeline.nodes}
        for node_id, params in values.items():
            node = nodes.get(node_id)
            spec = None if node is None else self.registry.tool(node.plugin_id, node.tool_id)
            for name, value in params.items():
                if spec is not None and name in spec.file_params() and spec.names_file(name, value):
                    raise FieldError(
                        "options.set",
                        f"{node_id}.{name} names a file, which a request may not do; put it into a pipeline",
                    )


def parse_options(text: str | None) -> dict[str, Any]:
    """The JSON object in the field `options`. Raises `FieldError`."""
    if text is None or not text.strip():
        return {}
    try:
        given = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise FieldError("options", f"is not valid JSON: {printable(error, limit=200)}") from error
    if not isinstance(given, dict):
        raise FieldError("options", 'give a JSON object, as {"frame_stride": 5}')
    return given


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _options(given: Mapping[str, Any]) -> Options:
    try:
        return Options.model_validate(given)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = ".".join(printable(part, limit=60) for part in problem["loc"][:1])
        if problem["type"] == "extra_forbidden":
            raise FieldError(f"options.{name}", f"is unknown; known: {', '.join(Options.model_fields)}") from error
        message = str(problem["msg"]).removeprefix("Value error, ")
        raise FieldError(f"options.{name}", f"{message[:1].lower()}{message[1:]}") from error


@contextlib.contextmanager
def _of_field(name: str) -> Iterator[None]:
    """An error of the command line, as one of a field."""
    try:
        yield
    except VideodagError as error:
        raise FieldError(name, error.message, word=error.word) from error
