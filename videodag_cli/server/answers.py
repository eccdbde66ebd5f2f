"""The forms of answers, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from videodag_cli.server.jobs import State
from videodag_cli.server.request import Options


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow")


class Problem(_Answer):
    """Problem details (RFC 9457)."""

    type: str = Field(description="`urn:videodag:error:` and the stable word.")
    title: str
    status: int
    detail: str
    word: str


class Accepted(_Answer):
    """A job that waits."""

    job_id: str
    status: State


class FrameLine(_Answer):
    """A line of the results."""

    frame_index: int
    time_s: float
    result: dict[str, Any] | None


class Results(_Answer):
    """Results of a small job that was done in time."""

    results: list[FrameLine]


class ErrorFacts(_Answer):
    type: str
    title: str
    detail: str
    word: str


class Progress(_Answer):
    frames_done: int
    frames_expected: int | None
    frames_per_s: float | None
    eta_s: float | None


class JobView(Accepted):
    """A job: how far it is, how it ended, where its results are."""

    pipeline_id: str
    file_name: str
    file_bytes: int
    options: dict[str, Any]
    created_at: str
    started_at: str | None
    ended_at: str | None
    cancelling: bool
    progress: Progress
    exit_code: int | None
    error: ErrorFacts | None
    links: dict[str, str]


class JobList(_Answer):
    jobs: list[JobView]
    next: str | None


class ResultsPage(_Answer):
    results: list[FrameLine]
    offset: int
    total: int
    next: str | None


class PipelineFacts(_Answer):
    """A pipeline that can be named; with a problem, it cannot be run."""

    id: str
    name: str
    description: str | None
    outputs: list[str]
    problem: str | None


class PipelineView(PipelineFacts):
    digest: str
    definition: dict[str, Any]
    graph: dict[str, Any]


class ToolFacts(_Answer):
    id: str


class Health(_Answer):
    status: Literal["ok", "not ready"]
    lacks: list[str] = []


class UploadForm(BaseModel):
    """The multipart form of an upload. Send `pipeline_id` first: what is wrong with it is then said before the upload."""

    model_config = ConfigDict(extra="forbid")

    pipeline_id: str = Field(description="The id of a pipeline, or `builtin:ID`.")
    options: Options | None = Field(None, description="A JSON object.")
    file: bytes = Field(description="An MP4 or MOV file.", json_schema_extra={"format": "binary"})


def form_schema() -> dict[str, Any]:
    """The form as OpenAPI wants it: nothing is defined elsewhere."""
    schema = UploadForm.model_json_schema()
    options = dict(schema.pop("$defs")["Options"])
    schema["properties"]["options"] = {**options, "description": "A JSON object."}
    schema["properties"]["file"] = {"type": "string", "format": "binary", "description": "An MP4 or MOV file."}
    return schema
