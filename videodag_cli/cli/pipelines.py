"""`videodag pipelines`: list, show, validate, schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from videodag_cli.cli.shared_options import AsJson, PipelinesDirs, PluginsDirs

if TYPE_CHECKING:
    from videodag_cli.errors import VideodagError
    from videodag_cli.graph.pipeline import FoundPipeline
    from videodag_cli.graph.plan import Plan, Step
    from videodag_cli.graph.plugins import Registry

app = typer.Typer(help="List, draw and check pipelines.", no_args_is_help=True)


@app.command("list")
def list_pipelines(pipelines_dir: PipelinesDirs = None, as_json: AsJson = False) -> None:
    """List pipelines: id, name, outputs, where each comes from and what it hides."""
    from videodag_cli.cli.streams import print_json
    from videodag_cli.errors import PipelineError, printable
    from videodag_cli.graph.pipeline import catalogue, load_pipeline, search_places

    rows: list[dict[str, Any]] = []
    for found in catalogue(search_places(pipelines_dir or ())):
        row: dict[str, Any] = {"id": found.id, "from": found.place.label, "path": str(found.path)}
        try:
            pipeline = load_pipeline(found.path).pipeline
            row |= {"name": pipeline.name, "outputs": list(pipeline.output_nodes), "description": pipeline.description}
        except PipelineError as error:
            row |= {"name": "", "outputs": [], "description": "", "problem": error.message}
        row["hides"] = [str(path) for path in found.hides]
        rows.append(row)
    if as_json:
        print_json(rows)
        return
    table = [("ID", "NAME", "OUTPUTS", "FROM")]
    for row in rows:
        name = row["name"] or "cannot be loaded; see `pipelines validate`"
        hides = f" (hides {', '.join(map(printable, row['hides']))})" if row["hides"] else ""
        table.append(
            (printable(row["id"]), printable(name), ", ".join(map(printable, row["outputs"])), row["from"] + hides)
        )
    typer.echo(columns(table))


@app.command()
def show(
    pipeline: Annotated[str, typer.Argument(metavar="ID", help="An id, builtin:ID, or a .json file.")],
    format: Annotated[
        Literal["text", "json", "mermaid"], typer.Option(help="A drawing, JSON, or a Mermaid flowchart.")
    ] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    pipelines_dir: PipelinesDirs = None,
    plugins_dir: PluginsDirs = None,
) -> None:
    """Draw a pipeline: the nodes, the types on its edges, every parameter."""
    from videodag_cli.cli.streams import print_json
    from videodag_cli.graph.pipeline import find_pipeline, load_pipeline, search_places
    from videodag_cli.graph.plan import make_plan
    from videodag_cli.graph.plugins import make_registry

    found = find_pipeline(pipeline, search_places(pipelines_dir or ()))
    loaded = load_pipeline(found.path)
    if as_json or format == "json":
        print_json(loaded.pipeline.model_dump(mode="json"))
        return
    plan = make_plan(loaded, make_registry(plugins_dir))
    typer.echo(_mermaid(plan) if format == "mermaid" else _drawing(plan, found))


@app.command()
def validate(
    pipelines: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID|FILE]...", help="Ids or .json files; none: every pipeline that can be found."),
    ] = None,
    pipelines_dir: PipelinesDirs = None,
    plugins_dir: PluginsDirs = None,
    load_models: Annotated[
        bool, typer.Option("--load", help="Also make the tools: open the models and say what they were read as.")
    ] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NODE.PARAM=VALUE", help="Replace a param, as in run.")
    ] = None,
    params: Annotated[
        Path | None, typer.Option(metavar="FILE", help='Params as JSON, as in run: {"node": {"param": value}}.')
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check pipelines; every problem of every one is printed."""
    from videodag_cli.cli.streams import print_json
    from videodag_cli.errors import PipelineError, RequestError, VideodagError, printable
    from videodag_cli.graph.assignments import overrides
    from videodag_cli.graph.pipeline import catalogue, find_pipeline, load_pipeline, search_places
    from videodag_cli.graph.plan import make_plan
    from videodag_cli.graph.plugins import make_registry

    if (set_ or params is not None) and len(pipelines or ()) != 1:
        raise RequestError(
            "--set and --params need exactly one pipeline; name it: videodag pipelines validate objects --set ..."
        )
    places = search_places(pipelines_dir or ())
    names = pipelines or [str(found.path) for found in catalogue(places)]
    registry = make_registry(plugins_dir)
    problems = []
    rows: list[dict[str, Any]] = []
    for name in names:
        path = None
        try:
            found = find_pipeline(name, places)
            path = str(found.path)
            loaded = load_pipeline(found.path)
            (given,) = overrides([loaded.pipeline], registry, params, set_ or [])
            plan = make_plan(loaded, registry, overrides=given)
            described = _describe_tools(plan, registry) if load_models else []
        except VideodagError as error:
            problems.append(error)
            rows.append(_verdict(name, path, problem=error))
            if not as_json and len(names) > 1:
                typer.echo(f"not ok  {error.message}")
            continue
        rows.append(_verdict(name, path, plan.warnings, described))
        if as_json:
            continue
        typer.echo(f"ok      {printable(plan.pipeline.id)}  ({printable(found.path)})")
        for line in [*plan.warnings, *described]:
            typer.echo(f"        {line}")
    if as_json:
        print_json(rows)
    if problems and len(names) == 1:
        raise problems[0]
    if problems:
        raise PipelineError(f"{len(problems)} of {len(names)} pipelines have problems")


