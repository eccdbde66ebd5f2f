"""Results in the formats that other programs read: flat tables (also by intervals of time), COCO, MOTChallenge, WebVTT, EDL, OTIO.

Every writer streams: memory does not grow with the number of lines. What must be known before the first byte (the columns of a table, the
categories) is found by reading the sources twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from videodag_cli.convert.converted import Converted
from videodag_cli.convert.results_files import ResultsFile, opened_results
from videodag_cli.errors import RequestError, printable
from videodag_cli.results.intervals import parse_every
from videodag_cli.results.reading import with_records
from videodag_cli.system.files import whole_file

ConvertFormat = Literal["csv", "parquet", "jsonl", "coco", "mot", "vtt", "edl", "otio"]
TableName = Literal["frames", "detections", "tracks", "intervals"]

CONVERT_FORMATS: dict[ConvertFormat, str] = {
    "csv": "a table as comma-separated values",
    "parquet": "a table as Apache Parquet (extra `parquet`)",
    "jsonl": "a table as JSON lines",
    "coco": "boxes as COCO JSON",
    "mot": "tracks as MOTChallenge text, frames counted from 1",
    "vtt": "texts, cuts, crossings and visits as WebVTT cues",
    "edl": "scenes between cuts as a CMX 3600 edit decision list",
    "otio": "the same as an OpenTimelineIO timeline",
}
TABLES: dict[TableName, str] = {
    "frames": "one row per line, one column per output",
    "detections": "one row per box",
    "tracks": "one row per tracker id",
    "intervals": "one row per interval of time and output",
}
TABULAR = ("csv", "parquet", "jsonl")
EDITS = ("edl", "otio")
EXTENSIONS = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".json": "coco",
    ".txt": "mot",
    ".vtt": "vtt",
    ".edl": "edl",
    ".otio": "otio",
}


Writer = Callable[[Sequence[ResultsFile], BinaryIO], Converted]


def convert(
    sources: Sequence[str | Path],
    output: str | Path,
    *,
    to: ConvertFormat | None = None,
    table: TableName | None = None,
    every: str | None = None,
    clock: bool = False,
    nodes: Sequence[str] = (),
    rate: str | None = None,
    overwrite: bool = False,
) -> Converted:
    """Write the results files `sources` as one file `output`; `-` is standard input or output.

    to: the format; by default what the extension of `output` says.
    table: which table `csv`, `parquet` and `jsonl` hold, `frames` by default.
    every: how long the intervals of the table `intervals` are, as in `1m`.
    clock: let them begin at multiples of that length on the clock of the lines.
    nodes: take only the outputs of these nodes; a path such as `node.type` takes one output.
    rate: frames per second of an edit, where the video's varies or is not known.
    """
    form = _format(output, to)
    if table is not None and form not in TABULAR:
        raise RequestError(f"--table is only for csv, parquet and jsonl, not for {form}")
    if table == "intervals" and every is None:
        raise RequestError("--table intervals needs --every, such as --every 1m")
    if clock and table != "intervals":
        raise RequestError("--clock belongs to --table intervals")
    if every is not None and table != "intervals":
        raise RequestError("--every needs --table intervals")
    if rate is not None and form not in EDITS:
        raise RequestError("--rate belongs to edl and otio")
    if not sources:
        raise RequestError("name at least one results file")
    if form in ("mot", "vtt") and len(sources) > 1:
        raise RequestError(f"{form} describes one video; convert {len(sources)} results files one by one")
    if [str(s) for s in sources].count("-") > 1:
        raise RequestError("standard input can be read once")
    write = _writer(form, table or "frames", tuple(nodes), every, clock=clock, rate=rate)
    twice = form in (*TABULAR, "coco")
    with (
        opened_results(sources, twice=twice) as found,
        whole_file(output, overwrite=overwrite, inputs=with_records(sources)) as stream,
    ):
        return write(found, stream)


def _format(output: str | Path, to: str | None) -> str:
    if to is not None:
        if to not in CONVERT_FORMATS:
            raise RequestError(f"unknown format {printable(to)!r}; known: {', '.join(CONVERT_FORMATS)}")
        return to
    extension = Path(output).suffix.lower()
    if extension not in EXTENSIONS:
        known = ", ".join(f"{e} ({f})" for e, f in EXTENSIONS.items())
        raise RequestError(
            f"the name {printable(output)!r} does not say which format to write; give --to, or an extension: {known}"
        )
    return EXTENSIONS[extension]


def _writer(
    form: str, table: str, nodes: tuple[str, ...], every: str | None, *, clock: bool, rate: str | None
) -> Writer:
    from functools import partial

    if form in TABULAR:
        from videodag_cli.convert import csv, interval_table, jsonl, parquet, tables

        if table not in TABLES:
            raise RequestError(f"unknown table {printable(table)!r}; known: {', '.join(TABLES)}")
        if form == "parquet":
            parquet.require()
        write_rows = {"csv": csv.write, "jsonl": jsonl.write, "parquet": parquet.write}[form]
        if every is not None:
            every_us = parse_every(every)

            def write_intervals(sources: Sequence[ResultsFile], stream: BinaryIO) -> Converted:
                made = interval_table.interval_table(sources, nodes, every_us=every_us, clock=clock)
                return Converted(form, write_rows(made, stream), "row", interval_table.remarks(sources))

            return write_intervals
        return lambda sources, stream: Converted(
            form, write_rows(tables.table_of(table, sources, nodes), stream), "row"
        )
    if form in EDITS:
        from videodag_cli.convert import scene_edit

        return partial(scene_edit.write, nodes=nodes, form=form, rate=rate)
    from videodag_cli.convert import coco, mot, vtt

    writers: dict[str, Callable[..., Converted]] = {"coco": coco.write, "mot": mot.write, "vtt": vtt.write}
    return partial(writers[form], nodes=nodes)
