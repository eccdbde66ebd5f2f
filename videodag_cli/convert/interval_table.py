"""The table of intervals: one row for each interval of time and output."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import orjson

from videodag_cli.convert.results_files import ResultsFile, chosen
from videodag_cli.convert.tables import SOURCE, CellValue, Column, Table, tag_columns, tag_names, tag_values
from videodag_cli.errors import RequestError, printable
from videodag_cli.results.clock_zero import zero_of
from videodag_cli.results.intervals import Gathered, Interval, Traits, intervals, traits
from videodag_cli.times import rfc3339

COLUMNS = (
    Column("start_s", "number"),
    Column("end_s", "number"),
    Column("start_time", "text"),
    Column("end_time", "text"),
    Column("frames", "integer"),
    Column("failed", "integer"),
    Column("missing", "integer"),
    Column("output", "text"),
    Column("values", "integer"),
    Column("nulls", "integer"),
    Column("mean", "number"),
    Column("min", "number"),
    Column("max", "number"),
    Column("rows", "integer"),
    Column("by_class", "json"),
    Column("ids", "integer"),
    Column("in_count", "integer"),
    Column("out_count", "integer"),
    Column("visits", "integer"),
    Column("dwell_s", "number"),
)
"""After `source` and the tags."""


def interval_table(
    sources: Sequence[ResultsFile], nodes: Sequence[str] = (), *, every_us: int, clock: bool = False
) -> Table:
    """clock: intervals begin at multiples of their length on the clock of the lines, which have `time`.

    Every output of a file has a row in each of its intervals; a file without outputs has rows whose output is null."""
    names = tag_names(sources)

    def rows() -> Iterator[tuple[CellValue, ...]]:
        for source in sources:
            given = next((tag_values(line, names) for line in source.lines()), [])
            known: dict[str | None, Traits] = {p: t for p, t in traits(source.lines()).items() if chosen(p, nodes)}
            times_us = _missing_us(source)
            zero_us = zero_of(source.lines(), source.name)
            if clock and zero_us is None:
                raise RequestError(
                    f"{printable(source.name)}: its lines have no time; run it with --clock, or leave out --clock"
                )
            for interval in intervals(
                source.lines(), every_us, also_us=times_us or (), zero_us=(zero_us or 0) if clock else 0
            ):
                missing = None if times_us is None else _within(times_us, interval)
                for path, its in (known or {None: Traits()}).items():
                    gathered = interval.outputs.get(path) if path is not None else None
                    yield (source.name, *given, *_row(interval, zero_us, missing, path, its, gathered or Gathered()))

    return Table((SOURCE, *tag_columns(names, COLUMNS), *COLUMNS), rows())


def remarks(sources: Sequence[ResultsFile]) -> tuple[str, ...]:
    """Of which files nobody can tell when frames are missing."""
    return tuple(
        f"{printable(source.name)}: no run record says when frames were missing; the column is empty"
        for source in sources
        if _missing_us(source) is None
    )


def _row(
    interval: Interval, zero_us: int | None, missing: int | None, path: str | None, its: Traits, found: Gathered
) -> tuple[CellValue, ...]:
    counted = found.values > 0
    numbers = found.numbers > 0
    return (
        interval.start_us / 1_000_000,
        interval.end_us / 1_000_000,
        None if zero_us is None else rfc3339(zero_us + interval.start_us),
        None if zero_us is None else rfc3339(zero_us + interval.end_us),
        interval.frames,
        interval.failed,
        missing,
        path,
        found.values,
        found.nulls,
        found.mean,
        float(found.low) if numbers else None,
        float(found.high) if numbers else None,
        found.rows if its.lists and counted else None,
        orjson.dumps(dict(sorted(found.classes.items()))).decode() if its.classes and counted else None,
        len(found.ids) if its.tracked and counted else None,
        found.crossings["in"] if its.crossings and counted else None,
        found.crossings["out"] if its.crossings and counted else None,
        found.visits if its.visits and counted else None,
        round(found.dwell_s, 6) if its.visits and counted else None,
    )


def _missing_us(source: ResultsFile) -> list[int] | None:
    """The times of the sampled frames that could not be decoded, in order; None where no record tells all of them."""
    accounting = (source.record or {}).get("accounting")
    count = accounting.get("undecodable") if isinstance(accounting, dict) else None
    times = accounting.get("missing_times_s", []) if isinstance(accounting, dict) else None
    if type(count) is not int or not isinstance(times, list) or len(times) != count:
        return None
    if not all(type(time_s) in (int, float) for time_s in times):
        return None
    return sorted(round(time_s * 1_000_000) for time_s in times)


def _within(times_us: list[int], interval: Interval) -> int:
    return bisect_left(times_us, interval.end_us) - bisect_left(times_us, interval.start_us)
