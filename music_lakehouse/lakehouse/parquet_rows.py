"""Landed Parquet files as rows."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from music_lakehouse.lakehouse.file_ingest import ROW_NUMBER, UnreadableFileError


def parquet_rows(content: bytes) -> pa.Table:
    """The rows of a Parquet file: its columns in the types that it says, times without a zone as UTC, and `row_number`
    from 1. Raises UnreadableFileError where it is none."""
    try:
        rows = pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFileError(f"it is no whole Parquet file: {' '.join(str(error).split())}") from error
    for place, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            utc = pa.timestamp("us", tz="UTC")
            rows = rows.set_column(place, pa.field(field.name, utc), rows[field.name].cast(utc, safe=False))
    return rows.append_column(ROW_NUMBER, pa.array(range(1, rows.num_rows + 1), pa.int64()))
