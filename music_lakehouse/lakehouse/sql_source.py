"""Tables of a SQL database, landed as Parquet: whole at first, then what is new or changed by a watermark.

Written with SQLAlchemy and PyArrow, not with dlt's `sql_database`, which was tried (1.31): it loses rows that are
committed late, or with its `lag` lands all rows of the window again at each run and refuses a watermark that is text,
as SQLite's timestamps are; it copies files into place, where a reader may see half of one; and it keeps its position
apart from the files, so that a directory deleted or restored is not noticed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from music_lakehouse.lakehouse.database import Database, DatabaseError
from music_lakehouse.lakehouse.landing import DELETED, RESCUED, ROWS_A_FILE, Landing, Load, load_of

OVERLAP = timedelta(days=1)
ROWS_AT_A_TIME = 50_000
_MICROSECONDS = pa.timestamp("us")
_DOES_NOT_FIT = (pa.ArrowException, OverflowError, TypeError, ValueError)


@dataclass(frozen=True)
class SourceTable:
    """A table of the database: its name, the column that identifies a row, and the column with the time of a row's last
    change (a timestamp, a date or ISO text, in UTC); None: it is read whole each time. A row may be committed later
    than others of a newer time by `overlap`. `scd_type` says what is kept of a row: 1, its last state; 2, each."""

    name: str
    key: str
    watermark: str | None = None
    scd_type: Literal[1, 2] = 1
    overlap: timedelta = OVERLAP


@dataclass(frozen=True)
class Extracted:
    """What one extraction did.

    `read` rows were looked at and `landed` of them were new or changed; `rescued` of these have a value that didn't fit
    its column's type. `full` says whether earlier loads were taken no notice of. `added_columns` are of the source and
    had not landed before, `lost_columns` have landed and are not of the source any more: these are null from now on.
    """

    table: str
    read: int
    landed: int
    rescued: int
    files: int
    full: bool
    high_watermark: datetime | None
    added_columns: tuple[str, ...]
    lost_columns: tuple[str, ...]
    seconds: float


def extract(
    database: Database,
    table: SourceTable,
    landing: Landing,
    *,
    full_refresh: bool = False,
    rows_a_file: int = ROWS_A_FILE,
    now: datetime | None = None,
) -> Extracted:
    """Land the rows that are new or changed since the last extraction; all rows the first time, with `full_refresh`,
    and where the last extraction was from another database.

    Read are the rows whose watermark is not older than the table's overlap before the newest one seen, and those
    without any; of these land those that differ from what landed last of their key. So rows that share a watermark,
    rows committed late by up to the overlap, and rows without a watermark or a key are neither lost nor landed twice.
    Where a key has several rows, the one with the newest watermark lands last. The window begins no later than the
    overlap before `now`, the present by default, whatever future a watermark is of.
    The cost is that of the window, not of the history: an index on the watermark helps the database. Memory is that of
    the window's keys.

    A file appears each time that it has `rows_a_file` rows: killed at any time, the next extraction goes on there.
    Raises DatabaseError, also where the table or its key column isn't there.
    """
    started = datetime.now(timezone.utc)
    now = now or started
    present = now.replace(tzinfo=None)
    latest = present + table.overlap
    position = None if full_refresh else landing.position()
    if position is not None and position.source != database.name:
        position = None

    def work(connection: sa.Connection) -> Extracted:
        shape = read_shape(connection, table, landing)
        low = None
        if position is not None and position.high_watermark is not None and shape.watermark is not None:
            low = min(position.high_watermark, present) - table.overlap
        known = {} if position is None else _known(landing, shape, low)
        read = rescued = 0
        with Load(
            landing, shape.columns, source=database.name, position=position, now=now, rows_a_file=rows_a_file
        ) as load:
            for rows in shape.read(connection, since=low, rows_at_a_time=min(rows_a_file, ROWS_AT_A_TIME)):
                read += rows.num_rows
                fresh = _unlike(rows, known, shape) if known else rows
                rescued += fresh.num_rows - fresh[RESCUED].null_count
                load.add(fresh, seen=_newest(rows, shape, latest), loose=any_loose(fresh, shape, latest))
        return Extracted(
            table=table.name,
            read=read,
            landed=load.rows,
            rescued=rescued,
            files=len(load.files),
            full=position is None,
            high_watermark=load.high_watermark,
            added_columns=shape.added,
            lost_columns=shape.lost,
            seconds=(datetime.now(timezone.utc) - started).total_seconds(),
        )

    return database.read(table.name, work)


@dataclass(frozen=True)
class Shape:
    """A table as it is at the source, and as it lands.

    `columns` are those that land: each keeps the type in which it landed first, and a lost one stays, null.
    `watermark` is None where the table has none, or has lost it.
    """

    table: sa.TableClause
    source_types: dict[str, pa.DataType]
    columns: pa.Schema
    key: str
    watermark: str | None
    added: tuple[str, ...]
    lost: tuple[str, ...]

    def select(self) -> sa.Select[Any]:
        """The query for all rows, with the columns that are at the source."""
        return sa.select(*(self.table.c[name] for name in self.source_types))

    def read(
        self, connection: sa.Connection, *, since: datetime | None, rows_at_a_time: int = ROWS_AT_A_TIME
    ) -> Iterator[pa.Table]:
        """The rows whose watermark is not before `since` (UTC, without zone), and those without any, in its order."""
        query = self.select()
        if self.watermark is None:
            yield from self.fetch(connection, query, rows_at_a_time=rows_at_a_time)
            return
        watermark = self.table.c[self.watermark]
        bound = None if since is None else _bound(since, self.source_types[self.watermark])
        # With OR, SQLite would go through the whole index.
        conditions = [sa.true()] if bound is None else [watermark.is_(None), watermark >= bound]
        for condition in conditions:
            ordered = query.where(condition).order_by(watermark)
            yield from self.fetch(connection, ordered, rows_at_a_time=rows_at_a_time)

    def fetch(
        self, connection: sa.Connection, query: sa.Select[Any], *, rows_at_a_time: int = ROWS_AT_A_TIME
    ) -> Iterator[pa.Table]:
        """What a query gives of this table's columns, so many rows at a time, with what didn't fit in RESCUED."""
        result = connection.execute(query, execution_options={"yield_per": rows_at_a_time})
        names = list(result.keys())
        for rows in result.partitions():
            yield _as_arrow(names, rows, self.columns)


def are_all_missing(database: Database, tables: Collection[SourceTable]) -> bool:
    """Whether the database has not one of the tables. Raises DatabaseError where it doesn't say."""
    names = database.read("its tables", lambda connection: _names(sa.inspect(connection)))
    return all(_found(table.name, names) is None for table in tables)


