"""`videodag convert`: results in the formats of other programs."""

from __future__ import annotations

from typing import Annotated

import typer

from videodag_cli.convert import ConvertFormat, TableName


def convert(
    results: Annotated[list[str], typer.Argument(metavar="RESULTS...", help="Results JSONL; - is standard input.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="File to write; - is standard output.")],
    to: Annotated[
        ConvertFormat | None,
        typer.Option(
            "--to",
            help="Format; default: from the extension .csv, .parquet, .jsonl, .json (coco), .txt (mot), .vtt, .edl or .otio.",
        ),
    ] = None,
    table: Annotated[
        TableName | None,
        typer.Option(
            "--table",
            help="Rows of csv, parquet and jsonl: one per frame (the default), per detection, per track, or per interval.",
        ),
    ] = None,
    every: Annotated[
        str | None, typer.Option(metavar="TIME", help="Length of the intervals of --table intervals: 1m, 10s.")
    ] = None,
    clock: Annotated[
        bool,
        typer.Option("--clock", help="Let intervals begin at full minutes, hours, ... of the clock (run --clock)."),
    ] = False,
    rate: Annotated[
        str | None,
        typer.Option(metavar="FPS", help="Frames per second of edl and otio, where the video's vary: 25, 29.97."),
    ] = None,
    node: Annotated[
        list[str] | None,
        typer.Option("--node", metavar="NODE", help="Take only the outputs of this node."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing when all went well.")] = False,
) -> None:
    """Write results as a table (CSV, Parquet, JSON lines), COCO JSON, MOTChallenge text or WebVTT, or cuts as EDL or OTIO."""
    from videodag_cli.convert import convert as convert_files
    from videodag_cli.errors import printable

    done = convert_files(
        results,
        output,
        to=to,
        table=table,
        every=every,
        clock=clock,
        nodes=node or (),
        rate=rate,
        overwrite=overwrite,
    )
    if quiet:
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for remark in done.remarks:
        console.print(Text(f"note: {remark}"))
    if output != "-":
        plural = done.unit if done.count == 1 else f"{done.unit}{'es' if done.unit.endswith('x') else 's'}"
        console.print(Text(f"{done.count} {plural} -> {printable(output)}"))
