"""What an output folder holds: finished, damaged, failed and unfinished outputs, and what has become of their inputs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import orjson

from videodag_cli.batch.ledger import NAME, read_ledger
from videodag_cli.batch.outcome import NOT_ENDED, damage, shown_path
from videodag_cli.errors import InputError, VideodagError, printable
from videodag_cli.graph.pipeline import load_pipeline
from videodag_cli.graph.plugins import Registry
from videodag_cli.run.output import is_as_recorded
from videodag_cli.run.part import scan
from videodag_cli.run.record import Identity, Request, RunRecord, digest_file, is_same_input, load_record, request_facts
from videodag_cli.run.sinks import make_sink
from videodag_cli.system.locks import is_locked
from videodag_cli.system.output_names import PART_SUFFIX, RECORD_SUFFIX, note_path, part_path, record_path

Kind = Literal["finished", "damaged", "failed", "unfinished", "not_run", "running", "stale", "orphaned"]
BatchState = Literal["running", "ended", "interrupted", "killed"]
TOLD: dict[Kind, str] = {
    "finished": "finished, and up to date",
    "damaged": "finished, with frames that failed or could not be decoded",
    "failed": "could not be run",
    "unfinished": "started but not finished; run the same command again",
    "not_run": "not run by the last batch; run the same command again",
    "running": "being written now",
    "stale": "finished, but the input or the request has changed since",
    "orphaned": "its input no longer exists",
}


@dataclass(frozen=True)
class Holding:
    """One output of the folder."""

    output: str
    """Path below the folder."""
    kind: Kind
    video: str
    pipeline: str
    frames: int = 0
    word: str | None = None
    message: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if value is not None}


def last_batch(folder: Path) -> BatchState | None:
    """What has become of the batch that `batch.json` is about; one that was killed could not say so there. None without one."""
    ledger = read_ledger(folder / NAME)
    if ledger is None:
        return None
    if ledger.status == "running" and not is_locked(Path(os.path.realpath(folder))):
        return "killed"
    return ledger.status


def holdings(folder: Path) -> list[Holding]:
    """Everything in an output folder, by path. Raises `InputError` where it is no folder."""
    if not folder.is_dir():
        raise InputError(f"{printable(folder)}: is not a folder; give the --output-dir of a run", word="input.missing")
    ledger = read_ledger(folder / NAME)
    outcomes = {} if ledger is None else {each.output: each for each in (*ledger.earlier, *ledger.videos)}
    not_run = NOT_ENDED if last_batch(folder) != "running" else ()
    inputs = _Inputs({name: each.input.path for name, each in outcomes.items() if each.input is not None})
    changes = _Changes()
    found: dict[str, Holding] = {}
    for where, folders, files in os.walk(folder):
        folders.sort()
        for file in files:
            path = Path(where, file)
            name = shown_path(path.relative_to(folder))
            if file.endswith(RECORD_SUFFIX):
                record = load_record(path)
                output = path.with_name(file.removesuffix(RECORD_SUFFIX))
                name = name.removesuffix(RECORD_SUFFIX)
                if record is not None and output.exists() and name not in found:
                    found[name] = _finished(name, output, record, inputs, changes)
            elif file.endswith(PART_SUFFIX):
                name = name.removesuffix(PART_SUFFIX)
                found[name] = _unfinished(name, path, inputs)
    for name, outcome in outcomes.items():
        if name in found or outcome.status not in ("failed", *not_run):
            continue
        kind: Kind = "failed" if outcome.status == "failed" else "not_run"
        if outcome.input is not None and inputs.gone(name, outcome.input):
            if kind == "not_run":
                continue
            kind = "orphaned"
        found[name] = Holding(name, kind, outcome.video, outcome.pipeline, word=outcome.word, message=outcome.message)
    return [found[name] for name in sorted(found)]


class _Inputs:
    """Where the inputs of outputs are now."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known
        """Output -> absolute path of its input."""

    def path(self, output: str, identity: Identity) -> Path | None:
        """Where the input should be; None where that is not known: a record holds the path as it was given."""
        path = self._known.get(output, identity.path)
        return Path(path) if os.path.isabs(path) and "\\" not in path else None

    def gone(self, output: str, identity: Identity) -> bool:
        path = self.path(output, identity)
        return path is not None and not path.exists()