@app.command()
def schema() -> None:
    """Print the JSON Schema of pipeline files, for editors."""
    from videodag_cli.cli.streams import print_json
    from videodag_cli.schemas import load_schema

    print_json(load_schema("pipeline"))


def _verdict(
    name: str,
    path: str | None,
    warnings: Sequence[str] = (),
    described: Sequence[str] = (),
    *,
    problem: VideodagError | None = None,
) -> dict[str, Any]:
    """What `--json` says of one pipeline."""
    said = None
    if problem is not None:
        message, *problems = problem.message.split("\n")
        said = {
            "word": problem.word,
            "message": message,
            "problems": [line.strip().removeprefix("- ") for line in problems],
        }
    facts = {"warnings": list(warnings), "tools": list(described)}
    return {"pipeline": name, "valid": problem is None, "path": path, **facts, "problem": said}


def _describe_tools(plan: Plan, registry: Registry) -> list[str]:
    from videodag_cli.data import VideoInfo
    from videodag_cli.engine.engine import Engine

    for step in plan.steps:
        registry.require(step.node.plugin_id, step.spec)
    with Engine(plan, VideoInfo(width=1280, height=720)) as engine:
        return [
            f"{node}: " + ", ".join(f"{key} {value}" for key, value in facts.items())
            for node, facts in engine.describe().items()
        ]


def columns(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of text as aligned columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _drawing(plan: Plan, found: FoundPipeline) -> str:
    """The graph as a tree from the decoded frame down: a node hangs below the last of its predecessors to run."""
    from videodag_cli.errors import printable

    pipeline = plan.pipeline
    lines = [f"{printable(pipeline.id)}: {printable(pipeline.name)}"]
    if pipeline.description:
        lines.append(printable(pipeline.description))
    lines.append(f"{found.place.label}: {printable(found.path)}  {plan.loaded.digest[:19]}")
    order = {step.id: i for i, step in enumerate(plan.steps)}
    below: dict[str | None, list[Step]] = {}
    for step in plan.steps:
        parent = max(step.predecessors, key=lambda name: order[name], default=None)
        below.setdefault(parent, []).append(step)
    lines += ["", "decoded frame"]
    lines += _branches(plan, below, None, "")
    return "\n".join(lines)


def _branches(plan: Plan, below: dict[str | None, list[Step]], parent: str | None, indent: str) -> list[str]:
    lines: list[str] = []
    children = below.get(parent, [])
    for step in children:
        last = step is children[-1]
        lines += _drawn_step(
            plan, step, parent, indent, "└─" if last else "├─", "  " if last else "│ ", step.id in below
        )
        lines += _branches(plan, below, step.id, indent + ("   " if last else "│  "))
    return lines


def _drawn_step(
    plan: Plan, step: Step, parent: str | None, indent: str, elbow: str, rail: str, has_children: bool
) -> list[str]:
    from videodag_cli.errors import printable
    from videodag_cli.toolspec import type_name

    flows: dict[str | None, list[str]] = {}
    for binding in step.bindings:
        for source in binding.sources:
            flows.setdefault(source.node, []).append(_flowing(plan, source.node, source.output))
    main = ", ".join(flows.pop(parent, []))
    gives = " + ".join(type_name(kind) for kind in step.spec.signature.outputs)
    written = "  [written]" if step.is_output else ""
    kind = "" if step.spec.stateless else ", keeps state"
    lines = [
        f"{indent}{elbow} {main} → {printable(step.id)}: {step.tool_name} → {gives}{written}{kind and f'  ({kind[2:]})'}"
    ]
    pad = f"{indent}{rail} {'│' if has_children else ' '}    "
    lines += [
        f"{pad}with {', '.join(kinds)} from {'the decoded frame' if node is None else printable(node)}"
        for node, kinds in flows.items()
    ]
    given = {name: value for name, value in step.params.items() if name in step.node.params}
    lines += [f"{pad}{name} = {printable(_short(value), limit=90)}" for name, value in given.items()]
    defaults = [f"{n} = {printable(_short(v), limit=30)}" for n, v in step.params.items() if n not in given]
    lines += [f"{pad}default: {line}" for line in _filled(defaults, 100)]
    return lines


def _filled(parts: list[str], width: int) -> list[str]:
    """Parts joined by commas, in lines of at most about `width` characters."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 2 <= width:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return lines


def _flowing(plan: Plan, node: str | None, output: int) -> str:
    from videodag_cli.toolspec import type_name

    return "frame" if node is None else type_name(plan.by_id[node].spec.signature.outputs[output])


def _short(value: Any) -> str:
    import orjson

    if isinstance(value, str | Path):
        return str(value)
    return orjson.dumps(
        value, default=lambda v: v.model_dump(mode="json") if hasattr(v, "model_dump") else str(v)
    ).decode()


def _mermaid(plan: Plan) -> str:
    """A Mermaid flowchart; nodes get neutral names, since ids may hold anything."""
    from videodag_cli.errors import printable

    names = {step.id: f"n{i}" for i, step in enumerate(plan.steps)}
    lines = ["flowchart TD", '  frame(["decoded frame"])']
    for step in plan.steps:
        shape = ('[["', '"]]') if step.is_output else ('["', '"]')
        label = f"{printable(step.id)}<br/>{step.tool_name}".replace('"', "#quot;")
        lines.append(f"  {names[step.id]}{shape[0]}{label}{shape[1]}")
    for step in plan.steps:
        for binding in step.bindings:
            for source in binding.sources:
                start = "frame" if source.node is None else names[source.node]
                lines.append(f"  {start} -->|{_flowing(plan, source.node, source.output)}| {names[step.id]}")
    return "\n".join(lines)
