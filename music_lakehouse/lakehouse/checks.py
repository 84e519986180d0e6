"""Checks of tables in SQL, over what a run touched or over everything: DuckDB on delta-rs, no JVM."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import cache, partial
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from music_lakehouse.lakehouse import delta, held_before
from music_lakehouse.lakehouse.file_ingest import DATE_ADDED, FILE_KEY
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.moments import Moments
from music_lakehouse.lakehouse.query import connected
from music_lakehouse.lakehouse.ranges import Range
from music_lakehouse.lakehouse.tables import Table

_Find: TypeAlias = Callable[[], pa.Table | ds.Dataset]
"""Gives rows, once for all that ask: to know a file takes most of a millisecond before one is read."""


@dataclass(frozen=True)
class Check:
    """A check as one SQL query that gives one row: `failed` (rows that break it), `rows` (rows looked at), and whatever
    else a reader should see.

    The query reads `touched` (the rows that the run wrote, or the whole table in an audit), `current` (the table, or of
    a table partitioned by day what lies in `touched_times`, and where its rows have no time, the days that were
    touched), other tables as `"layer.table"` (of those with a `timestamp`, where the checked table is partitioned by
    day, what lies in `touched_times`; where both have landed rows, or what became of each, like `current` then what
    landed in the touched rows' time), `touched_times` (`first`, `last`: the stretches of time in which, and around
    which, the touched rows of a table that is partitioned by day lie, late ones apart from others), `row_counts`
    (`name`, `rows`: the rows of other tables, from their logs) and `newest_times` (`name`, `newest`: the greatest
    `timestamp` of tables, from their logs). What the table held beside the touched rows is `held_before` (of a table
    with a `timestamp`, rows of the same times) and `read_before` (of messages: `kafka_topic_id`, `kafka_partition`, and
    `last`, the greatest offset before the touched ones); in an audit nothing. It passes while `failed` is at most
    `threshold` of `rows`.

    An `error` stops what is downstream, a warning does not. The audit evaluates errors, and warnings that are
    `audited`. `whole`, where it is given, is the query over everything: that may cost as much as the history is long.
    `given` are queries by the names under which this one reads what they give: once for all checks that they are given.
    """

    name: str
    description: str
    sql: str
    threshold: float = 0.0
    error: bool = True
    audited: bool = False
    whole: str = ""
    given: tuple[tuple[str, str], ...] = ()

    @property
    def over_all(self) -> Check:
        """The check as it looks at everything."""
        return replace(self, sql=self.whole, whole="") if self.whole else self

    @property
    def tables(self) -> set[str]:
        """Other tables that the query reads, as layer.table."""
        return {name for sql in (self.sql, *dict(self.given).values()) for name in re.findall(r'"(\w+\.\w+)"', sql)}

    @property
    def counted(self) -> set[str]:
        """Tables of which it only reads how many rows they have."""
        return self._told_by("row_counts")

    @property
    def dated(self) -> set[str]:
        """Tables of which it only reads how new they are."""
        return self._told_by("newest_times")

    def reads(self, relation: str) -> bool:
        """Whether the query names it."""
        return re.search(rf"\b{relation}\b", self.sql) is not None

    def _told_by(self, relation: str) -> set[str]:
        return set(re.findall(rf"FROM {relation} WHERE name = '(\w+\.\w+)'", self.sql))


@dataclass(frozen=True)
class Outcome:
    """How one check fared."""

    check: Check
    rows: int
    failed: int
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return self.failed <= self.check.threshold * self.rows

    def told(self, table: Table) -> str:
        """The check of that table and how many rows break it, in a line."""
        return f"{table.full_name}: {self.check.name} ({self.failed} of {self.rows})"


def evaluate(
    lake: LakePaths,
    table: Table,
    checks: Sequence[Check],
    *,
    since: int | None,
    find_table: Callable[[str], Table],
) -> list[Outcome]:
    """Evaluate the checks over the rows that were written to the table after its version `since`; None, or -1 where
    there was no table: over all.

    `find_table` gives the declaration of a table that a query names as layer.table.
    """
    if not checks:
        return []
    since = None if since == -1 else since
    if since is None:
        checks = [check.over_all for check in checks]
    with connected() as connection:
        whole = cache(partial(_dataset, lake, table))
        feed = whole() if since is None else _feed(lake, table, since)
        connection.register("feed", feed)
        kinds = " WHERE _change_type IN ('insert', 'update_postimage')" if "_change_type" in feed.schema.names else ""
        connection.execute(f"CREATE TEMP VIEW touched AS SELECT * FROM feed{kinds}")
        landed = None if since is None else _landed_when_touched(connection, table)
        times = None if since is None else _touched_times(connection, table)
        connection.register("touched_times", _as_rows(times or []))
        _register_held(connection, lake, table, checks, since=since, whole=whole, landed=landed, times=times)
        for name in sorted(set().union(*(check.tables for check in checks))):
            other = find_table(name)
            if landed is not None and _has_landed(other):
                rows = _within(lake, other, [landed])
            elif times is not None and _TIME in other.column_names:
                rows = _within(lake, other, [replace(stretch, column=_TIME) for stretch in times])
            else:
                rows = _dataset(lake, other)
            connection.register(name, rows)
        counted = sorted(set().union(*(check.counted for check in checks)))
        counts = {"name": counted, "rows": [lake.rows(find_table(name)) for name in counted]}
        connection.register("row_counts", pa.table(counts, schema=pa.schema({"name": pa.string(), "rows": pa.int64()})))
        dated = sorted(set().union(*(check.dated for check in checks)))
        newest = {"name": dated, "newest": [delta.greatest(lake.open(find_table(name)), "timestamp") for name in dated]}
        connection.register("newest_times", pa.table(newest, schema=_NEWEST_TIMES))
        return [_outcome(connection, table, check) for check in checks]


_TIME = "timestamp"
# What is missing at the ends of what was touched is seen too.
_MARGIN = timedelta(minutes=1)
_LATEST = datetime.max.replace(tzinfo=timezone.utc) - _MARGIN
_TOUCHED_TIMES = pa.schema([(name, pa.timestamp("us", "UTC")) for name in ("first", "last")])
_NEWEST_TIMES = pa.schema([("name", pa.string()), ("newest", pa.timestamp("us", "UTC"))])


def _register_held(
    connection: duckdb.DuckDBPyConnection,
    lake: LakePaths,
    table: Table,
    checks: Sequence[Check],
    *,
    since: int | None,
    whole: _Find,
    landed: Moments | None,
    times: list[Moments] | None,
) -> None:
    """Make known what the checks read of the table, `whole` or in part."""

    def any_reads(relation: str) -> bool:
        return any(check.reads(relation) for check in checks)

    if any_reads("current"):
        held = whole() if since is None else _current(connection, lake, table, whole, landed, times)
        connection.register("current", held)
    within = None if since is None else partial(_within, lake, table)
    if any_reads("held_before"):
        same_times = held_before.of_the_same_times(connection, within)
        connection.register("same_times", same_times)
        key = ", ".join(f'"{name}"' for name in table.key)
        connection.execute(f"CREATE TEMP VIEW held_before AS SELECT * FROM same_times ANTI JOIN touched USING ({key})")
    if any_reads("read_before"):
        before = held_before.offsets_before(connection, within)
        connection.register("read_before", before)


def _outcome(connection: duckdb.DuckDBPyConnection, table: Table, check: Check) -> Outcome:
    try:
        for name, sql in check.given:
            connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {name} AS {sql}")
        result = connection.execute(check.sql)
    except duckdb.Error as error:
        raise ValueError(f"the check {check.name} of {table.full_name} cannot be evaluated: {error}") from error
    names = [column[0] for column in result.description or ()]
    values = dict(zip(names, result.fetchall()[0], strict=True))
    return Outcome(check, values.pop("rows") or 0, values.pop("failed") or 0, values)


def _feed(lake: LakePaths, table: Table, since: int) -> pa.Table:
    found = lake.open(table)
    if found is None or since >= found.version():
        return table.arrow_schema.empty_table()
    return pa.table(found.load_cdf(starting_version=since + 1))


def _current(
    connection: duckdb.DuckDBPyConnection,
    lake: LakePaths,
    table: Table,
    find_all: _Find,
    landed: Moments | None,
    times: list[Moments] | None,
) -> pa.Table | ds.Dataset:
    """The table, or the part of it that the touched rows can be compared with: their times, or else their days, their
    Kafka offsets, or when they landed."""
    if times is not None:
        return _within(lake, table, times)
    if "date_part" in table.partition_by:
        rows = connection.execute("SELECT DISTINCT CAST(date_part AS VARCHAR) FROM touched").fetchall()
        return _dataset(lake, table, [day for (day,) in rows])
    if "kafka_offset" in table.column_names:
        ((first, last),) = connection.execute("SELECT min(kafka_offset), max(kafka_offset) FROM touched").fetchall()
        return _within(lake, table, [] if first is None else [Range("kafka_offset", first, last)])
    return find_all() if landed is None else _within(lake, table, [landed])


def _has_landed(table: Table) -> bool:
    """Whether a row of the table is one that landed, or what became of it."""
    return set(FILE_KEY) <= set(table.key) and DATE_ADDED in table.column_names


def _landed_when_touched(connection: duckdb.DuckDBPyConnection, table: Table) -> Moments | None:
    """When the touched rows landed; None where they didn't, or nothing was touched."""
    if not _has_landed(table):
        return None
    ends = connection.sql(f"SELECT min({DATE_ADDED}) AS first, max({DATE_ADDED}) AS last FROM touched")
    first, last = (column[0].as_py() for column in ends.to_arrow_table().columns)
    return None if first is None else Moments(DATE_ADDED, first, last)


