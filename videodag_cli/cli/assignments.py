"""`--set [PIPELINE:]NODE.PARAM=VALUE` and `--params FILE`: parameters from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from videodag_cli.errors import ParamError, PluginError, RequestError, printable
from videodag_cli.pipeline import Pipeline
from videodag_cli.plugins import Registry
from videodag_cli.tool import unknown_name


def overrides(
    pipeline: Pipeline, registry: Registry, params: Path | None, assignments: list[str]
) -> dict[str, dict[str, Any]]:
    """Node -> parameter -> value; `--set` comes after `--params` and wins."""
    found = {} if params is None else _from_file(params)
    for text in assignments:
        node_id, name, value = _parse(text, pipeline)
        found.setdefault(node_id, {})[name] = _typed(pipeline, registry, node_id, name, value)
    return found


def _from_file(path: Path) -> dict[str, dict[str, Any]]:
    import orjson

    shown = printable(path)
    try:
        data = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ParamError(f"--params {shown}: cannot be read: {error.strerror}", word="param.file") from error
    except ValueError as error:
        raise ParamError(f"--params {shown}: is not valid JSON: {error}", word="param.file") from error
    if not isinstance(data, dict) or not all(isinstance(value, dict) for value in data.values()):
        raise ParamError(f'--params {shown}: give a JSON object {{"node": {{"param": value}}}}', word="param.file")
    return data


def _parse(text: str, pipeline: Pipeline) -> tuple[str, str, str]:
    place, equals, value = text.partition("=")
    head, colon, rest = place.partition(":")
    if colon:
        if head != pipeline.id:
            raise RequestError(f"--set {printable(text)!r}: names the pipeline {head!r}, but {pipeline.id!r} runs")
        place = rest
    node_id, dot, name = place.rpartition(".")
    if not (equals and dot and node_id and name):
        raise RequestError(f"--set {printable(text)!r}: give NODE.PARAM=VALUE, such as detect.confidence=0.5")
    return node_id, name, value


def _typed(pipeline: Pipeline, registry: Registry, node_id: str, name: str, value: str) -> Any:
    nodes = {node.id: node for node in pipeline.nodes}
    if node_id not in nodes:
        raise ParamError("--set: " + unknown_name("node", node_id, sorted(nodes)))
    node = nodes[node_id]
    try:
        return registry.tool(node.plugin_id, node.tool_id).parse_text(name, value)
    except PluginError:
        return value  # the planner reports the broken tool with everything else
