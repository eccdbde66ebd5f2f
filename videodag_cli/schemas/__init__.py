"""JSON Schemas of what is written and read: frame lines, run records, batches, summaries, checks, suites, pipelines.

They are files of this package, one per format and version. Those of records, batches, suites and pipelines are made from the models
in the code (`python -m videodag_cli.schemas` writes them anew): a changed model shows as a changed file.
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
    "suite": "a suite of regression checks (as JSON; suites are TOML)",
    "pipeline": "a pipeline file",
}
VERSION = 1


def load_schema(name: str) -> dict[str, Any]:
    """The schema `line`, `run`, `batch`, `summary`, `check`, `suite` or `pipeline`. Raises `RequestError` for another name."""
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
    if name == "pipeline":
        from videodag_cli.graph.pipeline import Pipeline

        return _titled(name, Pipeline.model_json_schema())
    return None


def _titled(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": DIALECT, "$id": f"urn:videodag:{name}:{VERSION}", **schema, "title": f"videodag {name}"}
