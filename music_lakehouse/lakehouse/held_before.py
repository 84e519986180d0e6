"""What a table held before rows were written to it, as far as these are compared with it: read near to them, however
long the history is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from music_lakehouse.lakehouse.moments import Moments
from music_lakehouse.lakehouse.ranges import Range

FindWithin: TypeAlias = Callable[[Sequence[Range | Moments]], pa.Table | ds.Dataset]
"""Gives the table's rows that lie in any of the stretches."""

# Late events come from any time: files are left out by so many stretches, each as short as its rows allow.
MOST_STRETCHES = 32
_HOUR = 3_600_000_000
# Mostly the offset just before the first is there. Where it isn't, each further look reaches back ten times as far.
_FIRST_LOOK_BACK = 1000
_PLACE = pa.schema([("kafka_topic_id", pa.string()), ("kafka_partition", pa.int32()), ("last", pa.int64())])


def of_the_same_times(connection: duckdb.DuckDBPyConnection, within: FindWithin | None) -> pa.Table | ds.Dataset:
    """The rows whose `timestamp` lies where one of `touched` does, give or take an hour; none of None."""
    times = [] if within is None else touched_times(connection, "timestamp")
    if within is None or not times:
        return connection.sql("FROM touched LIMIT 0").to_arrow_table()
    return within(times)


def touched_times(connection: duckdb.DuckDBPyConnection, column: str) -> list[Moments]:
    """Stretches of time in which all of `touched` lie by that column, each from one of its rows to another."""
    hours = connection.execute(
        f'SELECT epoch_us(min("{column}")), epoch_us(max("{column}")) FROM touched WHERE "{column}" IS NOT NULL '
        f'GROUP BY epoch_us("{column}") // {_HOUR} ORDER BY 1'
    ).fetchall()
    return [Moments.of_microseconds(column, first, last) for first, last in stretches(hours)]


def stretches(ends: list[tuple[int, int]], *, most: int = MOST_STRETCHES) -> list[tuple[int, int]]:
    """Stretches from one microsecond to another, in order, made `most` by closing the gaps between them: those of up to
    an hour, and the shortest of the others."""
    gaps = sorted((after - before for (_, before), (after, _) in pairwise(ends)), reverse=True)
    closed = max([_HOUR, *gaps[most - 1 : most]])
    found = ends[:1]
    for first, last in ends[1:]:
        if first - found[-1][1] > closed:
            found.append((first, last))
        else:
            found[-1] = (found[-1][0], last)
    return found


def offsets_before(connection: duckdb.DuckDBPyConnection, within: FindWithin | None) -> pa.Table:
    """By topic id and partition of the `touched` messages, the greatest offset (`last`) that the rows hold before the
    first of them; without those before which there is none, and none of None."""
    if within is None:
        return _PLACE.empty_table()
    firsts = connection.execute(
        "SELECT kafka_topic_id, kafka_partition, min(kafka_offset) FROM touched GROUP BY ALL"
    ).fetchall()
    found = [
        {"kafka_topic_id": topic_id, "kafka_partition": partition, "last": last}
        for topic_id, partition, first in firsts
        if (last := _offset_before(within, topic_id, partition, first)) is not None
    ]
    return pa.Table.from_pylist(found, schema=_PLACE)


def _offset_before(within: FindWithin, topic_id: str, partition: int, first: int) -> int | None:
    in_place = (ds.field("kafka_topic_id") == topic_id) & (ds.field("kafka_partition") == partition)
    end, back = first, _FIRST_LOOK_BACK
    while end > 0:
        start = max(first - back, 0)
        near = within([Range("kafka_offset", start, end - 1)]).filter(in_place)
        held = near.select(["kafka_offset"]) if isinstance(near, pa.Table) else near.to_table(["kafka_offset"])
        if held.num_rows:
            last: int = pc.max(held["kafka_offset"]).as_py()
            return last
        end, back = start, back * 10
    return None
