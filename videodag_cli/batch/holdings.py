"""What an output folder holds: finished, damaged, failed and unfinished outputs, and what has become of their inputs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import orjson

from videodag_cli.batch.ledger import NAME, read_ledger
from videodag_cli.batch.outcome import VideoOutcome, damage, shown_path
from videodag_cli.errors import InputError, VideodagError, printable
from videodag_cli.files import is_locked
from videodag_cli.output import facts_of, is_as_recorded, record_path
from videodag_cli.part import scan
from videodag_cli.pipeline import load
from videodag_cli.plugins import Registry
from videodag_cli.record import Identity, Request, RunRecord, digest_file, is_same_input, read_record

Kind = Literal["finished", "damaged", "failed", "unfinished", "running", "stale", "orphaned"]
TOLD: dict[Kind, str] = {
    "finished": "finished, and up to date",
    "damaged": "finished, with frames that failed or could not be decoded",
    "failed": "could not be run",
    "unfinished": "begun and not finished: run the same command again",
    "running": "being written now",
    "stale": "finished, but the input or the request has changed since",
    "orphaned": "its input is not there any more",
}
RECORD_SUFFIX, PART_SUFFIX, NOTE_SUFFIX = ".run.json", ".part", ".part.json"


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


def holdings(folder: Path) -> list[Holding]:
    """Everything in an output folder, by path. Raises `InputError` where it is no folder."""
    if not folder.is_dir():
        raise InputError(f"{printable(folder)}: is not a folder; give the --output-dir of a run", word="input.missing")
    ledger = read_ledger(folder / NAME)
    places = _Places(ledger.working_folder if ledger is not None else os.getcwd())
    found: dict[str, Holding] = {}
    for where, folders, files in os.walk(folder):
        folders.sort()
        for file in files:
            path = Path(where, file)
            if file.endswith(RECORD_SUFFIX):
                output = path.with_name(file.removesuffix(RECORD_SUFFIX))
                record = read_record(path)
                if record is not None and output.exists():
                    _put(found, folder, output, places.finished(output, record))
            elif file.endswith(PART_SUFFIX):
                output = path.with_name(file.removesuffix(PART_SUFFIX))
                _put(found, folder, output, places.unfinished(path))
    for outcome in ledger.videos if ledger is not None else ():
        name = os.path.relpath(os.path.join(places.working_folder, outcome.output), folder)
        if outcome.status == "failed" and name not in found:
            found[name] = places.failed(name, outcome)
    return [found[name] for name in sorted(found)]


def _put(found: dict[str, Holding], folder: Path, output: Path, holding: Holding) -> None:
    name = shown_path(output.relative_to(folder))
    if name not in found or holding.kind in ("unfinished", "running"):
        found[name] = replace(holding, output=name)


class _Places:
    """Judges outputs by what is now at the places that their records name."""

    def __init__(self, working_folder: str) -> None:
        self.working_folder = working_folder
        self._registry: Registry | None = None
        self._digests: dict[str, str | None] = {}
        self._changed: dict[bytes, str | None] = {}

    def finished(self, output: Path, record: RunRecord) -> Holding:
        identity = Identity.model_validate(record.input)
        holding = Holding("", "finished", identity.path, record.request.pipeline["id"], record.accounting.sampled)
        if record.exit_code == 4:
            holding = replace(holding, kind="damaged", word="run.incomplete", message=damage(record))
        if record.output is None or not is_as_recorded(output, record.output):
            return replace(holding, kind="stale", message="the output is not what its record describes")
        return self._with_input(holding, identity, record.request)

    def unfinished(self, part: Path) -> Holding:
        try:
            note = orjson.loads(part.with_name(part.name + ".json").read_bytes())
            request, identity = Request.model_validate(note["request"]), Identity.model_validate(note["input"])
        except (OSError, ValueError, KeyError, TypeError):
            return Holding("", "running" if is_locked(part) else "unfinished", "", "", message="its note is missing")
        lines = scan(part).lines
        kind: Kind = "running" if is_locked(part) else "unfinished"
        holding = Holding("", kind, identity.path, request.pipeline["id"], lines)
        if kind == "running" or self.path_of(identity) is not None:
            return holding
        return replace(holding, kind="orphaned", message=TOLD["orphaned"])

    def failed(self, name: str, outcome: VideoOutcome) -> Holding:
        holding = Holding(name, "failed", outcome.video, outcome.pipeline, 0, outcome.word, outcome.message)
        if outcome.input is not None and self.path_of(outcome.input) is None:
            return replace(holding, kind="orphaned")
        return holding

    def path_of(self, identity: Identity) -> Path | None:
        """Where the input is; None where it is known to be gone."""
        path = Path(self.working_folder, identity.path)
        if path.exists() or "\\" in identity.path:  # a name that cannot be written down is not known to be gone
            return path
        return None

    def _with_input(self, holding: Holding, identity: Identity, request: Request) -> Holding:
        path = self.path_of(identity)
        if path is None:
            return replace(holding, kind="orphaned", message=TOLD["orphaned"])
        if path.exists() and not is_same_input(identity, path):
            return replace(holding, kind="stale", message="the input has changed since")
        changed = self._request_changed(request)
        return holding if changed is None else replace(holding, kind="stale", message=changed)

    def _request_changed(self, request: Request) -> str | None:
        """What has changed of what a request names: pipeline, tools, files."""
        key = orjson.dumps(request.compared(), option=orjson.OPT_SORT_KEYS, default=str)
        if key not in self._changed:
            self._changed[key] = next(self._changes(request), None)
        return self._changed[key]

    def _changes(self, request: Request) -> Iterator[str]:
        path = Path(self.working_folder, request.pipeline["path"])
        try:
            loaded = load(path)
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
        yield from self._changed_files(request.files, request.params)

    def _changed_files(self, files: Mapping[str, str], params: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
        for place, digest in files.items():
            node, _, name = place.rpartition(".")
            path = Path(self.working_folder, str(params.get(node, {}).get(name, "")))
            if path.is_file():
                shown = os.fspath(path)
                if shown not in self._digests:
                    self._digests[shown] = digest_file(path)
                if self._digests[shown] != digest:
                    yield f"{place}: the file {printable(path)} has changed since"


def files_of(folder: Path, output: str) -> list[Path]:
    """The files of one output that are there: itself, its record, its part and what belongs to that."""
    path = folder / output
    beside = [path.with_name(path.name + suffix) for suffix in (RECORD_SUFFIX, PART_SUFFIX, NOTE_SUFFIX)]
    return [each for each in (path, *beside) if each.is_file() and not each.is_symlink()]
