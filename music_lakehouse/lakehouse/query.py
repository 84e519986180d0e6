"""SQL over whole tables from here: DuckDB on delta-rs, which reads few columns of some million rows in a second."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from pyspark.sql import DataFrame

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.lake import Lake, LakePaths
from music_lakehouse.lakehouse.tables import Table

MOST_ROWS_READ_AT_ONCE = 10_000_000
"""Rows of which one process reads a few columns without trouble."""


def query(lake: LakePaths, sql: str, *, where: str = "true", **tables: Table | pa.Table) -> pa.Table:
    """What the query gives over the rows of the tables that fulfil `where`.

    It names each table, one of the lake's or rows that are here, as `{name}`; columns that it doesn't name, and files
    that `where` excludes, are not read. Raises duckdb.Error where it can't be understood.
    """
    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table if isinstance(table, pa.Table) else _rows_of(lake, table))
        rows = {name: f"(SELECT * FROM {name} WHERE {where})" for name in tables}
        return connection.sql(sql.format_map(rows)).to_arrow_table()


def summarized(lake: Lake, sql: str, *, where: str = "true", **tables: Table) -> DataFrame:
    """As `query`, as a frame; the query is one that DuckDB and Spark both understand.

    Of some million rows a few columns are grouped here in a second, for which Spark takes several; of more than one
    process can take, Spark does it.
    """
    if sum(map(lake.rows, tables.values())) <= MOST_ROWS_READ_AT_ONCE:
        return lake.spark.createDataFrame(query(lake, sql, where=where, **tables))
    frames: dict[str, Any] = {name: lake.read(table).where(where) for name, table in tables.items()}
    return lake.spark.sql(sql, **frames)


def _rows_of(lake: LakePaths, table: Table) -> pa.Table | ds.Dataset:
    found = lake.open(table)
    return table.arrow_schema.empty_table() if found is None else delta.dataset(found, lake.path(table))
