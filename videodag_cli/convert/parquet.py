"""Apache Parquet through pyarrow, in row groups of bounded size."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import islice
from typing import BinaryIO

from videodag_cli.convert.tables import Table
from videodag_cli.errors import MissingExtraError

GROUP_ROWS = 16_384


def require() -> None:
    """Raise `MissingExtraError` where pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise MissingExtraError("Parquet", "parquet")


def write(table: Table, stream: BinaryIO) -> int:
    """Write the table; returns the number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "text": pa.string(),
        "json": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
    }
    schema = pa.schema([(column.name, types[column.kind]) for column in table.columns])
    count = 0
    rows = iter(table.rows)
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        while group := list(islice(rows, GROUP_ROWS)):
            columns = [
                pa.array(values, item.type) for values, item in zip(zip(*group, strict=True), schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            count += len(group)
    return count
