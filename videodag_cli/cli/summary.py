"""`videodag summary`: a results file in one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from videodag_cli.cli.timestamps import timestamp_ms

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MAX_LISTED = 6


def summary(
    results: Annotated[str, typer.Argument(metavar="RESULTS", help="Results JSONL; - is standard input.")],
    every: Annotated[
        str | None, typer.Option(metavar="TIME", help="One row for each interval of this length and output: 1m, 10s.")
    ] = None,
    clock: Annotated[
        bool,
        typer.Option("--clock", help="Let intervals begin at full minutes, hours, ... of the clock (run --clock)."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Show what a results file contains: frames, failures, numbers, classes, tracks, texts."""
    from videodag_cli.errors import RequestError
    from videodag_cli.results.reading import read_lines, shown_name
    from videodag_cli.results.summary import Summary

    if clock and every is None:
        raise RequestError("--clock belongs to --every")
    if every is not None:
        _by_interval(results, every, clock=clock, as_json=as_json)
        return
    found = Summary.of(read_lines(results)).as_json()
    if as_json:
        from videodag_cli.cli.streams import print_json

        print_json(found)
        return
    import sys

    from rich.console import Console

    width = None if sys.stdout.isatty() else 110
    show_summary(Console(width=width, highlight=False), found, title=shown_name(results))


def _by_interval(results: str, every: str, *, clock: bool, as_json: bool) -> None:
    """The table of intervals that `convert` writes, on the screen."""
    from videodag_cli.cli import streams
    from videodag_cli.convert import interval_table, jsonl
    from videodag_cli.convert.results_files import opened_results
    from videodag_cli.results.intervals import parse_every

    every_us = parse_every(every)
    with opened_results([results], twice=True) as sources:
        rows = jsonl.rows(interval_table.interval_table(sources, every_us=every_us, clock=clock))
        for remark in interval_table.remarks(sources):
            streams.say(f"videodag: note: {remark}")
        if as_json:
            streams.print_json(list(rows))
            return
        typer.echo(
            f"{'from':>20} {'frames':>7} {'failed':>7} {'missing':>7}  output: mean, min to max; classes, ids, crossings, visits"
        )
        for row in rows:
            typer.echo(_interval_line(row))


def _interval_line(row: dict[str, Any]) -> str:
    missing = "?" if row["missing"] is None else row["missing"]
    at = timestamp_ms(row["start_s"]) if row["start_time"] is None else row["start_time"].partition(".")[0] + "Z"
    head = f"{at:>20} {row['frames']:>7} {row['failed']:>7} {missing:>7}"
    if row["output"] is None:
        return head
    parts = []
    if row["mean"] is not None:
        parts.append(f"{row['mean']:.6g}, {row['min']:.6g} to {row['max']:.6g}")
    elif not row["values"]:
        parts.append("no value")
    if row["by_class"]:
        parts.append(
            _listed([f"{_name(name)} {count}" for name, count in row["by_class"].items()], len(row["by_class"]))
        )
    if row["ids"] is not None:
        parts.append(f"{row['ids']} id{'' if row['ids'] == 1 else 's'}")
    if row["in_count"] is not None:
        parts.append(f"in {row['in_count']}, out {row['out_count']}")
    if row["visits"]:
        parts.append(f"{row['visits']} visit{'' if row['visits'] == 1 else 's'} of {row['dwell_s']:.6g} s in all")
    return f"{head}  {_name(row['output'])}: {'; '.join(parts) or str(row['values']) + ' values'}"


