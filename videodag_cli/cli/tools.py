"""`videodag tools`: what a pipeline can contain."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from videodag_cli.cli.shared_options import AsJson, PluginsDirs

app = typer.Typer(help="List and describe tools.", no_args_is_help=True)


@app.command("list")
def list_tools(plugins_dir: PluginsDirs = None, as_json: AsJson = False) -> None:
    """List every tool of every plugin; a broken plugin is reported and stops nothing."""
    from videodag_cli.cli.pipelines import columns
    from videodag_cli.cli.streams import print_json, say, say_error
    from videodag_cli.errors import PluginError
    from videodag_cli.graph.described import described
    from videodag_cli.graph.plugins import make_registry

    registry = make_registry(plugins_dir)
    plugins, problems = registry.all()
    found = []
    for plugin in plugins:
        for spec in plugin.tools.values():
            try:
                found.append(described(plugin, spec))
            except PluginError as error:
                problems.append(error)
    if as_json:
        print_json(found)
    else:
        rows = [("TOOL", "TAKES", "GIVES", "WHAT IT DOES")]
        for tool in found:
            takes = ", ".join(i["type"] + "?" * i["optional"] for i in tool["inputs"])
            rows.append((tool["id"], takes, " + ".join(tool["outputs"]), tool["summary"]))
        typer.echo(columns(rows))
    for remark in registry.hidden:
        say(remark)
    for problem in problems:
        say_error(problem)


@app.command()
def show(
    tool: Annotated[str, typer.Argument(metavar="PLUGIN.TOOL", help="For example quality.sharpness.")],
    plugins_dir: PluginsDirs = None,
    as_json: AsJson = False,
) -> None:
    """Describe a tool: inputs, outputs, and each parameter with its type, default and range."""
    from videodag_cli.cli.streams import print_json
    from videodag_cli.errors import PluginError, printable
    from videodag_cli.graph.described import described
    from videodag_cli.graph.plugins import make_registry

    plugin_id, dot, tool_id = tool.partition(".")
    if not dot:
        raise PluginError(f"{printable(tool)!r}: give PLUGIN.TOOL, such as quality.sharpness")
    registry = make_registry(plugins_dir)
    spec = registry.tool(plugin_id, tool_id)
    facts = described(registry.plugin(plugin_id), spec)
    if as_json:
        print_json(facts)
        return
    lines = [f"{facts['id']} (version {facts['version']}, {facts['source']})", "", facts["doc"], ""]
    lines.append("takes    " + (", ".join(i["label"] for i in facts["inputs"]) or "nothing"))
    lines.append("gives    " + " + ".join(facts["outputs"]))
    lines.append("state    " + ("none: calls are independent" if facts["stateless"] else "called in frame order"))
    if facts["batch_size"] > 1:
        lines.append(f"batches  up to {facts['batch_size']} frames")
    if facts["requires"]:
        lines.append(f"needs    the extra {facts['requires']!r}")
    for param in facts["params"]:
        lines += ["", f"  {param['name']}: {param_text(param)}"]
        if param["description"]:
            lines.append(f"      {param['description']}")
    typer.echo("\n".join(lines))


def param_text(param: dict[str, Any]) -> str:
    """What a described param may be: `number, 0 to 1; default 0.5`."""
    default = param["default"]
    kind = str(param["type"]).replace(" | null", "") + _range(param["schema"])
    if default is None:
        return f"{kind}; optional"
    if default == "required":
        return f"{kind}; required"
    import orjson

    return f"{kind}; default {orjson.dumps(default, default=list).decode()}"


def _range(schema: dict[str, Any]) -> str:
    for option in (schema, *schema.get("anyOf", ())):
        low, high = option.get("minimum"), option.get("maximum")
        if low is not None and high is not None:
            return f", {low:g} to {high:g}"
        limits = {"at least": low, "at most": high}
        limits |= {"above": option.get("exclusiveMinimum"), "below": option.get("exclusiveMaximum")}
        given = [f"{words} {limit:g}" for words, limit in limits.items() if limit is not None]
        if given:
            return ", " + " and ".join(given)
    return ""
