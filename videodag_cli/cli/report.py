"""`videodag report`: a results file as one HTML page."""

from __future__ import annotations

from typing import Annotated

import typer


def report(
    results: Annotated[str, typer.Argument(metavar="RESULTS", help="Results JSONL; - is standard input.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Page to write; default: RESULTS with .html; - is standard output."
        ),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            metavar="TIME|FRAME",
            help="Also store a picture of this moment: 27s, 1:02.5, 812f, or several with commas.",
        ),
    ] = None,
    video: Annotated[
        str | None, typer.Option("--video", metavar="CLIP", help="The video, if the run record does not lead to it.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing when all went well.")] = False,
) -> None:
    """Write one HTML page with timelines, tracks, events, timings and a frame browser; it opens offline."""
    from pathlib import Path

    from videodag_cli.errors import RequestError, printable
    from videodag_cli.report import write_report

    if output is None:
        if results == "-":
            raise RequestError("give -o FILE: standard input has no name to derive the page's from")
        output = str(Path(results).with_suffix(".html"))
    done = write_report(results, output, at=at or (), video=video, overwrite=overwrite)
    if quiet:
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for remark in done.remarks:
        console.print(Text(f"note: {remark}"))
    if output != "-":
        console.print(
            Text(f"{_counted(done.lines, 'line')}, {_counted(done.pictures, 'picture')} -> {printable(output)}")
        )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
