"""Pipelines exactly as they are on disk, and finding them by name.

A pipeline file is `<id>.json`: `id`, `name`, optional `description`, `nodes`, `edges`, `entry_nodes`, `output_nodes`. Unknown keys
at the top are kept as metadata; in nodes and edges they are errors. Files come from strangers: they are limited in size, number of
nodes and depth before anything looks at them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from videodag_cli.errors import PipelineError, printable

MAX_FILE_BYTES = 1 << 20
MAX_NODES = 1000
MAX_DEPTH = 32
BUILTIN = "builtin:"


def _no_params() -> dict[str, Any]:
    """Of `dict` itself Pydantic would look up the signature, which takes longer than all else about this model."""
    return {}


class Node(BaseModel):
    """One use of a tool."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, max_length=200, description="Unique in the pipeline; names the result.")
    plugin_id: str = Field(min_length=1, description="The plugin that provides the tool.")
    tool_id: str = Field(min_length=1, description="The tool.")
    params: dict[str, Any] = Field(
        default_factory=_no_params, description="Configuration of the tool; see `tools show`."
    )


class Edge(BaseModel):
    """Data flows from one node to another; which parameter it feeds follows from its type."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    from_node: str
    to_node: str


class Pipeline(BaseModel):
    """A directed acyclic graph of tools."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str = Field(min_length=1, max_length=200, description="Equal to the file's name without `.json`.")
    name: str = Field(min_length=1, description="The name shown in lists.")
    description: str = ""
    nodes: tuple[Node, ...] = Field(max_length=MAX_NODES)
    edges: tuple[Edge, ...] = Field(default=(), max_length=MAX_NODES * 20)
    entry_nodes: tuple[str, ...] = Field(description="The nodes without predecessors.")
    output_nodes: tuple[str, ...] = Field(description="The nodes whose results are written, in this order.")


@dataclass(frozen=True)
class LoadedPipeline:
    """A pipeline with where it came from."""

    pipeline: Pipeline
    path: Path
    digest: str
    """`sha256:...` of the file's bytes."""
    problems: tuple[str, ...] = ()
    """What is wrong with its form but leaves a graph to check; the planner reports it with everything else."""

    @property
    def folder(self) -> Path:
        return self.path.parent


@dataclass(frozen=True)
class Place:
    """A folder that is searched."""

    label: str
    folder: Path


@dataclass(frozen=True)
class FoundPipeline:
    """A pipeline file found by its name."""

    path: Path
    place: Place
    hides: tuple[Path, ...] = ()
    """Other files of the same name, later in the search, whose content differs."""

    @property
    def id(self) -> str:
        return self.path.stem