def _touched_times(connection: duckdb.DuckDBPyConnection, table: Table) -> list[Moments] | None:
    """When the touched rows of a table that is partitioned by day happened, give or take a minute, and from the last of
    them to the end of the day; None of rows that have no time."""
    time = next((name for name in (_TIME, "ts") if name in table.column_names), None)
    if time is None or "date_part" not in table.partition_by:
        return None
    times = [
        Moments(time, stretch.first - _MARGIN, min(stretch.last, _LATEST) + _MARGIN)
        for stretch in held_before.touched_times(connection, time)
    ]
    if times:
        midnight = times[-1].last.replace(hour=0, minute=0, second=0, microsecond=0)
        times[-1] = replace(times[-1], last=midnight + timedelta(days=1, microseconds=-1))
    return times


def _as_rows(times: Sequence[Moments]) -> pa.Table:
    return pa.Table.from_pylist([{"first": t.first, "last": t.last} for t in times], schema=_TOUCHED_TIMES)


def _within(lake: LakePaths, table: Table, stretches: Sequence[Range | Moments]) -> pa.Table | ds.Dataset:
    found = lake.open(table)
    if found is None or not stretches:
        return table.arrow_schema.empty_table()
    return delta.dataset_within(found, lake.path(table), stretches)


def _dataset(lake: LakePaths, table: Table, days: list[str] | None = None) -> pa.Table | ds.Dataset:
    found = lake.open(table)
    if found is None:
        return table.arrow_schema.empty_table()
    on_days = None if days is None else [("date_part", "in", days)]
    return table.arrow_schema.empty_table() if days == [] else delta.dataset(found, lake.path(table), pruned_by=on_days)
