"""`videodag ranges`: when was it true."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from videodag_cli.convert.cut_method import CutMethod

if TYPE_CHECKING:
    from videodag_cli.expressions.timing import TimeRange
    from videodag_cli.results.clock_zero import ClockSeen


def ranges(
    results: Annotated[list[str], typer.Argument(metavar="RESULTS...", help="Results JSONL; - is standard input.")],
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
    format: Annotated[
        Literal["jsonl", "csv", "vtt", "edl", "otio"], typer.Option(help="Form of the ranges.")
    ] = "jsonl",
    rate: Annotated[
        str | None,
        typer.Option(metavar="FPS", help="Frames per second of edl and otio, where the video's vary: 25, 29.97."),
    ] = None,
    clock: Annotated[
        bool, typer.Option("--clock", help="Add start_time and end_time to csv; lines must have time (run --clock).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    cut: Annotated[
        CutMethod | None,
        typer.Option(
            help="Print instead the ffmpeg command that cuts each range: copy keeps the coding and "
            "begins at a keyframe at or before it, exact codes exactly its frames again.",
        ),
    ] = None,
    video: Annotated[
        str | None, typer.Option(metavar="CLIP", help="The video to cut, where no record names it or it has moved.")
    ] = None,
) -> None:
    """Print the time ranges in which an expression is true.

    One line per range: start_s, end_s (the end of its last frame's time), start_frame, end_frame (the last frame in it) and frames; with
    several results, source before them.
    """
    from dataclasses import asdict

    from videodag_cli.cli import streams
    from videodag_cli.errors import RequestError
    from videodag_cli.expressions.timing import find_ranges, parse_where
    from videodag_cli.results.clock_zero import ClockSeen
    from videodag_cli.results.reading import read_lines, shown_name
    from videodag_cli.times import microseconds, parse_seconds

    several = len(results) > 1
    if several and format == "vtt":
        raise RequestError(f"{format} describes one video; print the ranges of {len(results)} results files one by one")
    if results.count("-") > 1:
        raise RequestError("standard input can be read once")
    if cut is not None and format != "jsonl":
        raise RequestError("--cut prints commands; leave out --format")
    if as_json and (cut is not None or format != "jsonl"):
        raise RequestError("--json prints one document; leave out --format and --cut")
    if video is not None and (cut is None or several):
        raise RequestError("--video needs --cut and a single results file")
    if rate is not None and format not in ("edl", "otio"):
        raise RequestError("--rate belongs to --format edl and otio")
    if clock and format != "csv":
        raise RequestError("--clock belongs to --format csv; other forms have times where the lines do")
    condition = parse_where(where)
    gap_us = 0 if gap is None else microseconds(parse_seconds(gap, what="--gap"))
    min_us = 0 if min_ is None else microseconds(parse_seconds(min_, what="--min"))
    if cut is not None:
        write = _cutters(cut, video)
    elif format == "csv":
        clocks = ",start_time,end_time" if clock else ""
        typer.echo(f"{'source,' if several else ''}start_s,end_s,start_frame,end_frame,frames{clocks}")
        write = partial(_csv, several=several, clock=clock)
    elif format == "vtt":
        typer.echo("WEBVTT\n")
        write = partial(_cue, where=where)
    else:
        write = _jsonl if several else _jsonl_of_one

    def unseen(source: str, why: str) -> None:
        streams.say(f"videodag: note: {f'{shown_name(source)}: ' if several else ''}{why}")

    if format in ("edl", "otio"):
        _print_edit(
            [
                (
                    source,
                    find_ranges(
                        read_lines(source), condition, gap_us=gap_us, min_us=min_us, on_unseen=partial(unseen, source)
                    ),
                )
                for source in results
            ],
            format,
            rate,
        )
        return
    listed = []
    for source in results:
        seen = ClockSeen()
        found = find_ranges(
            seen.watch(read_lines(source), source),
            condition,
            gap_us=gap_us,
            min_us=min_us,
            on_unseen=partial(unseen, source),
        )
        for item in found:
            if as_json:
                listed.append({"source": source, **asdict(item), **seen.times(item.start_s, item.end_s)})
            else:
                typer.echo(write(item, source, seen))
    if as_json:
        streams.print_json({"where": where, "ranges": listed})


def _print_edit(found: Sequence[tuple[str, Iterable[TimeRange]]], form: str, rate: str | None) -> None:
    from videodag_cli.convert.editing import Edit, frame_axis
    from videodag_cli.convert.scene_edit import edit_text
    from videodag_cli.results.reading import read_record, shown_name

    axes = [frame_axis(read_record(source), shown_name(source), rate=rate) for source, _ in found]
    clips = [
        axis.clip(round(item.start_s * 1_000_000), round(item.end_s * 1_000_000), f"range {rank}")
        for axis, (_, ranges) in zip(axes, found, strict=True)
        for rank, item in enumerate(ranges, 1)
    ]
    typer.echo(edit_text(form, Edit.of(clips, axes)), nl=False)


def _cutters(how: CutMethod, video: str | None) -> Callable[[TimeRange, str, ClockSeen], str]:
    """Gives the command for a range of a results file; each file's video is opened once, when it is needed."""
    from videodag_cli.convert.cutting import Cutter
    from videodag_cli.results.origin import require_video
    from videodag_cli.results.reading import read_record

    opened: dict[str, Cutter] = {}

    def command(found: TimeRange, source: str, _: ClockSeen) -> str:
        if source not in opened:
            record = read_record(source)
            stream = ((record or {}).get("request") or {}).get("stream")
            opened[source] = Cutter(require_video(record, source, video), results=source, stream=stream)
        return opened[source].command(found, how)

    return command


def _jsonl(found: TimeRange, source: str, seen: ClockSeen) -> str:
    from dataclasses import asdict

    import orjson

    from videodag_cli.errors import printable

    return orjson.dumps(
        {"source": printable(source), **asdict(found), **seen.times(found.start_s, found.end_s)}
    ).decode()


def _jsonl_of_one(found: TimeRange, _: str, seen: ClockSeen) -> str:
    from dataclasses import asdict

    import orjson

    return orjson.dumps({**asdict(found), **seen.times(found.start_s, found.end_s)}).decode()


def _csv(found: TimeRange, source: str, seen: ClockSeen, *, several: bool, clock: bool) -> str:
    import csv
    import io
    from dataclasses import astuple

    from videodag_cli.errors import InputError
    from videodag_cli.results.reading import shown_name

    times = seen.times(found.start_s, found.end_s)
    if clock and not times:
        raise InputError(
            f"{shown_name(source)}: its lines have no time; run it with --clock, or leave out --clock",
            word="input.not_results",
        )
    text = io.StringIO()
    row = ([source] if several else []) + [*astuple(found), *(times.values() if clock else ())]
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue()


def _cue(found: TimeRange, _: str, __: ClockSeen, *, where: str) -> str:
    from videodag_cli.convert.vtt import cue, escaped, milliseconds

    return cue(milliseconds(found.start_s), milliseconds(found.end_s), escaped(" ".join(where.split())))
