"""SQL over whole tables from here: DuckDB on delta-rs, which reads few columns of some million rows in a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa
from pyspark.sql import DataFrame

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.lake import Lake, LakePaths
from music_lakehouse.lakehouse.tables import Table

MOST_ROWS_READ_AT_ONCE = 10_000_000
"""Rows of which one process reads a few columns without trouble."""


def query(
    lake: LakePaths,
    sql: str,
    *,
    where: str = "true",
    parameters: Mapping[str, Any] | None = None,
    **tables: Table | pa.Table,
) -> pa.Table:
    """What the query gives over the rows of the tables that fulfil `where`. Times are in UTC.

    It names each table, one of the lake's or rows that are here, as `{name}`, and each of the parameters as `$name`;
    columns that it doesn't name, and files that `where` excludes, are not read. Raises duckdb.Error where it can't be
    understood.
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, table in tables.items():
            if isinstance(table, pa.Table):
                connection.register(name, table)
            else:
                _name(connection, name, lake, table)
        rows = {name: f"(SELECT * FROM {name} WHERE {where})" for name in tables}
        return connection.sql(sql.format_map(rows), params=parameters or {}).to_arrow_table()


def summarized(lake: Lake, sql: str, *, where: str = "true", **tables: Table) -> DataFrame:
    """As `query`, as a frame; the query is one that DuckDB and Spark both understand.

    Of some million rows a few columns are grouped here in a second, for which Spark takes several; of more than one
    process can take, Spark does it.
    """
    if sum(map(lake.rows, tables.values())) <= MOST_ROWS_READ_AT_ONCE:
        return lake.spark.createDataFrame(query(lake, sql, where=where, parameters=None, **tables))
    frames: dict[str, Any] = {name: lake.read(table).where(where) for name, table in tables.items()}
    return lake.spark.sql(sql, **frames)


def _name(connection: duckdb.DuckDBPyConnection, name: str, lake: LakePaths, table: Table) -> None:
    """Makes the table's rows known under the name. DuckDB reads files itself where it can, in a third of the time that
    they take through Arrow: not where columns were added to the table, which only some files have."""
    found, uri = lake.open(table), lake.path(table)
    files = [] if found is None else delta.local_files(found, uri)
    if found is not None and (files is None or not {f.name for f in found.schema().fields} <= {*table.column_names}):
        connection.register(name, delta.dataset(found, uri))
        return
    declared = connection.from_arrow(table.arrow_schema.empty_table())
    if not files:
        declared.create_view(name)
        return
    types = dict(zip(declared.columns, map(str, declared.types), strict=True))
    columns = ", ".join(f'CAST("{column}" AS {type_}) AS "{column}"' for column, type_ in types.items())
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    partitions = ", ".join(f"'{column}': {types[column]}" for column in table.partition_by)
    hive = f", hive_partitioning = true, hive_types = {{{partitions}}}" if partitions else ""
    connection.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM read_parquet([{listed}]{hive})")
