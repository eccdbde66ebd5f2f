"""A table as JSON lines: one object per row, with every column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from videodag_cli.convert.tables import CellValue, Table


def write(table: Table, stream: BinaryIO) -> int:
    """Write the table; returns the number of rows."""
    count = 0
    for row in rows(table):
        stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        count += 1
    return count


def rows(table: Table) -> Iterator[dict[str, Any]]:
    """Each row as a mapping by column, JSON columns as what they say."""
    for row in table.rows:
        yield {column.name: _value(value, column.kind) for column, value in zip(table.columns, row, strict=True)}


def _value(value: CellValue, kind: str) -> Any:
    return orjson.loads(value) if kind == "json" and isinstance(value, str) else value
