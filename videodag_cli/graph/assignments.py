"""`--set [PIPELINE:]NODE.PARAM=VALUE` and `--params FILE`: parameters from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videodag_cli.errors import ParamError, PluginError, RequestError, printable
from videodag_cli.graph.pipeline import Pipeline
from videodag_cli.graph.plugins import Registry
from videodag_cli.toolspec import unknown_name


def overrides(
    pipelines: Sequence[Pipeline], registry: Registry, params: Path | None, assignments: list[str]
) -> list[dict[str, dict[str, Any]]]:
    """For each pipeline node -> parameter -> value; `--set` comes after `--params` and wins.

    Raises `ParamError` for an unknown node, `RequestError` where it is not said which of several pipelines is meant.
    """
    found: list[dict[str, dict[str, Any]]] = [{} for _ in pipelines]
    for place, values in ({} if params is None else _from_file(params)).items():
        number, node_id = _meant(pipelines, place, "--params", "")
        found[number].setdefault(node_id, {}).update(values)
    for text in assignments:
        place, name, value = _parse(text)
        number, node_id = _meant(pipelines, place, f"--set {printable(text)!r}", f".{name}={printable(value)}")
        typed = _typed(pipelines[number], registry, node_id, name, value)
        found[number].setdefault(node_id, {})[name] = typed
    return found


def _meant(pipelines: Sequence[Pipeline], place: str, what: str, rest: str) -> tuple[int, str]:
    """Which pipeline and node `[PIPELINE:]NODE` means. A node that a single pipeline does not have is left to the planner."""
    head, colon, node_id = place.partition(":")
    ids = [pipeline.id for pipeline in pipelines]
    if colon:
        if head not in ids:
            raise RequestError(f"{what}: names the pipeline {head!r}, but {' and '.join(map(repr, ids))} runs")
        return ids.index(head), node_id
    having = [n for n, pipeline in enumerate(pipelines) if any(node.id == place for node in pipeline.nodes)]
    if len(having) == 1 or len(pipelines) == 1:
        return (having or [0])[0], place
    if not having:
        nodes = sorted({node.id for pipeline in pipelines for node in pipeline.nodes})
        raise ParamError(f"{what}: " + unknown_name("node", place, nodes))
    several = " and ".join(repr(ids[n]) for n in having)
    raise RequestError(
        f"{what}: the pipelines {several} have this node; say which, as in {ids[having[0]]}:{printable(place)}{rest}"
    )


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


def _parse(text: str) -> tuple[str, str, str]:
    """`[PIPELINE:]NODE`, parameter, value."""
    place, equals, value = text.partition("=")
    node, dot, name = place.rpartition(".")
    if not (equals and dot and node.rpartition(":")[2] and name):
        raise RequestError(f"--set {printable(text)!r}: give NODE.PARAM=VALUE, such as detect.confidence=0.5")
    return node, name, value


def _typed(pipeline: Pipeline, registry: Registry, node_id: str, name: str, value: str) -> Any:
    nodes = {node.id: node for node in pipeline.nodes}
    if node_id not in nodes:
        raise ParamError("--set: " + unknown_name("node", node_id, sorted(nodes)))
    node = nodes[node_id]
    try:
        return registry.tool(node.plugin_id, node.tool_id).parse_text(name, value)
    except PluginError:
        return value  # the planner reports the broken tool with everything else
