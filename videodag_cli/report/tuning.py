"""What the record says of the pipeline's parameters that the page helps to choose: confidence thresholds, zones, lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from videodag_cli.results.reading import JsonRecord, path_part


def confidence_setting(record: JsonRecord | None, node: str) -> dict[str, Any]:
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
        found = [name for name in level if "confidence" in (params.get(name) or {})]
        if found:
            others = f" So has {', '.join(found[1:])}." if found[1:] else ""
            later = (
                ""
                if found[0] == node
                else f" What follows from it in {node}, ids above all, comes out differently then."
            )
            now = params[found[0]]["confidence"]
            was = f"The run had {now:g}." if isinstance(now, int | float) else "The run had the model's own threshold."
            return {"node": found[0], "param": "confidence", "note": f"{was}{later}{others}"}
        level = [e["from_node"] for e in edges if e.get("to_node") in level and e.get("from_node") not in seen]
        seen.update(level)
    return {"node": None, "param": None, "note": "No node of this pipeline has a parameter confidence."}


def described_boxes(record: JsonRecord | None, boxes: Mapping[str, str]) -> dict[str, str]:
    """Path of rows that say `detection` -> path of the boxes that they mean, where the record tells.

    boxes: path -> node, of all boxes in the lines.
    """
    request = (record or {}).get("request") or {}
    edges = ((request.get("pipeline") or {}).get("definition") or {}).get("edges") or []
    tools = request.get("tools") or {}
    above: dict[str, list[str]] = {}
    for edge in edges:
        above.setdefault(str(edge.get("to_node")), []).append(str(edge.get("from_node")))
    found = {}
    for node, given in above.items():
        vectors = [name for name in given if (tools.get(name) or {}).get("tool") == "embed.image"]
        seen = above.get(vectors[0], []) if vectors else given  # rows of match.embeddings are those of the vectors
        paths = [path for path, owner in boxes.items() if owner in map(path_part, seen)]
        if len(paths) == 1:
            found[path_part(node)] = paths[0]
    return found


def node_with(record: JsonRecord | None, param: str) -> str | None:
    """The first node with a parameter of that name."""
    params = ((record or {}).get("request") or {}).get("params") or {}
    return next((str(node) for node, values in params.items() if isinstance(values, dict) and param in values), None)
