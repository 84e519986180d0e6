"""SQL over whole tables from here: DuckDB on delta-rs, which reads few columns of some million rows in a second."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias, overload

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.days import Days
from music_lakehouse.lakehouse.lake import MOST_REMEMBERED, MOST_ROWS_AT_ONCE, Lake, LakePaths, Rows, conformed
from music_lakehouse.lakehouse.moments import Moments
from music_lakehouse.lakehouse.ranges import Range
from music_lakehouse.lakehouse.tables import Table

Within: TypeAlias = Range | Days | Moments
MOST_ROWS_READ_AT_ONCE = 10_000_000
"""Rows of which one process reads a few columns without trouble."""
MOST_ROWS_MADE_HERE = 2_000_000
"""Rows of many columns that one process holds without trouble."""
MOST_ROWS_OF_A_BATCH = 100_000
"""Rows of a view that are here at a time."""
_SUM_IN_ORDER = "sum_in_order"


@dataclass(frozen=True, eq=False)
class View:
    """Rows that a query gives, which nobody has computed yet: DuckDB or Spark does where they are read, anew each time.
    So a result that is as long as the tables is written without being held.

    The query is as `evaluated` takes it: over rows that are here, tables and other views, of which those count that
    fulfil `where`.
    """

    sql: str
    where: str
    rows: Mapping[str, pa.Table | Table | View]


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
    **tables: Table | pa.Table | View,
) -> pa.Table:
    """What the query gives over the rows of the tables that fulfil `where`. Times are in UTC.

    It names each table, one of the lake's or rows that are here, as `{name}`, and each of the parameters as `$name`;
    columns that it doesn't name, and files that `where` excludes, are not read. Raises duckdb.Error where it can't be
    understood.
    """
    with connected() as connection:
        found = _named(connection, lake, tables, where)
        return connection.sql(sql.format_map(found), params=parameters or {}).to_arrow_table()


@contextmanager
def batches(lake: LakePaths, view: View, table: Table) -> Iterator[pa.RecordBatchReader]:
    """The view's rows, some at a time, in the order, the columns and the types that the table declares."""
    with connected() as connection:
        found = connection.sql(view.sql.format_map(_named(connection, lake, view.rows, view.where)))
        read = found.to_arrow_reader(MOST_ROWS_OF_A_BATCH)
        conform = (conformed(pa.Table.from_batches([batch]), table).to_batches() for batch in read)
        schema = conformed(read.schema.empty_table(), table).schema
        yield pa.RecordBatchReader.from_batches(schema, (batch for some in conform for batch in some))


def declared(view: View, table: Table) -> View:
    """The view's rows in the columns and types that the table declares."""
    with connected() as connection:
        types = _types(connection, table)
    columns = ", ".join(f'CAST("{name}" AS {type_}) AS "{name}"' for name, type_ in types.items())
    return View(f"SELECT {columns} FROM {{rows}}", "true", {"rows": view})


def evaluated(lake: Lake, sql: str, *, where: str = "true", **rows: Rows | View | Table) -> Rows:
    """As `query`; the query is one that DuckDB and Spark both understand. Where one of the rows is a frame, or the
    tables are longer than one process can take, Spark evaluates it, and the result is a frame. A table that is being
    replaced has no rows.

    Of some million rows a few columns are read and grouped here in a second, for which Spark takes several; and of a
    few thousand Spark takes longest to plan what it does.
    """
    here = _readable_here(lake, rows)
    if here is not None:
        return query(lake, sql, where=where, **here)
    return _by_spark(lake, sql, where, rows)


def evaluated_long(lake: Lake, sql: str, **rows: Any) -> Rows | View:
    """The same of a query whose result may be as long as the tables, and as wide: where that may be longer than one
    process can hold, it is a view."""
    here = _readable_here(lake, rows)
    if here is not None and _length(lake, rows) > MOST_ROWS_MADE_HERE:
        return View(sql, "true", here)
    return evaluated(lake, sql, **rows)


def _readable_here(lake: Lake, rows: Mapping[str, Rows | View | Table]) -> dict[str, Any] | None:
    """The rows as DuckDB takes them; None where it can't, or where it would read more than one process should."""
    if any(isinstance(each, DataFrame) for each in rows.values()) or _length(lake, rows) > MOST_ROWS_READ_AT_ONCE:
        return None
    return {
        name: each.arrow_schema.empty_table() if isinstance(each, Table) and lake.is_replaced(each) else each
        for name, each in rows.items()
    }


def _length(lake: Lake, rows: Mapping[str, Rows | View | Table]) -> int:
    return sum(lake.rows(each) for each in rows.values() if isinstance(each, Table))


def as_frame(lake: Lake, rows: Rows | View | Table) -> DataFrame:
    """The rows, wherever they are, as a frame."""
    if isinstance(rows, View):
        return _by_spark(lake, rows.sql, rows.where, rows.rows)
    return lake.read(rows) if isinstance(rows, Table) else lake.frame(rows)


def _by_spark(lake: Lake, sql: str, where: str, rows: Mapping[str, Rows | View | Table]) -> DataFrame:
    # Spark lets go what is kept of a frame that it was told by name: with a condition it is another.
    return in_spark(lake.spark, sql, **{name: as_frame(lake, each).where(where) for name, each in rows.items()})


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


def _named(
    connection: duckdb.DuckDBPyConnection,
    lake: LakePaths,
    rows: Mapping[str, pa.Table | Table | View],
    where: str,
    of: str = "",
) -> dict[str, str]:
    """Makes the rows known, under names that begin with `of`; returns for each name what gives those that count."""
    for name, each in rows.items():
        if isinstance(each, View):
            found = _named(connection, lake, each.rows, each.where, f"{of}{name}_")
            connection.execute(f"CREATE TEMP VIEW {of}{name} AS {each.sql.format_map(found)}")
        elif isinstance(each, Table):
            _name(connection, f"{of}{name}", lake, each)
        else:
            connection.register(f"{of}{name}", each)
    return {name: f"(SELECT * FROM {of}{name} WHERE {where})" for name in rows}


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
    types = _types(connection, table)
    columns = ", ".join(f'CAST("{column}" AS {type_}) AS "{column}"' for column, type_ in types.items())
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    partitions = ", ".join(f"'{column}': {types[column]}" for column in partitioned_by)
    hive = f", hive_partitioning = true, hive_types = {{{partitions}}}" if partitions else ""
    connection.execute(f"CREATE TEMP VIEW {name} AS SELECT {columns} FROM read_parquet([{listed}]{hive})")


def _types(connection: duckdb.DuckDBPyConnection, table: Table) -> dict[str, str]:
    """DuckDB's types of the columns that the table declares."""
    rows = connection.from_arrow(table.arrow_schema.empty_table())
    return dict(zip(rows.columns, map(str, rows.types), strict=True))
