"""`videodag schema`: the JSON Schemas of what is written and read."""

from __future__ import annotations

from typing import Annotated

import typer


def schema(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A schema, such as line, run or check; without one, the list."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the list as JSON; a schema is JSON with and without it.")
    ] = False,
) -> None:
    """Print the JSON Schema of frame lines, run records, suites, pipelines, or what a command prints with --json."""
    from videodag_cli.cli.streams import print_json
    from videodag_cli.schemas import NAMES, load_schema

    if name is None and json:
        print_json([{"name": known, "about": what} for known, what in NAMES.items()])
    elif name is None:
        width = max(map(len, NAMES))
        for known, what in NAMES.items():
            typer.echo(f"{known:{width}}  {what}")
    else:
        print_json(load_schema(name))
