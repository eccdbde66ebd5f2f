"""`videodag schema`: the JSON Schemas of what is written and read."""

from __future__ import annotations

from typing import Annotated

import typer


def schema(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="line, run, summary, suite or pipeline; without one, the list."),
    ] = None,
) -> None:
    """Print the JSON Schema of frame lines, run records, summaries, suites or pipelines."""
    import orjson

    from videodag_cli.schemas import NAMES, load

    if name is None:
        width = max(map(len, NAMES))
        for known, what in NAMES.items():
            typer.echo(f"{known:{width}}  {what}")
        return
    typer.echo(orjson.dumps(load(name), option=orjson.OPT_INDENT_2).decode())
