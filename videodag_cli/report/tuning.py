"""What the record says of the pipeline's parameters that the page helps to choose: confidence thresholds, zones, lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Record = Mapping[str, Any]


def confidence_setting(record: Record | None, node: str) -> dict[str, Any]:
    """Which parameter filters the boxes of `node`: `node`, `param`, `note`.

    It is the node's own parameter `confidence`, or that of the nearest node upstream that has one.
    """
    if record is None:
        return {
            "node": node,
            "param": "confidence",
            "note": "Without a run record the name of the parameter is a guess.",
        }
    request = record.get("request") or {}
    params = request.get("params") or {}
    edges = ((request.get("pipeline") or {}).get("definition") or {}).get("edges") or []
    level, seen = [node], {node}
    while level:
        found = [name for name in level if isinstance((params.get(name) or {}).get("confidence"), int | float)]
        if found:
            others = f" So has {', '.join(found[1:])}." if found[1:] else ""
            later = (
                ""
                if found[0] == node
                else f" What follows from it in {node}, ids above all, comes out differently then."
            )
            now = params[found[0]]["confidence"]
            return {"node": found[0], "param": "confidence", "note": f"The run had {now:g}.{later}{others}"}
        level = [e["from_node"] for e in edges if e.get("to_node") in level and e.get("from_node") not in seen]
        seen.update(level)
    return {"node": None, "param": None, "note": "No node of this pipeline has a parameter confidence."}


def node_with(record: Record | None, param: str) -> str | None:
    """The first node with a parameter of that name."""
    params = ((record or {}).get("request") or {}).get("params") or {}
    return next((str(node) for node, values in params.items() if isinstance(values, dict) and param in values), None)
