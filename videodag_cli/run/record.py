"""The run record: the request, what came of it, and how to tell two requests apart."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from videodag_cli.errors import printable
from videodag_cli.graph.plan import Plan
from videodag_cli.system.documents import document
from videodag_cli.system.installed import installed_version

SCHEMA = "videodag.run/1"
MAX_ERRORS_KEPT = 20
MAX_MISSING_TIMES = 10_000


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class Request(_Model):
    """Everything that decides the bytes of the output, apart from the input."""

    pipeline: dict[str, Any]
    """`id`, `path`, `digest`, `definition` (the file's content)."""
    sampling: dict[str, Any]
    params: dict[str, dict[str, Any]]
    """Node -> every parameter, defaults filled in."""
    tools: dict[str, dict[str, Any]]
    """Node -> `tool`, `version`."""
    files: dict[str, str] = {}
    """`node.param` -> digest of the file a parameter names."""
    plugins: dict[str, str] = {}
    """Local plugin file -> digest."""
    tags: dict[str, str] = {}
    format: str = "jsonl"
    stream: int | None = None
    decoder: str = "auto"
    strict: bool = False
    clock: str | None = None
    """The instant of time 0, or `container`; lines have `time`."""
    timecode: bool = False
    """Lines have the container's `timecode`."""


def request_facts(request: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What two requests must share to have the same output, by name; the text of names and places is left out.

    The request is plain data, as in a record; what it lacks is left out.
    """
    for node, tool in _mapping(request, "tools").items():
        yield f"{node} tool", f"{tool.get('tool', '?')} v{tool.get('version', '?')}"
    files = _mapping(request, "files")
    for node, params in _mapping(request, "params").items():
        for name, value in params.items():
            yield f"{node}.{name}", files.get(f"{node}.{name}", value)
    for plugin, digest in _mapping(request, "plugins").items():
        yield f"plugin {plugin.rpartition('/')[2]}", digest
    definition = _mapping(_mapping(request, "pipeline"), "definition")
    if definition:
        edges = _edges(definition)
        yield "edges", sorted(f"{edge.get('from_node')} -> {edge.get('to_node')}" for edge in edges)
        yield "output_nodes", list(definition.get("output_nodes") or ())
    for name, value in _mapping(request, "sampling").items():
        yield f"sampling {name}", value
    for tag, text in _mapping(request, "tags").items():
        yield f"tag {tag}", text
    for name in ("format", "stream", "decoder", "strict"):
        if name in request:
            yield name, request[name]
    for name in ("clock", "timecode"):
        if request.get(name):
            yield name, request[name]


def _mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    return found if isinstance(found, Mapping) else {}


def _edges(definition: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [edge for edge in definition.get("edges") or () if isinstance(edge, Mapping)]


def changed_facts(
    before: Iterable[tuple[str, Any]], after: Iterable[tuple[str, Any]]
) -> Iterator[tuple[str, str, str]]:
    """Name, old and new value of each fact that is not the same, in short text: `detect.confidence`, `0.45`, `0.5`."""
    old, new = dict(before), dict(after)
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield name, _short(old[name]) if name in old else "none", _short(new[name]) if name in new else "none"


def differences(old: Request, new: Request) -> list[str]:
    """What differs between two requests: `detect.confidence 0.45 -> 0.5`."""
    facts = (request_facts(request.model_dump(mode="json")) for request in (old, new))
    return [f"{name} {before} -> {after}" for name, before, after in changed_facts(*facts)]


def _short(value: Any) -> str:
    if isinstance(value, str):
        return printable(value.removeprefix("sha256:")[:12] if value.startswith("sha256:") else value, limit=60)
    return printable(orjson.dumps(value, default=str).decode(), limit=60)


def make_request(
    plan: Plan,
    *,
    sampling: Mapping[str, Any],
    plugin_digests: Mapping[str, str],
    tags: Mapping[str, str],
    format: str,
    stream: int | None,
    decoder: str,
    strict: bool,
    clock: str | None = None,
    timecode: bool = False,
) -> Request:
    """The request that a plan and its options make."""
    loaded = plan.loaded
    return Request(
        pipeline={
            "id": loaded.pipeline.id,
            "path": os.fspath(loaded.path),
            "digest": loaded.digest,
            "definition": loaded.pipeline.model_dump(mode="json"),
        },
        sampling=dict(sampling),
        params={
            step.id: step.spec.params_model.model_construct(**step.params).model_dump(mode="json")
            for step in plan.steps
        },
        tools={step.id: {"tool": step.tool_name, "version": step.spec.version} for step in plan.steps},
        files=plan.files,
        plugins=dict(plugin_digests),
        tags=dict(tags),
        format=format,
        stream=stream,
        decoder=decoder,
        strict=strict,
        clock=clock,
        timecode=timecode,
    )


class Identity(_Model):
    """Which file the input is: equal size, time and inode are trusted, else the digest decides."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    sha256: str | None = None

    @classmethod
    def of(cls, path: Path, *, sha256: str | None = None) -> Identity:
        found = os.stat(path)
        return cls(
            path=printable(path), size=found.st_size, mtime_ns=found.st_mtime_ns, inode=found.st_ino, sha256=sha256
        )

    def same_stat(self, other: Identity) -> bool:
        return (self.size, self.mtime_ns, self.inode) == (other.size, other.mtime_ns, other.inode)


def is_same_input(old: Identity, path: Path) -> bool:
    """Whether the file at `path` is the one that `old` describes."""
    now = Identity.of(path)
    if old.same_stat(now):
        return True
    return old.size == now.size and old.sha256 is not None and old.sha256 == digest_file(path)


def digest_file(path: Path) -> str:
    """`sha256:...` of a file's bytes."""
    with open(path, "rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


class Accounting(_Model):
    """`sampled = ok + failed + undecodable`, always."""

    sampled: int
    ok: int
    failed: int
    undecodable: int
    not_examined: int = 0
    """Frames of the video that nobody needed and nobody decoded."""
    after_damage: int = 0
    """Frames with a line that follow a damaged one before decoding could start anew: they may show its traces."""
    contradictions: int = 0
    """Ways in which the decoder and the container disagreed; `problems` lists them."""
    first_missing_time_s: float | None = None
    missing_ranges: list[tuple[int, int]] = []
    """First and last `frame_index` of runs of sampled frames that could not be decoded; at most 100."""
    missing_times_s: list[float] = []
    """The times of these frames; of the first 10000."""


class NodeTiming(_Model):
    stateless: bool
    """Calls run side by side, so their sum may exceed the wall time."""
    count: int
    mean_ms: float
    p50_ms: float
    p95_ms: float


class FrameError(_Model):
    frame_index: int
    time_s: float
    node: str
    tool: str
    type: str
    message: str


class OutputFacts(_Model):
    """The finished file: equal size, time and inode are trusted, else the digest decides."""

    size: int
    sha256: str
    mtime_ns: int | None = None
    inode: int | None = None


class RunRecord(_Model):
    """Everything about one run that is not in its lines."""

    schema_: str = Field(default=SCHEMA, serialization_alias="schema", validation_alias="schema")
    request: Request
    input: dict[str, Any]
    """The input's identity, `video` (facts of the container) and `decoder` (name and reason)."""
    accounting: Accounting
    nodes: dict[str, NodeTiming]
    models: dict[str, dict[str, Any]] = {}
    """Node -> what its model was read as: layout, input, normalisation, labels, and who decided each."""
    recalled: dict[str, int] = {}
    """Node -> frames whose result was kept by an earlier run (`--cache`) and not computed again."""
    profile: dict[str, float] = {}
    """Seconds spent: decode, convert, wait, nodes, write."""
    packages: dict[str, str]
    workers: int
    wall_time_s: float
    status: Literal["done", "incomplete", "up_to_date"]
    exit_code: int
    errors: list[FrameError] = []
    """The first failed frames."""
    problems: list[str] = []
    """What the decoder and the container disagreed about."""
    remarks: list[str] = []
    """What is worth knowing although nothing went wrong: a model that finds nothing, states that cannot be kept."""
    output: OutputFacts | None = None
    assertions: list[dict[str, Any]] = []

    model_config = ConfigDict(frozen=True, populate_by_name=True, defer_build=True)

    def to_json(self) -> bytes:
        data = self.model_dump(mode="json", by_alias=True)
        return document(data)


def load_record(path: Path) -> RunRecord | None:
    """The record in a file, or None where there is none that can be understood."""
    try:
        return RunRecord.model_validate(orjson.loads(path.read_bytes()))
    except (OSError, ValueError):
        return None


def package_versions(plan: Plan) -> dict[str, str]:
    """Versions of this package and of what results depend on; recorded, not compared."""
    names = ["videodag", "av", "numpy", "opencv-python-headless", "onnxruntime", "zxing-cpp"]
    for plugin_id in dict.fromkeys(step.node.plugin_id for step in plan.steps):
        distribution = plan.registry.plugin(plugin_id).distribution
        if distribution is not None and distribution not in names:
            names.append(distribution)
    versions = {name: installed_version(name) for name in names}
    return {name: version for name, version in versions.items() if version is not None}
