"""Comma-separated values (RFC 4180 with line feeds), UTF-8, with a header. Null is the empty field, booleans are `true` and `false`."""

from __future__ import annotations

import csv
import io
from typing import BinaryIO

from videodag_cli.convert.tables import CellValue, Table


def write(table: Table, stream: BinaryIO) -> int:
    """Write the table; returns the number of rows."""
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=False)
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column.name for column in table.columns])
        count = 0
        for row in table.rows:
            writer.writerow([_cell(value) for value in row])
            count += 1
        text.flush()
    finally:
        text.detach()
    return count


def _cell(value: CellValue) -> str | int | float | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value
