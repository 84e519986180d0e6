"""SQL over whole tables from here: DuckDB on delta-rs, which reads few columns of some million rows in a second."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeAlias, overload

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.days import Days
from music_lakehouse.lakehouse.lake import MOST_REMEMBERED, MOST_ROWS_AT_ONCE, Lake, LakePaths, Rows
from music_lakehouse.lakehouse.moments import Moments
from music_lakehouse.lakehouse.ranges import Range
from music_lakehouse.lakehouse.tables import Table

Within: TypeAlias = Range | Days | Moments
MOST_ROWS_READ_AT_ONCE = 10_000_000
"""Rows of which one process reads a few columns without trouble."""
MOST_ROWS_MADE_HERE = 2_000_000
"""Rows of many columns that one process holds without trouble."""
_SUM_IN_ORDER = "sum_in_order"


@contextmanager
def connected() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to DuckDB that has nothing in it, and times in UTC; what is made in it, if it is temporary, nobody
    else sees. All are to one database in memory: making another takes 20 ms of processor time."""
    with _database().cursor() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


@cache
def _database() -> duckdb.DuckDBPyConnection:
    # One that is still there when Python ends makes DuckDB's binding tell of leaks, a hundred lines long.
    atexit.register(_database.cache_clear)
    database = duckdb.connect()
    for macro in _BY_SPARKS_NAMES:
        database.execute(f"CREATE MACRO {macro}")
    return database


# For queries that both understand.
_BY_SPARKS_NAMES = (
    "unix_millis(moment) AS epoch_ms(moment)",
    "unix_seconds(moment) AS epoch_ms(moment) // 1000",
    "timestamp_seconds(seconds) AS to_timestamp(seconds)",
    "named_struct(a, first, b, second, c, third) AS row(first, second, third)",
    f"{_SUM_IN_ORDER}(numbers) AS list_reduce(list_prepend(0.0::DOUBLE, list_sort(CAST(numbers AS DOUBLE[]))), "
    "lambda total, each: total + each)",
)


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
    with connected() as connection:
        for name, table in tables.items():
            if isinstance(table, pa.Table):
                connection.register(name, table)
            else:
                _name(connection, name, lake, table)
        rows = {name: f"(SELECT * FROM {name} WHERE {where})" for name in tables}
        return connection.sql(sql.format_map(rows), params=parameters or {}).to_arrow_table()


def evaluated(lake: Lake, sql: str, *, where: str = "true", long: bool = False, **rows: Rows | Table) -> Rows:
    """As `query`; the query is one that DuckDB and Spark both understand. Where one of the rows is a frame, or the
    tables are longer than one process can take, Spark evaluates it, and the result is a frame. A table that is being
    replaced has no rows. `long` says that the result may be as long as the tables, and as wide.

    Of some million rows a few columns are read and grouped here in a second, for which Spark takes several; and of a
    few thousand Spark takes longest to plan what it does.
    """
    tables = [table for table in rows.values() if isinstance(table, Table)]
    frames = any(isinstance(each, DataFrame) for each in rows.values())
    most = MOST_ROWS_MADE_HERE if long else MOST_ROWS_READ_AT_ONCE
    if not frames and sum(map(lake.rows, tables)) <= most:
        here: dict[str, Any] = {
            name: each.arrow_schema.empty_table() if isinstance(each, Table) and lake.is_replaced(each) else each
            for name, each in rows.items()
        }
        return query(lake, sql, where=where, **here)
    # Spark lets go what is kept of a frame that it was told by name: with a condition it is another.
    read: dict[str, Any] = {
        name: (lake.read(each) if isinstance(each, Table) else lake.frame(each)).where(where)
        for name, each in rows.items()
    }
    return in_spark(lake.spark, sql, **read)


def in_spark(spark: SparkSession, sql: str, **frames: Any) -> DataFrame:
    """What a query that DuckDB and Spark both understand gives of frames in Spark."""
    if f"{_SUM_IN_ORDER}(" in sql:
        spark.sql(
            f"CREATE OR REPLACE TEMPORARY FUNCTION {_SUM_IN_ORDER}(numbers ARRAY<DOUBLE>) RETURNS DOUBLE "
            "RETURN aggregate(array_sort(numbers), 0D, (total, each) -> total + each)"
        )
    return spark.sql(sql, **frames)


