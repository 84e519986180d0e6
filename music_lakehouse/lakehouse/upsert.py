"""Make a table equal to what it should be, by the difference alone: nothing is written where nothing differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast
from uuid import uuid4

import pyarrow as pa
from deltalake import write_deltalake
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.days import Days
from music_lakehouse.lakehouse.lake import (
    MOST_ROWS_AT_ONCE,
    MOST_ROWS_COMMITTED_HERE,
    Lake,
    Rows,
    conform,
    conformed,
    framed,
)
from music_lakehouse.lakehouse.moments import Moments
from music_lakehouse.lakehouse.query import View, batches, connected, declared, query
from music_lakehouse.lakehouse.ranges import Range
from music_lakehouse.lakehouse.tables import Table

OPERATION = "_operation"
_OPERATION_FIELD = pa.field(OPERATION, pa.string())


@dataclass(frozen=True)
class Written:
    """Rows that one step wrote into one table."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    @property
    def figures(self) -> dict[str, int]:
        """The rows by what became of them, as a run's metadata names them."""
        return {"rows_inserted": self.inserted, "rows_updated": self.updated, "rows_deleted": self.deleted}

    def __bool__(self) -> bool:
        return bool(self.inserted or self.updated or self.deleted)

    def __add__(self, other: Written) -> Written:
        return Written(self.inserted + other.inserted, self.updated + other.updated, self.deleted + other.deleted)


def difference(desired: Rows, current: Rows, table: Table, *, delete: bool) -> Rows:
    """The rows in which `desired` and `current` differ, by the table's key.

    Out: the table's columns and `_operation`: `insert` (the key is only in desired), `update` (another column differs;
    the desired row), `delete` (the key is only in current; just the key's columns count). Without `delete`, current
    rows that are not desired are left alone. In: both have at most one row a key; keys are compared null-safely. Where
    both are here, the difference is too.
    """
    if isinstance(desired, DataFrame) or isinstance(current, DataFrame):
        session = (desired if isinstance(desired, DataFrame) else cast(DataFrame, current)).sparkSession
        frames: dict[str, Any] = {
            name: conform(framed(session, rows), table) for name, rows in (("desired", desired), ("current", current))
        }
        return session.sql(_difference(table, delete=delete, quote="`"), **frames)
    sql = _difference(table, delete=delete, quote='"').format(desired="desired", current="current")
    with connected() as connection:
        connection.register("desired", conformed(desired, table))
        connection.register("current", conformed(current, table))
        found = connection.sql(sql).to_arrow_table()
    return found.cast(delta.uncommented(table.arrow_schema.empty_table()).schema.append(_OPERATION_FIELD))


def _difference(table: Table, *, delete: bool, quote: str) -> str:
    """A query that DuckDB and Spark both understand."""

    def named(name: str, of: str) -> str:
        return f"{of}.{quote}{name}{quote}"

    others = [name for name in table.column_names if name not in table.key]
    same_key = " AND ".join(f"{named(key, 'd')} IS NOT DISTINCT FROM {named(key, 'c')}" for key in table.key)
    differ = " OR ".join(f"{named(name, 'd')} IS DISTINCT FROM {named(name, 'c')}" for name in others) or "false"
    shown = {
        name: f"CASE WHEN d._in THEN {named(name, 'd')} ELSE {named(name, 'c')} END"
        if name in table.key
        else named(name, "d")
        for name in table.column_names
    }
    columns = ", ".join(f"{value} AS {quote}{name}{quote}" for name, value in shown.items())
    return f"""
        SELECT * FROM (
            SELECT {columns}, CASE WHEN c._in IS NULL THEN 'insert' WHEN d._in IS NULL THEN 'delete'
                                   WHEN {differ} THEN 'update' END AS {OPERATION}
            FROM (SELECT *, true AS _in FROM {{desired}}) AS d
            {"FULL" if delete else "LEFT"} JOIN (SELECT *, true AS _in FROM {{current}}) AS c ON {same_key}
        ) AS joined WHERE {OPERATION} IS NOT NULL
    """


