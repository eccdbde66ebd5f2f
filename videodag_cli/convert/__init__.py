"""Results in the formats that other programs read: flat tables, COCO, MOTChallenge, WebVTT.

Every writer streams: memory does not grow with the number of lines. What must be known before the first byte (the columns of a table, the
categories) is found by reading the sources twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from videodag_cli.convert.converted import Converted
from videodag_cli.convert.source import Source, opened
from videodag_cli.errors import RequestError, printable
from videodag_cli.results.reading import with_records
from videodag_cli.system.files import whole_file

Format = Literal["csv", "parquet", "coco", "mot", "vtt"]
Table = Literal["frames", "detections", "tracks"]

FORMATS: dict[Format, str] = {
    "csv": "a table as comma-separated values",
    "parquet": "a table as Apache Parquet (extra `parquet`)",
    "coco": "boxes as COCO JSON",
    "mot": "tracks as MOTChallenge text, frames counted from 1",
    "vtt": "texts, cuts, crossings and visits as WebVTT cues",
}
TABLES: dict[Table, str] = {
    "frames": "one row per line, one column per output",
    "detections": "one row per box",
    "tracks": "one row per tracker id",
}
EXTENSIONS = {".csv": "csv", ".parquet": "parquet", ".json": "coco", ".txt": "mot", ".vtt": "vtt"}


Writer = Callable[[Sequence[Source], BinaryIO], Converted]


def convert(
    sources: Sequence[str | Path],
    output: str | Path,
    *,
    to: Format | None = None,
    table: Table | None = None,
    nodes: Sequence[str] = (),
    overwrite: bool = False,
) -> Converted:
    """Write the results files `sources` as one file `output`; `-` is standard input or output.

    to: the format; by default what the extension of `output` says.
    table: which table `csv` and `parquet` hold, `frames` by default.
    nodes: take only the outputs of these nodes; a path such as `node.type` takes one output.
    """
    form = _format(output, to)
    if table is not None and form not in ("csv", "parquet"):
        raise RequestError(f"--table belongs to csv and parquet, not to {form}")
    if not sources:
        raise RequestError("name at least one results file")
    if form in ("mot", "vtt") and len(sources) > 1:
        raise RequestError(f"{form} holds one video; convert {len(sources)} results files one by one")
    if [str(s) for s in sources].count("-") > 1:
        raise RequestError("standard input can be read once")
    write = _writer(form, table or "frames", tuple(nodes))
    twice = form in ("csv", "parquet", "coco")
    with (
        opened(sources, twice=twice) as found,
        whole_file(output, overwrite=overwrite, inputs=with_records(sources)) as stream,
    ):
        return write(found, stream)


def _format(output: str | Path, to: str | None) -> str:
    if to is not None:
        if to not in FORMATS:
            raise RequestError(f"unknown format {printable(to)!r}; known: {', '.join(FORMATS)}")
        return to
    extension = Path(output).suffix.lower()
    if extension not in EXTENSIONS:
        known = ", ".join(f"{e} ({f})" for e, f in EXTENSIONS.items())
        raise RequestError(
            f"the name {printable(output)!r} does not say which format to write; give --to, or an extension: {known}"
        )
    return EXTENSIONS[extension]


def _writer(form: str, table: str, nodes: tuple[str, ...]) -> Writer:
    from functools import partial

    if form in ("csv", "parquet"):
        from videodag_cli.convert import csv, parquet, tables

        if table not in TABLES:
            raise RequestError(f"unknown table {printable(table)!r}; known: {', '.join(TABLES)}")
        if form == "parquet":
            parquet.require()
        write_rows = csv.write if form == "csv" else parquet.write
        return lambda sources, stream: Converted(form, write_rows(tables.make(table, sources, nodes), stream), "row")
    from videodag_cli.convert import coco, mot, vtt

    writers: dict[str, Callable[..., Converted]] = {"coco": coco.write, "mot": mot.write, "vtt": vtt.write}
    return partial(writers[form], nodes=nodes)