def looked_up(lake: Lake, name: str, arguments: Rows, function: Callable[[DataFrame], DataFrame]) -> Rows:
    """What the function of Spark's, which the name stands for, makes of the arguments: one column, all different, each
    of which gives a row, whatever the others are. The result may have rows of others too.

    Arguments are fetched, if they aren't very many: then those that the lake was asked for before are not computed
    again, and what Spark makes of the result it plans without all that the arguments came from.
    """
    few = fetched(arguments.limit(MOST_REMEMBERED + 1) if isinstance(arguments, DataFrame) else arguments)
    if isinstance(arguments, DataFrame) and few.num_rows > MOST_REMEMBERED:
        return function(arguments)
    return lake.remembered(name, few, lambda new: function(lake.frame(new)).toArrow())


def fetched(rows: Rows) -> pa.Table:
    """The rows, here."""
    return rows.toArrow() if isinstance(rows, DataFrame) else rows


@contextmanager
def kept(rows: Rows) -> Iterator[None]:
    """Meanwhile a frame, once it is computed, is not computed again."""
    if not isinstance(rows, DataFrame):
        yield
        return
    rows.persist()
    try:
        yield
    finally:
        rows.unpersist()


def distinct(lake: Lake, key: str, *rows: Rows | None) -> Rows:
    """What the column holds in any of the rows, each value once, without null."""
    named: dict[str, Any] = {f"rows_{n}": each for n, each in enumerate(rows) if each is not None}
    shown = (f"SELECT {key} FROM {{{name}}} WHERE {key} IS NOT NULL" for name in named)
    return evaluated(lake, f"SELECT DISTINCT {key} FROM ({' UNION ALL '.join(shown)}) AS each_row", **named)


def has_rows(rows: Rows) -> bool:
    """Whether there are any."""
    return bool(rows.limit(1).collect() if isinstance(rows, DataFrame) else rows.num_rows)


@overload
def keyed(
    lake: Lake, table: Table, keys: DataFrame, within: Within | None = None, *, columns: Sequence[str] | None = None
) -> DataFrame: ...


@overload
def keyed(
    lake: Lake, table: Table, keys: Rows, within: Within | None = None, *, columns: Sequence[str] | None = None
) -> Rows: ...


def keyed(
    lake: Lake, table: Table, keys: Rows, within: Within | None = None, *, columns: Sequence[str] | None = None
) -> Rows:
    """The table's rows, or their `columns`, that have one of the keys: of some of its columns, none of them null.
    `within`, where it is known, spans them.

    Where the keys are here, or few rows are expected, they are read from here, as long as they aren't too many: what
    Spark then makes of them it plans without a scan. They are a frame where the keys are one.
    """
    names = list(columns or table.column_names)
    in_frame = isinstance(keys, DataFrame)
    readable = not lake.is_replaced(table) and lake.rows(table) <= MOST_ROWS_READ_AT_ONCE
    if readable and (lake.small or not in_frame):
        most = MOST_ROWS_AT_ONCE if in_frame else MOST_ROWS_MADE_HERE
        found = _keyed_here(lake, table, fetched(keys), within, names, most + 1)
        if found.num_rows <= most:
            return lake.frame(found) if in_frame else found
    rows = lake.read(table) if within is None else lake.read(table).where(within.predicate())
    keys = lake.frame(keys)
    return rows.join(keys, keys.columns, "left_semi").select(*names)


def _keyed_here(
    lake: Lake, table: Table, keys: pa.Table, within: Within | None, columns: Sequence[str], most: int
) -> pa.Table:
    selected, using = (", ".join(f'"{name}"' for name in names) for names in (columns, keys.column_names))
    condition = within.predicate(quote='"') if within else "true"
    sql = f"SELECT {selected} FROM {{held}} SEMI JOIN {{keys}} USING ({using}) WHERE {condition}"
    found = query(lake, f"{sql} LIMIT {most}", held=table, keys=keys)
    return found.cast(pa.schema([table.arrow_schema.field(name) for name in columns]))


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
    # A table that is there may be partitioned otherwise than its declaration says by now.
    partitioned_by = [] if found is None else found.metadata().partition_columns
    files = [] if found is None else delta.local_files(found, uri)
    if found is not None and (files is None or not {f.name for f in found.schema().fields} <= {*table.column_names}):
        connection.register(name, delta.dataset(found, uri))
        return
    none = table.arrow_schema.empty_table()
    if not files:
        connection.register(name, none)
        return
    declared = connection.from_arrow(none)
    types = dict(zip(declared.columns, map(str, declared.types), strict=True))
    columns = ", ".join(f'CAST("{column}" AS {type_}) AS "{column}"' for column, type_ in types.items())
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    partitions = ", ".join(f"'{column}': {types[column]}" for column in partitioned_by)
    hive = f", hive_partitioning = true, hive_types = {{{partitions}}}" if partitions else ""
    connection.execute(f"CREATE TEMP VIEW {name} AS SELECT {columns} FROM read_parquet([{listed}]{hive})")