def _finished(name: str, output: Path, record: RunRecord, inputs: _Inputs, changes: _Changes) -> Holding:
    identity = Identity.model_validate(record.input)
    holding = Holding(name, "finished", identity.path, record.request.pipeline["id"], record.accounting.sampled)
    if record.exit_code == 4:
        holding = replace(holding, kind="damaged", word="run.incomplete", message=damage(record))
    if record.output is None or not is_as_recorded(output, record.output):
        return replace(holding, kind="stale", message="the output is not what its record describes")
    if inputs.gone(name, identity):
        return replace(holding, kind="orphaned", message=TOLD["orphaned"])
    path = inputs.path(name, identity)
    if path is not None and not is_same_input(identity, path):
        return replace(holding, kind="stale", message="the input has changed since")
    changed = changes.of(record.request)
    return holding if changed is None else replace(holding, kind="stale", message=changed)


def _unfinished(name: str, part: Path, inputs: _Inputs) -> Holding:
    kind: Kind = "running" if is_locked(part) else "unfinished"
    try:
        note = orjson.loads(part.with_name(part.name + ".json").read_bytes())
        request, identity = Request.model_validate(note["request"]), Identity.model_validate(note["input"])
    except (OSError, ValueError, KeyError, TypeError):
        return Holding(name, kind, "", "", message="nothing says what it belongs to")
    if kind == "unfinished" and inputs.gone(name, identity):
        kind = "orphaned"
    return Holding(name, kind, identity.path, request.pipeline["id"], scan(part, make_sink(request.format)).lines)


class _Changes:
    """What has changed of what requests name: pipelines, tools, files of params. Each is looked at once."""

    def __init__(self) -> None:
        self._registry: Registry | None = None
        self._digests: dict[Path, str] = {}
        self._found: dict[bytes, str | None] = {}

    def of(self, request: Request) -> str | None:
        """The first change, in words; None where nothing is known to have changed."""
        data = request.model_dump(mode="json")
        key = orjson.dumps([data["pipeline"], *request_facts(data)], default=str)
        if key not in self._found:
            self._found[key] = next(self._all(request), None)
        return self._found[key]

    def _all(self, request: Request) -> Iterator[str]:
        path = Path(request.pipeline["path"])
        try:
            loaded = load_pipeline(path)
        except VideodagError:
            return  # it was made somewhere else
        if loaded.digest != request.pipeline["digest"]:
            yield f"the pipeline {printable(path)} has changed since"
        self._registry = self._registry or Registry()
        for node, tool in request.tools.items():
            plugin_id, _, tool_id = str(tool["tool"]).partition(".")
            if plugin_id in request.plugins:
                continue  # a local file, whose folder is not known here
            try:
                version = self._registry.tool(plugin_id, tool_id).version
            except VideodagError:
                continue
            if version != tool["version"]:
                yield f"{node}: the tool {tool['tool']} is version {version} now, it was {tool['version']}"
        for place, digest in request.files.items():
            node, _, name = place.rpartition(".")
            file = Path(str(request.params.get(node, {}).get(name, "")))
            if file.is_file():
                if file not in self._digests:
                    self._digests[file] = digest_file(file)
                if self._digests[file] != digest:
                    yield f"{place}: the file {printable(file)} has changed since"


def files_of(folder: Path, output: str) -> list[Path]:
    """The files of one output that are there: itself, its record, its part and what belongs to that."""
    path = folder / output
    beside = (path, record_path(path), part_path(path), note_path(path))
    return [each for each in beside if each.is_file() and not each.is_symlink()]
