"""SQL over whole tables from here: DuckDB on delta-rs, which reads few columns of some million rows in a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.lake import Lake, LakePaths
from music_lakehouse.lakehouse.ranges import Range
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
        return lake.frame(query(lake, sql, where=where, parameters=None, **tables))
    frames: dict[str, Any] = {name: lake.read(table).where(where) for name, table in tables.items()}
    return lake.spark.sql(sql, **frames)


def keyed(lake: Lake, table: Table, keys: DataFrame, within: Range | None = None) -> DataFrame:
    """The table's rows that have one of the keys: a frame of some of its columns, none of them null. `within`, where it
    is known, spans them.

    Where few rows are expected they are read from here: what Spark then makes of them it plans without a scan.
    """
    if lake.small and not lake.is_replaced(table) and lake.rows(table) <= MOST_ROWS_READ_AT_ONCE:
        columns, using = (", ".join(f'"{name}"' for name in names) for names in (table.column_names, keys.columns))
        condition = within.predicate(quote='"') if within else "true"
        sql = f"SELECT {columns} FROM {{held}} SEMI JOIN {{keys}} USING ({using}) WHERE {condition}"
        found = query(lake, sql, held=table, keys=keys.toArrow()).cast(table.arrow_schema)
        return lake.frame(found)
    rows = lake.read(table) if within is None else lake.read(table).where(within.predicate())
    return rows.join(keys, keys.columns, "left_semi").select(*table.column_names)


def keys_within(lake: LakePaths, table: Table, stretches: pa.Table, *, of: str, at: str) -> pa.Table:
    """The keys of the table's rows whose time or day `at` falls into a stretch of what their column `of` names.

    `stretches` has that column first, under any name, and `since` and `until` (exclusive), of which null is without
    end. Files whose rows all lie before the earliest stretch are not read, as mostly what changes begins now.
    """
    if not stretches.num_rows:
        return pa.table({name: pa.array([], table.arrow_schema.field(name).type) for name in table.key})
    earliest = "true"
    if not stretches["since"].null_count:
        since = pc.min(stretches["since"]).as_py()
        is_day = pa.types.is_date(table.arrow_schema.field(at).type)
        earliest = f"{at} >= '{(since.date() if is_day else since).isoformat()}'"
    key = ", ".join(table.key)
    sql = f"""
        SELECT {key} FROM (SELECT {key}, {of}, CAST({at} AS TIMESTAMPTZ) AS moment FROM {{rows}} WHERE {earliest}) AS r
        SEMI JOIN {{stretches}} AS s ON r.{of} = s.{stretches.column_names[0]}
        AND (since IS NULL OR moment >= since) AND (until IS NULL OR moment < until)
    """
    return query(lake, sql, rows=table, stretches=stretches)


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
