"""`videodag duplicates`: which clips are copies, and which stretches come more than once."""

from __future__ import annotations

from typing import Annotated

import typer

from videodag_cli.cli.shared_options import AsJson


def duplicates(
    results: Annotated[
        list[str],
        typer.Argument(metavar="RESULTS...", help="Results JSONL of the pipeline hashes.", show_default=False),
    ],
    min_: Annotated[str, typer.Option("--min", metavar="TIME", help="Shortest stretch: 5s, 500ms.")] = "5s",
    max_distance: Annotated[
        float,
        typer.Option(
            metavar="BITS", min=0, max=16, help="Largest mean distance of the hashes of a stretch, of 64 bits."
        ),
    ] = 6.0,
    node: Annotated[
        str | None, typer.Option(metavar="NODE", help="Take the hashes of this node, where there are several.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find clips that are copies of each other, and stretches that come more than once.

    Copies may be coded again, scaled, cut, or sampled otherwise; they must show the same part of the picture. Black and still pictures
    fit anything and do not count.
    """
    from dataclasses import asdict

    from videodag_cli.cli import streams
    from videodag_cli.compare.duplicates import find_duplicates, read_hashes
    from videodag_cli.errors import RequestError
    from videodag_cli.results.reading import shown_name
    from videodag_cli.times import parse_seconds

    if len(set(results)) < len(results):
        raise RequestError("a results file is named twice; repeated stretches within a file are looked for in any case")
    files = [read_hashes(source, node=node) for source in results]
    found = find_duplicates(files, min_s=float(parse_seconds(min_, what="--min")), max_bits=max_distance)
    for remark in found.remarks:
        streams.say(f"videodag: note: {remark}")
    if as_json:
        streams.print_json({"copies": found.groups, "stretches": [asdict(each) for each in found.stretches]})
        return
    for group in found.groups:
        typer.echo(f"copies: {', '.join(map(shown_name, group))}")
    for each in found.stretches:
        typer.echo(
            f"{_span(each.a_start_s, each.a_end_s)} of {shown_name(each.a)} = {_span(each.b_start_s, each.b_end_s)} of "
            f"{shown_name(each.b)}  ({each.frames} frames, distance {each.distance:.1f})"
        )
    if not found.stretches:
        typer.echo(f"nothing comes more than once in {len(files)} {'file' if len(files) == 1 else 'files'}")


def _span(start_s: float, end_s: float) -> str:
    from videodag_cli.cli.timestamps import timestamp_ms

    return f"{timestamp_ms(start_s)}-{timestamp_ms(end_s)}"
