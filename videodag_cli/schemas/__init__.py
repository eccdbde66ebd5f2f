"""JSON Schemas of what is written and read: frame lines, run records, suites, pipelines, and what commands print with `--json`.

They are files of this package, one per format and version. Those of which the code has a model are made from it
(`python -m videodag_cli.schemas` writes them anew): a changed model shows as a changed file.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import orjson

from videodag_cli.errors import RequestError, printable

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAMES: dict[str, str] = {
    "line": "one line of a results JSONL",
    "run": "the run record beside it",
    "batch": "`batch.json`: what became of many videos",
    "summary": "what `summary --json` and `run --format summary` print",
    "check": "what `check --json` prints",
    "diff": "what `diff --json` prints",
    "ranges": "what `ranges --json` prints",
    "intervals": "what `summary --every --json` prints: a list of the rows of `convert --table intervals`",
    "duplicates": "what `duplicates --json` prints",
    "static": "what `static --json` prints",
    "status": "what `status --json` prints",
    "clean": "what `clean --json` prints",
    "plan": "what `plan --json` prints",
    "cache": "what `cache info --json` prints",
    "probe": "what `probe --json` prints",
    "model": "what `model --json` prints",
    "pipelines": "what `pipelines list --json` prints",
    "validation": "what `pipelines validate --json` prints",
    "tools": "what `tools list --json` prints",
    "tool": "what `tools show --json` prints",
    "topics": "what `help --json` prints",
    "schemas": "what `schema --json` prints",
    "error": "a failure on standard error, with --json-errors",
    "suite": "a suite of regression checks (as JSON; suites are TOML)",
    "pipeline": "a pipeline file",
}
VERSION = 1


def load_schema(name: str) -> dict[str, Any]:
    """The schema of one of `NAMES`. Raises `RequestError` for another name."""
    if name not in NAMES:
        raise RequestError(f"no schema {printable(name)!r}; choose one of: {', '.join(NAMES)}")
    found: dict[str, Any] = orjson.loads((files("videodag_cli.schemas") / file_name(name)).read_bytes())
    return found


def file_name(name: str) -> str:
    return f"{name}-{VERSION}.json"


def from_code(name: str) -> dict[str, Any] | None:
    """The schema as the models in the code give it; None for those written by hand."""
    if name == "run":
        from videodag_cli.run.record import RunRecord

        return _titled(name, RunRecord.model_json_schema(mode="serialization"))
    if name == "batch":
        from videodag_cli.batch.ledger import BatchRecord

        return _titled(name, BatchRecord.model_json_schema())
    if name == "suite":
        from videodag_cli.check.suite import SuiteTable

        return _titled(name, SuiteTable.model_json_schema())
    if name == "probe":
        from videodag_cli.video.facts import VideoFacts

        return _titled(name, VideoFacts.model_json_schema(mode="serialization"))
    if name == "plan":
        from videodag_cli.run.costs import RunCosts

        return _titled(name, RunCosts.model_json_schema(mode="serialization"))
    if name == "model":
        return _titled(name, _model())
    if name == "pipeline":
        from videodag_cli.graph.pipeline import Pipeline

        return _titled(name, Pipeline.model_json_schema())
    return None


def _model() -> dict[str, Any]:
    from videodag_cli.vision.onnx.description import ModelDescription

    described = ModelDescription.model_json_schema(mode="serialization")
    definitions = described.pop("$defs", {})
    return {
        "type": "object",
        "required": ["model", "set"],
        "properties": {
            "model": {"$ref": "#/$defs/ModelDescription"},
            "set": {"description": "What `run --set` takes", "type": "array", "items": {"type": "string"}},
            "line": {"description": "With --try: a line, as its own schema says", "type": "object"},
            "remarks": {"type": "array", "items": {"type": "string"}},
        },
        "additionalProperties": False,
        "$defs": {"ModelDescription": described, **definitions},
    }


def _titled(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": DIALECT, "$id": f"urn:videodag:{name}:{VERSION}", **schema, "title": f"videodag {name}"}