def load_pipeline(path: Path) -> LoadedPipeline:
    """Read a pipeline file. Raises `PipelineError` that lists every problem of its form that leaves no graph to check."""
    shown = printable(path)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise PipelineError(
            f"{shown}: cannot be read: {error.strerror}",
            word="pipeline.unknown" if isinstance(error, FileNotFoundError) else "pipeline.invalid",
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise PipelineError(f"{shown}: larger than the {MAX_FILE_BYTES // 1024} KiB a pipeline file may have")
    raw = _read_json(data, shown)
    problems = _take_unknown_keys(raw)
    pipeline = _validated(raw, shown, problems)
    if pipeline.id != path.stem:
        problems.append(
            f"id {printable(pipeline.id)!r} differs from the file's name; "
            f'rename the file or set "id": "{printable(path.stem)}"'
        )
    return LoadedPipeline(pipeline, path, "sha256:" + hashlib.sha256(data).hexdigest(), tuple(problems))


def parse_pipeline(data: bytes, *, shown: str = "pipeline") -> Pipeline:
    """A pipeline from JSON text; `shown` names it in errors. Raises `PipelineError` that lists every problem of its form."""
    raw = _read_json(data, shown)
    problems = _take_unknown_keys(raw)
    pipeline = _validated(raw, shown, problems)
    if problems:
        raise PipelineError(listing(_head(shown, problems), problems))
    return pipeline


def _read_json(data: bytes, shown: str) -> dict[str, Any]:
    try:
        raw = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
        _check_depth(raw)
    except RecursionError as error:
        raise PipelineError(f"{shown}: nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise PipelineError(f"{shown}: is not valid JSON: {printable(error, limit=200)}") from error
    if not isinstance(raw, dict):
        raise PipelineError(f"{shown}: is not a JSON object but {type(raw).__name__}")
    return raw


def _take_unknown_keys(raw: dict[str, Any]) -> list[str]:
    """Remove unknown keys of nodes and edges from `raw`; one sentence for each."""
    problems = []
    for what, model in (("nodes", Node), ("edges", Edge)):
        items = raw.get(what)
        for item in items if isinstance(items, list) else ():
            if not isinstance(item, dict):
                continue
            for key in [key for key in item if key not in model.model_fields]:
                del item[key]
                problems.append(f"{_place(what, item)}: unknown key {printable(key, limit=60)!r}")
    return problems


def _place(what: str, item: dict[str, Any]) -> str:
    if what == "nodes":
        return f"node {printable(item.get('id', '?'), limit=80)!r}"
    ends = (printable(item.get(end, "?"), limit=80) for end in ("from_node", "to_node"))
    return f"edge {' -> '.join(ends)}"


def _validated(raw: dict[str, Any], shown: str, problems: list[str]) -> Pipeline:
    try:
        return Pipeline.model_validate(raw)
    except ValidationError as error:
        lines = list(problems)
        for item in error.errors(include_url=False):
            place = ".".join(printable(p, limit=60) for p in item["loc"])
            lines.append(f"{place}: {_plain_words(item)}")
        raise PipelineError(listing(_head(shown, lines), lines)) from error


def _head(shown: str, problems: Sequence[str]) -> str:
    return f"{shown}: {len(problems)} problem{'s' * (len(problems) != 1)}"


def _plain_words(item: Any) -> str:
    if item["type"] == "missing":
        return "is missing"
    if item["type"] == "too_long":
        return f"has {item['ctx']['actual_length']} items; {item['ctx']['max_length']} are allowed"
    message = str(item["msg"])
    return f"{message[:1].lower()}{message[1:]}, got {printable(repr(item['input']), limit=60)}"


def listing(head: str, lines: Sequence[str]) -> str:
    """A message of one line for one problem, else a head and a line for each."""
    if len(lines) == 1:
        return f"{head.rsplit(':', 1)[0]}: {lines[0]}"
    return "\n  - ".join([head, *lines])


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"duplicate key {key!r} in one object")
            seen.add(key)
    return found


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _check_depth(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check_depth(item, depth + 1)


def builtin_folder() -> Path:
    """Where the pipelines that ship with this package are: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "pipelines"
    return inside if os.path.isdir(inside) else package.parent / "pipelines"


def search_places(folders: Iterable[Path] = ()) -> list[Place]:
    """The folders that are searched, in order: `folders`, `VIDEODAG_PIPELINES`, `./pipelines`, the user's, the built-in ones."""
    places = [Place("--pipelines-dir", Path(f)) for f in folders]
    for entry in os.environ.get("VIDEODAG_PIPELINES", "").split(os.pathsep):
        if entry:
            places.append(Place("VIDEODAG_PIPELINES", Path(entry)))
    places.append(Place("./pipelines", Path("pipelines")))
    configuration = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    places.append(Place("user", Path(configuration, "videodag", "pipelines")))
    places.append(Place("builtin", builtin_folder()))
    return places


def catalogue(places: Sequence[Place]) -> list[FoundPipeline]:
    """Every pipeline name with the file that wins, by name."""
    names: dict[str, None] = {}
    for place in places:
        try:
            entries = sorted(os.listdir(place.folder))
        except OSError:
            continue
        names.update((e.removesuffix(".json"), None) for e in entries if e.endswith(".json") and not e.startswith("."))
    return [find_pipeline(name, places) for name in sorted(names)]


def find_pipeline(name: str, places: Sequence[Place]) -> FoundPipeline:
    """The file that a name means: a path ending in `.json`, `builtin:ID`, or an id that is searched for.

    Raises `PipelineError` (`pipeline.unknown`) with the nearest names.
    """
    if name.endswith(".json"):
        return FoundPipeline(Path(name), Place("path", Path(name).parent))
    wanted = name.removeprefix(BUILTIN)
    if name.startswith(BUILTIN):
        places = [place for place in places if place.label == "builtin"]
    hits: list[tuple[Path, Place]] = []
    if wanted and "/" not in wanted and "\0" not in wanted:
        for place in places:
            path = place.folder / f"{wanted}.json"
            if os.path.isfile(path):  # False, not an error, where the folder cannot be looked into
                hits.append((path, place))
    if not hits:
        from videodag_cli.toolspec import unknown_name

        known = [found.id for found in catalogue(places)]
        raise PipelineError(unknown_name("pipeline", name, known), word="pipeline.unknown")
    (path, place), *others = hits
    hides = tuple(other for other, _ in others if not _same_content(path, other))
    return FoundPipeline(path, place, hides)


def _same_content(first: Path, second: Path) -> bool:
    try:
        return os.path.samefile(first, second) or first.read_bytes() == second.read_bytes()
    except OSError:
        return False