def read_shape(connection: sa.Connection, table: SourceTable, landing: Landing) -> Shape:
    """How the table is, and how it lands. Raises DatabaseError where the table or its key isn't there."""
    inspector = sa.inspect(connection)
    name = _found(table.name, _names(inspector))
    if name is None:
        raise DatabaseError(
            f"{table.name}: the database has no table of this name: make it there, or no longer list it",
            retriable=False,
        )
    dialect = connection.dialect.name
    types = {column["name"]: _arrow_type(column["type"], dialect) for column in inspector.get_columns(name)}
    if table.key not in types:
        raise DatabaseError(
            f"{table.name}: the table has no column {table.key} (it has {', '.join(types)}): without its key no row is "
            "known again; give it back, or declare another key",
            retriable=False,
        )
    landed = landing.columns()
    before = [] if landed is None else list(landed)
    return Shape(
        table=sa.table(name, *(sa.column(column) for column in types)),
        source_types=types,
        columns=pa.schema([*before, *(pa.field(n, t) for n, t in types.items() if n not in {f.name for f in before})]),
        key=table.key,
        watermark=table.watermark if table.watermark in types else None,
        added=() if landed is None else tuple(column for column in types if column not in landed.names),
        lost=tuple(field.name for field in before if field.name not in types),
    )


def _names(inspector: sa.Inspector) -> list[str]:
    return [*inspector.get_table_names(), *inspector.get_view_names()]


def _found(name: str, names: Sequence[str]) -> str | None:
    """The name as the database has it: servers fold the case of names that weren't quoted."""
    return name if name in names else next((each for each in names if each.lower() == name.lower()), None)


def _arrow_type(sql_type: sa.types.TypeEngine[Any], dialect: str) -> pa.DataType:
    """The type in which a column lands. What Parquet has no type for is text, and so are SQLite's times, as it keeps
    them; the types that SQLite declares bind no value."""
    if isinstance(sql_type, sa.Boolean):
        return pa.int64() if dialect == "sqlite" else pa.bool_()
    if isinstance(sql_type, sa.Integer):
        return pa.int64()
    if isinstance(sql_type, sa.Float) or (isinstance(sql_type, sa.Numeric) and dialect == "sqlite"):
        return pa.float64()
    if isinstance(sql_type, sa.Numeric) and sql_type.precision is not None and sql_type.precision <= 38:
        return pa.decimal128(sql_type.precision, sql_type.scale or 0)
    if isinstance(sql_type, sa.DateTime) and dialect != "sqlite":
        return pa.timestamp("us", tz="UTC" if sql_type.timezone else None)
    if isinstance(sql_type, sa.Date) and dialect != "sqlite":
        return pa.date32()
    if isinstance(sql_type, sa.LargeBinary):
        return pa.binary()
    return pa.string()


def _bound(moment: datetime, arrow_type: pa.DataType) -> object | None:
    """The moment as the database compares it with values of this type; None where it can't."""
    if pa.types.is_timestamp(arrow_type):
        return moment if arrow_type.tz is None else moment.replace(tzinfo=timezone.utc)
    if pa.types.is_date(arrow_type):
        return moment.date()
    # With a blank, which sorts before the T that other texts have there.
    return moment.isoformat(sep=" ", timespec="seconds") if pa.types.is_string(arrow_type) else None