def make_equal(
    lake: Lake,
    table: Table,
    desired: Rows | View,
    *,
    current: Rows | None = None,
    within: Days | Moments | Range | None = None,
    delete: bool = False,
) -> Written:
    """Write the difference between `desired` and the table's `current` rows into the table, in one commit or none.

    `current` (default: the whole table, or the part `within`) are the rows that desired stands for; with `delete`,
    those of them that are not desired are removed. `within` are the days or moments, or is the range of a key, in which
    all rows concerned lie: files outside are not read. Where rows are only new they are appended, else it is one MERGE,
    or, where nearly all of a table's rows differ, the table written anew. Spark commits what it computed and is many
    rows, all else is committed from here. A table that is being replaced is written over: `desired` is all that it
    holds then.
    """
    lake.create(table)
    whole = current is None and within is None and delete
    if isinstance(desired, View):
        if whole:
            return _make_equal_to_view(lake, table, desired)
        desired = query(lake, "SELECT * FROM {desired}", desired=desired)
    if lake.is_replaced(table):
        before = lake.present(table).count()
        lake.replace(desired, table)
        return Written(inserted=lake.present(table).count(), deleted=before)
    empty = lake.rows(table) == 0
    if empty and not isinstance(desired, DataFrame):
        lake.append_few(conformed(desired, table), table)
        return Written(inserted=desired.num_rows)
    if empty and not lake.small:
        lake.append(desired, table)
        return Written(inserted=lake.rows(table))
    held_here = lake.rows(table) <= MOST_ROWS_AT_ONCE if current is None else not isinstance(current, DataFrame)
    if lake.small and held_here:
        desired = _here_if_few(desired)
    if empty and isinstance(desired, DataFrame):
        changed: Rows = conform(desired, table).withColumn(OPERATION, F.lit("insert"))
    else:
        current = _held(lake, table, desired, within) if current is None else current
        changed = difference(desired, current, table, delete=delete)
    if lake.small:
        changed = _here_if_few(changed)
    if not isinstance(changed, DataFrame) and changed.num_rows <= MOST_ROWS_COMMITTED_HERE:
        return _commit(lake, table, changed, within)
    if not isinstance(changed, DataFrame) and whole:
        # Nearly all rows are others: the table is written anew rather than searched for them.
        lake.replace(desired, table)
        return _counted(changed)
    changed = lake.frame(changed).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        counts = Counter({row[OPERATION]: row["count"] for row in changed.groupBy(OPERATION).count().collect()})
        if counts.total() <= MOST_ROWS_COMMITTED_HERE:
            return _commit(lake, table, changed.toArrow(), within)
        written = _written(counts)
        if written.updated or written.deleted:
            _merge(lake, table, changed, within)
        else:
            lake.append(changed.drop(OPERATION), table)
        return written
    finally:
        changed.unpersist()


def _make_equal_to_view(lake: Lake, table: Table, desired: View) -> Written:
    """The same of a whole table and rows that may be too many to be held here."""
    if lake.is_replaced(table):
        before = lake.present(table).count()
        _write_view(lake, desired, table, mode="overwrite")
        return Written(inserted=lake.present(table).count(), deleted=before)
    if lake.rows(table) == 0:
        _write_view(lake, desired, table, mode="append")
        return Written(inserted=lake.rows(table))
    rows = {"desired": declared(desired, table), "current": table}
    changed = View(_difference(table, delete=True, quote='"'), "true", rows)
    few = query(lake, f"SELECT * FROM {{changed}} LIMIT {MOST_ROWS_COMMITTED_HERE + 1}", changed=changed)
    if few.num_rows <= MOST_ROWS_COMMITTED_HERE:
        return _commit(lake, table, few, None)
    # Nearly all rows are others: the table is written anew rather than searched for them.
    counted = query(lake, f"SELECT {OPERATION}, count(*) AS n FROM {{changed}} GROUP BY {OPERATION}", changed=changed)
    _write_view(lake, desired, table, mode="overwrite")
    return _written(Counter({each[OPERATION]: each["n"] for each in counted.to_pylist()}))


def _write_view(lake: Lake, rows: View, table: Table, *, mode: Literal["append", "overwrite"]) -> None:
    with batches(lake, rows, table) as each:
        lake.write_batches(each, table, mode=mode)


