"""Short ways to write pipelines over the toy tools."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from videodag_cli.graph.pipeline import LoadedPipeline, parse_pipeline
from videodag_cli.graph.plan import Plan, make_plan
from videodag_cli.graph.plugins import Registry

TOYS = Path(__file__).parent / "toy_plugins"


@cache
def registry() -> Registry:
    return Registry([TOYS])


def node(spec: str, **params: Any) -> dict[str, Any]:
    """`"id:tool"` or `"tool"` of the toy plugin, or `"id:plugin.tool"`."""
    node_id, _, tool = spec.rpartition(":")
    plugin, _, tool_id = tool.rpartition(".")
    return {"id": node_id or tool_id, "plugin_id": plugin or "toys", "tool_id": tool_id, "params": params}


def document(
    nodes: Iterable[dict[str, Any] | str],
    edges: str = "",
    *,
    outputs: Iterable[str] | None = None,
    entries: Iterable[str] | None = None,
    id: str = "p",
) -> dict[str, Any]:
    """A pipeline; edges as `"a>b b>c"`; entries and outputs default to the roots and the leaves."""
    listed = [node(n) if isinstance(n, str) else n for n in nodes]
    pairs = [tuple(edge.split(">")) for edge in edges.split()]
    ids = [n["id"] for n in listed]
    targets = {b for _, b in pairs}
    sources = {a for a, _ in pairs}
    return {
        "id": id,
        "name": id.title(),
        "nodes": listed,
        "edges": [{"from_node": a, "to_node": b} for a, b in pairs],
        "entry_nodes": list(entries) if entries is not None else [i for i in ids if i not in targets],
        "output_nodes": list(outputs) if outputs is not None else [i for i in ids if i not in sources],
    }


def plan(nodes: Iterable[dict[str, Any] | str], edges: str = "", *, overrides: Any = None, **more: Any) -> Plan:
    raw = document(nodes, edges, **more)
    loaded = LoadedPipeline(parse_pipeline(orjson.dumps(raw)), Path("p.json"), "sha256:0")
    return make_plan(loaded, registry(), overrides=overrides)


def write(folder: Path, raw: dict[str, Any]) -> Path:
    path = folder / f"{raw['id']}.json"
    path.write_bytes(orjson.dumps(raw))
    return path
