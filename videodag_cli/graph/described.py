"""Tools and pipelines as plain data, for people and programs that look things up."""

from __future__ import annotations

import inspect
from typing import Any

from videodag_cli.graph.plan import Plan
from videodag_cli.graph.plugins import Plugin
from videodag_cli.toolspec import ToolSpec, type_name


def described(plugin: Plugin, spec: ToolSpec) -> dict[str, Any]:
    """Everything about a tool as plain data."""
    schema = spec.params_model.model_json_schema()
    properties = schema.get("properties", {})
    params = []
    for name, (_, default) in spec.signature.params.items():
        known = properties.get(name, {})
        params.append(
            {
                "name": name,
                "type": _type_text(known, schema.get("$defs", {})),
                "default": "required" if default is inspect.Parameter.empty else known.get("default", default),
                "description": known.get("description", ""),
                "schema": known,
            }
        )
    return {
        "id": f"{plugin.id}.{spec.id}",
        "source": plugin.source,
        "version": spec.version,
        "summary": spec.doc.partition("\n")[0],
        "doc": spec.doc,
        "inputs": [
            {
                "name": i.name,
                "type": " | ".join(type_name(t) for t in i.types),
                "optional": i.optional,
                "variadic": i.variadic,
                "label": i.label,
            }
            for i in spec.signature.inputs
        ],
        "outputs": [type_name(kind) for kind in spec.signature.outputs],
        "stateless": spec.stateless,
        "batch_size": spec.batch_size,
        "requires": spec.requires,
        "params": params,
        "definitions": schema.get("$defs", {}),
    }


def _type_text(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A JSON Schema as a short type: `number | null`, `"mog2" | "knn"`, `list of zone`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return " | ".join(dict.fromkeys(_type_text(option, definitions) for option in options))
    if "enum" in schema:
        return " | ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in schema["enum"])
    if "const" in schema:
        return f'"{schema["const"]}"'
    if schema.get("type") == "array":
        items = schema.get("items")
        return f"list of {_type_text(items, definitions)}" if isinstance(items, dict) else "list"
    if schema.get("format") == "path":
        return "file"
    return str(schema.get("type", "any"))


def described_graph(plan: Plan) -> dict[str, Any]:
    """What flows where in a pipeline: nodes in their order, and the links of which they are fed; None stands for the decoded frame."""
    links = [
        {
            "from_node": source.node,
            "to_node": step.id,
            "type": "frame"
            if source.node is None
            else type_name(plan.by_id[source.node].spec.signature.outputs[source.output]),
        }
        for step in plan.steps
        for binding in step.bindings
        for source in binding.sources
    ]
    nodes = [
        {
            "id": step.id,
            "tool": step.tool_name,
            "summary": step.spec.doc.partition("\n")[0],
            "outputs": [type_name(kind) for kind in step.spec.signature.outputs],
            "stateless": step.spec.stateless,
            "is_output": step.is_output,
            "params": step.spec.params_model.model_construct(**step.params).model_dump(mode="json"),
            "given": sorted(step.node.params),
        }
        for step in plan.steps
    ]
    return {"nodes": nodes, "links": links}