def _here_if_few(rows: Rows) -> Rows:
    """Where few are expected there are hardly ever more: what is asked for once need not be kept."""
    if not isinstance(rows, DataFrame):
        return rows
    few = rows.limit(MOST_ROWS_AT_ONCE + 1).toArrow()
    return few if few.num_rows <= MOST_ROWS_AT_ONCE else rows


def _held(lake: Lake, table: Table, desired: Rows, within: Days | Moments | Range | None) -> Rows:
    """The table's rows, or those `within`: here, if what is compared with them is."""
    if isinstance(desired, DataFrame):
        current = lake.read(table)
        return current if within is None else current.where(within.predicate())
    columns = ", ".join(f'"{name}"' for name in table.column_names)
    where = "true" if within is None else within.predicate(quote='"')
    return query(lake, f"SELECT {columns} FROM {{held}} WHERE {where}", held=table)


def make_equal_in_order(lake: Lake, table: Table, desired: DataFrame, order: Sequence[Column]) -> Written:
    """Make a short table equal to `desired`, its rows in this order in one file, as they are read then. Where anything
    differs it is written as a whole, in one commit; else nothing is."""
    lake.create(table)
    rows = delta.uncommented(conform(desired, table).orderBy(*order).toArrow().cast(table.arrow_schema))
    known = rows.schema.empty_table()
    if not lake.is_replaced(table):
        known = lake.present(table).to_pyarrow_table().select(table.column_names).cast(rows.schema)
        if rows.equals(known):
            return Written()
    write_deltalake(lake.present(table), rows, mode="overwrite")
    now, before = ({tuple(row[key] for key in table.key): row for row in each.to_pylist()} for each in (rows, known))
    both = now.keys() & before.keys()
    updated = sum(now[key] != before[key] for key in both)
    return Written(len(now) - len(both), updated, len(before) - len(both))


def _written(counts: Mapping[str, int]) -> Written:
    return Written(counts["insert"], counts["update"], counts["delete"])


def _commit(lake: Lake, table: Table, changed: pa.Table, within: Days | Moments | Range | None) -> Written:
    """Write changed rows, none or not very many, through delta-rs: of a few Spark's own MERGE is all planning, and of
    more it takes several times as long."""
    written = _counted(changed)
    if written.updated or written.deleted:
        _merge_few(lake, table, changed, within)
    elif written.inserted:
        lake.append_few(changed.drop_columns([OPERATION]), table)
    return written


def _counted(changed: pa.Table) -> Written:
    counts = changed[OPERATION].value_counts().to_pylist()
    return _written(Counter({each["values"]: each["counts"] for each in counts}))


def _merge_few(lake: Lake, table: Table, changed: pa.Table, within: Days | Moments | Range | None) -> None:
    match = " AND ".join(f'(t."{key}" IS NOT DISTINCT FROM s."{key}")' for key in table.key)
    pruned = "" if within is None else " AND ({})".format(within.predicate("t", quote='"'))
    rows = {f'"{name}"': f's."{name}"' for name in table.column_names}
    (
        lake.present(table)
        .merge(changed, predicate=match + pruned, source_alias="s", target_alias="t")
        .when_matched_delete(predicate=f"s.{OPERATION} = 'delete'")
        .when_matched_update(rows)
        .when_not_matched_insert(rows)
        .execute()
    )


def _merge(lake: Lake, table: Table, changed: DataFrame, within: Days | Moments | Range | None) -> None:
    view = f"changed_{uuid4().hex}"
    changed.createOrReplaceTempView(view)
    columns = table.column_names
    match = " AND ".join(f"t.`{key}` <=> s.`{key}`" for key in table.key)
    pruned = f" AND ({within.predicate('t')})" if within else ""
    try:
        lake.spark.sql(
            f"MERGE INTO delta.`{lake.path(table)}` AS t USING {view} AS s ON {match}{pruned} "
            f"WHEN MATCHED AND s.{OPERATION} = 'delete' THEN DELETE "
            f"WHEN MATCHED THEN UPDATE SET {', '.join(f't.`{name}` = s.`{name}`' for name in columns)} "
            f"WHEN NOT MATCHED THEN INSERT ({', '.join(f'`{name}`' for name in columns)}) "
            f"VALUES ({', '.join(f's.`{name}`' for name in columns)})"
        ).collect()
    finally:
        lake.spark.catalog.dropTempView(view)
