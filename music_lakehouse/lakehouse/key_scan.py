"""What a watermark can't show: rows that are gone at the source, and rows whose watermark went back or came too late.

Found by comparing all keys, and their watermarks, with those that the lake knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from music_lakehouse.lakehouse.database import Database, DatabaseError
from music_lakehouse.lakehouse.landing import DELETED, Landing, Load
from music_lakehouse.lakehouse.sql_source import Shape, SourceTable, any_loose, read_shape

KEYS_A_QUERY = 500


@dataclass(frozen=True)
class Differences:
    """`deleted` are the keys that are known and not at the source; `outdated` those of rows at the source that are not
    known, or known with another watermark. Columns of one, in the types of the tables that were compared."""

    deleted: pa.ChunkedArray
    outdated: pa.ChunkedArray


@dataclass(frozen=True)
class Scanned:
    """What one key scan did: keys at the source, rows landed as deleted, rows landed because they were unknown or had
    another watermark."""

    table: str
    keys: int
    deleted: int
    outdated: int
    files: int
    seconds: float


def compare_keys(known: pa.Table, present: pa.Table, *, key: str, watermark: str | None) -> Differences:
    """How what is known differs from what is at the source; both have the key and, where there is one, the watermark.

    Types may differ: keys are compared by their text, watermarks (timestamps, or text in ISO format) as times in UTC;
    a watermark that is none is missing. Rows without a key are left out; of several rows of one key the newest counts.
    """
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        for name, rows in (("known", known), ("present", present)):
            keyed = pa.table({"key": rows[key], "watermark": _plain(rows[watermark]) if watermark else rows[key]})
            engine.register(f"{name}_rows", keyed)
            value = "max(try_cast(watermark AS TIMESTAMPTZ))" if watermark else "NULL"
            engine.execute(
                f"CREATE TEMP TABLE {name} AS SELECT CAST(key AS VARCHAR) AS id, any_value(key) AS key, {value} AS at "
                f"FROM {name}_rows WHERE key IS NOT NULL GROUP BY id"
            )
        deleted = engine.sql("SELECT key FROM known ANTI JOIN present USING (id) ORDER BY key").to_arrow_table()
        outdated = engine.sql(
            "SELECT present.key FROM present LEFT JOIN known USING (id) "
            "WHERE known.id IS NULL OR known.at IS DISTINCT FROM present.at ORDER BY present.key"
        ).to_arrow_table()
    return Differences(deleted["key"].cast(known[key].type), outdated["key"].cast(present[key].type))


def scan_keys(
    database: Database,
    table: SourceTable,
    landing: Landing,
    known: pa.Table,
    *,
    allow_empty: bool = False,
    now: datetime | None = None,
) -> Scanned:
    """Land the keys that are gone at the source as deleted rows, and the rows that are unknown or outdated as they are.

    `known` has the key and the watermark of every row that the lake holds or has refused; it must have been read before
    this is called, so that what is inserted meanwhile is not taken for deleted. Deleted rows land among the others,
    in the order of their discovery (see `landing.MARKS`). The position of the extraction stays where it is. Reads all
    keys: the cost is that of the table.
    Raises DatabaseError, also where the table is empty while rows of it are known, unless `allow_empty`: a table that
    is being filled anew would close every row.
    """
    started = datetime.now(timezone.utc)
    now = now or started
    latest = now.replace(tzinfo=None) + table.overlap

    def work(connection: sa.Connection) -> Scanned:
        shape = read_shape(connection, table, landing)
        present = _keys(connection, shape)
        if present.num_rows == 0 and known.num_rows > 0 and not allow_empty:
            raise DatabaseError(
                f"{table.name}: the table is empty while {known.num_rows:,} of its rows are known: see whether it is "
                "being filled anew; if all were deleted, scan again with allow_empty",
                retriable=False,
            )
        found = compare_keys(known, present, key=shape.key, watermark=shape.watermark)
        position = landing.position()
        with Load(landing, shape.columns, source=database.name, position=position, now=now) as load:
            for chunk in _rows_of(connection, shape, found.outdated):
                load.add(chunk, loose=any_loose(chunk, shape, latest))
            outdated = load.rows
            load.add(_deletions(shape, found.deleted))
        return Scanned(
            table=table.name,
            keys=present.num_rows,
            deleted=len(found.deleted),
            outdated=outdated,
            files=len(load.files),
            seconds=(datetime.now(timezone.utc) - started).total_seconds(),
        )

    return database.read(table.name, work)


def _keys(connection: sa.Connection, shape: Shape) -> pa.Table:
    names = [shape.key, *([shape.watermark] if shape.watermark else [])]
    key = shape.table.c[shape.key]
    chunks = list(shape.fetch(connection, sa.select(*(shape.table.c[name] for name in names)).where(key.is_not(None))))
    schema = pa.schema([shape.columns.field(name) for name in names])
    return pa.concat_tables([chunk.select(names) for chunk in chunks]) if chunks else schema.empty_table()


def _rows_of(connection: sa.Connection, shape: Shape, keys: pa.ChunkedArray) -> Iterator[pa.Table]:
    """The rows of these keys as they are now, of a key that has several the newest last."""
    values = keys.to_pylist()
    order = [shape.table.c[shape.watermark]] if shape.watermark else []
    for first in range(0, len(values), KEYS_A_QUERY):
        wanted = shape.table.c[shape.key].in_(values[first : first + KEYS_A_QUERY])
        yield from shape.fetch(connection, shape.select().where(wanted).order_by(*order))


def _deletions(shape: Shape, keys: pa.ChunkedArray) -> pa.Table:
    typed = keys.cast(shape.columns.field(shape.key).type)
    return pa.table({shape.key: typed, DELETED: pa.repeat(True, len(typed))})


def _plain(watermarks: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times without their zone, UTC; anything else as it is."""
    return watermarks.cast(pa.timestamp("us")) if pa.types.is_timestamp(watermarks.type) else watermarks
