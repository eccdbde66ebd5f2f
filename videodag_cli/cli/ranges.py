"""`videodag ranges`: when was it true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from videodag_cli.expressions.timing import TimeRange


def ranges(
    results: Annotated[str, typer.Argument(metavar="RESULTS", help="Results JSONL; - is standard input.")],
    where: Annotated[
        str,
        typer.Option(
            metavar="EXPR", help="Expression that must be true, such as 'people.count >= 1'.", show_default=False
        ),
    ],
    min_: Annotated[
        str | None, typer.Option("--min", metavar="TIME", help="Leave out shorter ranges: 2s, 500ms.")
    ] = None,
    gap: Annotated[
        str | None, typer.Option(metavar="TIME", help="Bridge gaps up to this long, such as 1s; applied before --min.")
    ] = None,
    format: Annotated[Literal["jsonl", "csv", "vtt"], typer.Option(help="Form of the ranges.")] = "jsonl",
) -> None:
    """Print the time ranges in which an expression is true.

    One line per range: start_s, end_s (the end of its last frame's time), start_frame, end_frame (the last frame in it) and frames.
    """
    from videodag_cli.cli import streams
    from videodag_cli.expressions.timing import find_ranges, parse_where
    from videodag_cli.results.reading import read_lines
    from videodag_cli.times import microseconds, parse_seconds

    found = find_ranges(
        read_lines(results),
        parse_where(where),
        gap_us=0 if gap is None else microseconds(parse_seconds(gap, what="--gap")),
        min_us=0 if min_ is None else microseconds(parse_seconds(min_, what="--min")),
        on_unseen=lambda why: streams.say(f"videodag: note: {why}"),
    )
    if format == "csv":
        typer.echo("start_s,end_s,start_frame,end_frame,frames")
    elif format == "vtt":
        typer.echo("WEBVTT\n")
    for item in found:
        typer.echo(_jsonl(item) if format == "jsonl" else _csv(item) if format == "csv" else _cue(item, where))


def _jsonl(found: TimeRange) -> str:
    from dataclasses import asdict

    import orjson

    return orjson.dumps(asdict(found)).decode()


def _csv(found: TimeRange) -> str:
    from dataclasses import astuple

    return ",".join(str(value) for value in astuple(found))


def _cue(found: TimeRange, where: str) -> str:
    from videodag_cli.convert.vtt import cue, escaped, milliseconds

    return cue(milliseconds(found.start_s), milliseconds(found.end_s), escaped(" ".join(where.split())))