def _as_arrow(names: Sequence[str], rows: Sequence[Sequence[Any]], columns: pa.Schema) -> pa.Table:
    """The rows as columns of these types, and in RESCUED, as JSON, the values that don't fit."""
    arrays = dict[str, pa.Array]()
    misfits = defaultdict[int, dict[str, str]](dict)
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        arrow_type = columns.field(name).type
        try:
            arrays[name] = pa.array(values, arrow_type)
        except _DOES_NOT_FIT:
            fitted = [None if value is None else _fitted(value, arrow_type) for value in values]
            arrays[name] = pa.array(fitted, arrow_type)
            for row, (value, fit) in enumerate(zip(values, fitted, strict=True)):
                if value is not None and fit is None:
                    misfits[row][name] = _text(value)
    rescued = [json.dumps(misfits[row], ensure_ascii=False) if row in misfits else None for row in range(len(rows))]
    return pa.table({**arrays, RESCUED: pa.array(rescued, pa.string())})


def _fitted(value: Any, arrow_type: pa.DataType) -> Any:
    """The value in this type: as it is, or read from its text; None where neither can be."""
    if pa.types.is_string(arrow_type):
        return _text(value)
    readings: tuple[Callable[[], Any], ...] = (
        lambda: pa.scalar(value, arrow_type),
        lambda: pa.scalar(_text(value)).cast(arrow_type),
    )
    for reading in readings:
        try:
            return reading().as_py()
        except _DOES_NOT_FIT:
            continue
    return None


def _text(value: Any) -> str:
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).decode(errors="replace")
    return json.dumps(value, default=str) if isinstance(value, (dict, list)) else str(value)


def moments(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The times of a watermark column, UTC without zone, to the second where they are text; null where it has none."""
    if pa.types.is_temporal(column.type):
        return column.cast(_MICROSECONDS)
    if not pa.types.is_string(column.type):
        return pa.chunked_array([pa.nulls(len(column), _MICROSECONDS)])
    text = pc.replace_substring(pc.utf8_slice_codeunits(column, 0, 19), "T", " ")
    readings = [pc.strptime(text, form, "us", error_is_null=True) for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d")]
    return pc.coalesce(*readings)


def _newest(rows: pa.Table, shape: Shape, latest: datetime) -> datetime | None:
    """The newest watermark of the rows, or the latest that counts where it is beyond; None where there is none."""
    newest = None if shape.watermark is None else pc.max(moments(rows[shape.watermark])).as_py()
    return None if newest is None else min(newest, latest)


def any_loose(rows: pa.Table, shape: Shape, latest: datetime) -> bool:
    """Whether rows of a table with a watermark have none, or one beyond the latest that counts."""
    if shape.watermark is None:
        return False
    times = moments(rows[shape.watermark])
    return bool(times.null_count or pc.any(pc.greater(times, pa.scalar(latest, _MICROSECONDS))).as_py())


def _unlike(rows: pa.Table, known: dict[Any, tuple[int, ...]], shape: Shape) -> pa.Table:
    """The rows that are not what is known of their key. Behind one that isn't all of its key are taken: the one with
    the newest watermark is the last to land."""
    taken = []
    for key, content in _contents(rows, shape):
        taken.append(content not in known.get(key, ()))
        if taken[-1]:
            known.pop(key, None)
    return rows.filter(pa.array(taken, pa.bool_()))


def _known(landing: Landing, shape: Shape, low: datetime | None) -> dict[Any, tuple[int, ...]]:
    """What the last load that had a key in the window landed of it: numbers that stand for the contents of its rows,
    mostly one; none where it was deleted."""
    known: dict[Any, tuple[int, ...]] = {}
    for _, files in groupby(landing.files_since(low), load_of):
        of_the_load: dict[Any, tuple[int, ...]] = {}
        for file in files:
            rows = pq.read_table(file, filters=_in_window(shape, low))
            for (key, content), deleted in zip(_contents(rows, shape), rows[DELETED].to_pylist(), strict=True):
                before = of_the_load.get(key, ())
                of_the_load[key] = () if deleted else (*before, content) if before else (content,)
        for key, contents in of_the_load.items():
            known.setdefault(key, contents)
    return known


def _in_window(shape: Shape, low: datetime | None) -> pc.Expression | None:
    """The rows of a file that may be in the window; None for all."""
    if low is None or shape.watermark is None:
        return None
    arrow_type = shape.columns.field(shape.watermark).type
    bound = _bound(low, arrow_type)
    watermark = pc.field(shape.watermark)
    return None if bound is None else (watermark >= pa.scalar(bound, arrow_type)) | watermark.is_null()


def _contents(rows: pa.Table, shape: Shape) -> Iterator[tuple[Any, int]]:
    """Of each row what it is known again by, and a number that is the same for rows that are the same in all their
    columns. A row without a key is known by all of them."""
    nulls = [None] * rows.num_rows
    names = [*shape.columns.names, RESCUED]
    columns = [rows[name].to_pylist() if name in rows.column_names else nulls for name in names]
    contents = list(map(hash, zip(*columns, strict=True)))
    keys = rows[shape.key].to_pylist()
    if rows[shape.key].null_count:
        keys = [(None, content) if key is None else key for key, content in zip(keys, contents, strict=True)]
    return zip(keys, contents, strict=True)
