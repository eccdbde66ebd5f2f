"""`videodag status`: what an output folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SHOWN_NOT_RUN = 20
BATCHES = {
    "running": "a batch is running",
    "interrupted": "the last batch was stopped before its end; the same command continues it",
    "killed": "the last batch was killed, so that batch.json still says running; the same command continues it",
}


def status(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The --output-dir of earlier runs.", show_default=False)
    ],
    json: Annotated[bool, typer.Option("--json", help="Print every output as JSON.")] = False,
) -> None:
    """Show what an output folder contains: finished, failed, unfinished, not run, stale, orphaned; exit 4 unless all is well.

    Nothing is written. An output is stale when its input, its pipeline, a tool or a file of a param has changed since.
    """
    from videodag_cli.batch.holdings import TOLD, holdings, last_batch
    from videodag_cli.cli import streams
    from videodag_cli.errors import IncompleteError, counted, printable

    found = holdings(folder)
    counts = {kind: sum(holding.kind == kind for holding in found) for kind in TOLD}
    if json:
        streams.print_json(
            {
                "folder": printable(folder),
                "batch": last_batch(folder),
                "counts": counts,
                "outputs": [each.as_json() for each in found],
            }
        )
    else:
        typer.echo(f"{printable(folder)}: {counted(len(found), 'output')}")
        if (batch := last_batch(folder)) is not None and batch != "ended":
            typer.echo(f"  {BATCHES[batch]}")
        for kind, text in TOLD.items():
            if counts[kind]:
                typer.echo(f"  {_named(kind):<10}  {counts[kind]:>7,}  {text}")
        not_run = 0
        for each in found:
            not_run += each.kind == "not_run"
            if each.kind == "not_run" and not_run > SHOWN_NOT_RUN:
                continue
            if each.kind not in ("finished", "running"):
                word = f" [{each.word}]" if each.word else ""
                typer.echo(
                    f"  {_named(each.kind)}{word}: {each.output}" + (f": {each.message}" if each.message else "")
                )
        if not_run > SHOWN_NOT_RUN:
            typer.echo(f"  and {not_run - SHOWN_NOT_RUN:,} more that were not run; --json lists them all")
    bad = {kind: count for kind, count in counts.items() if count and kind not in ("finished", "running")}
    if bad:
        parts = ", ".join(f"{count} {_named(kind)}" for kind, count in bad.items())
        raise IncompleteError(f"{printable(folder)}: {parts}")


def _named(kind: str) -> str:
    return kind.replace("_", " ")