def show_summary(console: Console, found: dict[str, Any], *, title: str) -> None:
    """Print `Summary.as_json()` for a person."""
    from rich.text import Text

    from videodag_cli.errors import printable

    head = Text(printable(title, limit=100), style="bold")
    console.print(head)
    console.print(Text(_headline(found)))
    numbers = {p: o for p, o in found["outputs"].items() if o["kind"] == "number"}
    rows = {p: o for p, o in found["outputs"].items() if o["kind"] in ("detections", "rows")}
    others = {p: o for p, o in found["outputs"].items() if o["kind"] in ("boolean", "text", "null")}
    for table in (_rows_table(rows), _others_table(others), _numbers_table(numbers)):
        if table is not None:
            console.print()
            console.print(table)
    if found["errors"]:
        console.print()
        for error in found["errors"][:MAX_LISTED]:
            where = printable(f"{error['node']} ({error['tool']})", limit=60)
            what = printable(f"{error['type']}: {error['message']}", limit=120)
            console.print(Text(f"failed {error['frames']} x  {where}  {what}", style="red"))


def _headline(found: dict[str, Any]) -> str:
    if not found["frames"]:
        return "no frames"
    failed = f", {found['failed']} failed" if found["failed"] else ""
    return (
        f"{_frames(found['frames'])}{failed} · frames {found['first_frame']} to {found['last_frame']}"
        f" · {timestamp_ms(found['start_s'])} to {timestamp_ms(found['end_s'])}"
    )


def _frames(count: int) -> str:
    return f"{count} frame" if count == 1 else f"{count} frames"


def _table(*columns: str, numeric: int) -> Table:
    """A plain table; the columns from `numeric` on are right-aligned, unless the name ends in a space."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, name in enumerate(columns):
        right = index >= numeric and not name.endswith(" ")
        table.add_column(name.strip(), justify="right" if right else "left", overflow="fold")
    return table


def _numbers_table(numbers: dict[str, Any]) -> Table | None:
    from rich.text import Text

    if not numbers:
        return None
    table = _table("number", "min", "mean", "max", "last", "frames", numeric=1)
    for path, output in numbers.items():
        values = (f"{output[name]:.6g}" for name in ("min", "mean", "max", "last"))
        table.add_row(Text(_name(path)), *values, str(output["frames"]))
    return table


def _rows_table(rows: dict[str, Any]) -> Table | None:
    from rich.text import Text

    if not rows:
        return None
    table = _table("list", "total", "most", "frames with any", "ids", "what ", numeric=1)
    for path, output in rows.items():
        table.add_row(
            Text(_name(path)),
            str(output["total"]),
            str(output["max_per_frame"]),
            f"{output['frames_with_any']} of {output['frames']}",
            str(output.get("tracks", "")),
            Text(_contents(output)),
        )
    return table


def _contents(output: dict[str, Any]) -> str:
    """Classes, labels and texts of a list output, the most common first."""
    parts = []
    for counts in (output.get("classes", {}), *output.get("labels", {}).values()):
        parts.append(_listed([f"{_name(name)} {count}" for name, count in counts.items()], len(counts)))
    if texts := output.get("texts"):
        shown = [repr(_name(text, 30)) for text in texts["most_common"]]
        parts.append(_listed(shown[:3], texts["distinct"]))
    return "; ".join(part for part in parts if part)


def _listed(names: list[str], total: int) -> str:
    shown = names[:MAX_LISTED]
    more = total - len(shown)
    return ", ".join(shown) + (f", {more} more" if more > 0 else "")


def _others_table(others: dict[str, Any]) -> Table | None:
    from rich.text import Text

    if not others:
        return None
    table = _table("output", "frames", "what ", numeric=1)
    for path, output in others.items():
        if output["kind"] == "boolean":
            what = f"true in {output['true']}"
            if output["true"]:
                starts = [timestamp_ms(s) for s in output["starts_s"]]
                what += f", from {_listed(starts, output['ranges'])}"
        elif output["kind"] == "text":
            texts = [repr(_name(text, 30)) for text in output["most_common"]]
            what = f"{output['distinct']} distinct: {_listed(texts[:3], output['distinct'])}"
        else:
            what = "always null"
        table.add_row(Text(_name(path)), str(output["frames"]), Text(what))
    return table


def _name(text: str, limit: int = 60) -> str:
    from videodag_cli.errors import printable

    return printable(text, limit=limit)
