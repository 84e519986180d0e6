"""The steps of fact_streams and wide_streams."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pyarrow as pa

from music_lakehouse.defs.listening.gold_tables import FACT_STREAMS, WIDE_STREAMS
from music_lakehouse.defs.listening.silver_tables import DIM_ARTISTS, DIM_DATETIME, DIM_LOCATION, DIM_SONGS, DIM_USERS
from music_lakehouse.defs.listening.steps.sources import LISTENS, new_listens, of_all_listens, of_listens
from music_lakehouse.defs.listening.transforms import streams
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.changes import Changes
from music_lakehouse.lakehouse.days import Days, days_of
from music_lakehouse.lakehouse.lake import CHANGE_TYPE, Lake, Rows
from music_lakehouse.lakehouse.query import View, distinct, evaluated, evaluated_long, has_rows, keyed
from music_lakehouse.lakehouse.steps import Step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written, make_equal

_STREAM_COLUMNS = ", ".join(name for name in FACT_STREAMS.column_names if name != "userKey")


def _update_fact_streams(lake: Lake, changes: Changes) -> Written:
    if changes.full:
        every_stream = streams.FACT_STREAMS.replace("{streams}", f"({streams.STREAMS})")
        desired = of_all_listens(lake, every_stream, users=DIM_USERS)
        return make_equal(lake, FACT_STREAMS, desired, delete=True)
    delivered, told, delivered_days = _delivered_streams(lake, changes)
    rekeyed, rekeyed_days = _rekeyed_facts(lake, changes)
    within = Days.of("date_part", [*delivered_days, *rekeyed_days])
    if rekeyed is not None:
        # What is told anew is not what it was.
        sql = f"""
            SELECT {_STREAM_COLUMNS} FROM {{delivered}}
            UNION ALL SELECT {_STREAM_COLUMNS} FROM {{rekeyed}} AS r ANTI JOIN {{told}} AS t ON r.event_id = t.event_id
        """
        delivered = evaluated(lake, sql, delivered=delivered, rekeyed=rekeyed, told=told)
        told = distinct(lake, "event_id", told, rekeyed)
    desired = evaluated(lake, streams.FACT_STREAMS, streams=delivered, users=DIM_USERS)
    # What is delivered no more is none of the facts.
    current = keyed(lake, FACT_STREAMS, told, within)
    return make_equal(lake, FACT_STREAMS, desired, current=current, within=within, delete=True)


def _delivered_streams(lake: Lake, changes: Changes) -> tuple[Rows, Rows, list[date]]:
    """The streams of the new deliveries, the event_id of all of these, and their days. An event that was delivered
    before is what all its deliveries tell."""
    listens = new_listens(changes)
    told = distinct(lake, "event_id", listens)
    days = days_of(listens, "timestamp")
    on_days = Days.of("date_part", days)
    if changes.only_added(LISTENS) and not has_rows(keyed(lake, FACT_STREAMS, told, on_days)):
        return of_listens(lake, listens, streams.STREAMS), told, days
    deliveries = keyed(lake, LISTENS, told, on_days.on("timestamp"))
    return of_listens(lake, deliveries, streams.STREAMS), told, days


def _rekeyed_facts(lake: Lake, changes: Changes) -> tuple[Rows | None, list[date]]:
    """The facts at whose time another version of their user may hold now, and their days; None where there are none."""
    change = changes.get(DIM_USERS)
    newest = delta.greatest(lake.open(FACT_STREAMS), "date_part")
    if change is None or newest is None:
        return None, []
    reached = f"""
        SELECT userId, since, until, least(CAST(until AS DATE), DATE '{newest}') AS last
        FROM ({streams.REKEYED}) AS rekeyed WHERE since < '{newest + timedelta(days=1)}'
    """
    intervals = evaluated(lake, reached, changed=change.found)
    days = days_of(intervals, "since", until="last")
    if not days:
        return None, []
    sql = f"""
        SELECT {_STREAM_COLUMNS} FROM (
            SELECT * FROM {{facts}} AS held WHERE {Days.of("date_part", days).predicate(quote="")}
        ) AS f SEMI JOIN {{intervals}} AS i ON f.userId = i.userId AND f.ts >= i.since AND f.ts < i.until
    """
    return evaluated(lake, sql, facts=FACT_STREAMS, intervals=intervals), days


_SHOWN: dict[Table, tuple[str, tuple[str, ...]]] = {
    DIM_USERS: ("userKey", ("firstName", "lastName", "gender", "level")),
    DIM_SONGS: ("songKey", ("title", "duration")),
    DIM_ARTISTS: ("artistKey", ("name",)),
    DIM_LOCATION: ("locationKey", ("city", "stateCode", "stateName", "latitude", "longitude")),
    DIM_DATETIME: ("dateKey", ("date", "dayOfMonth", "dayOfWeek")),
}
"""A dimension's key in the facts, and the columns of it that wide_streams shows."""
_DIMENSIONS: dict[str, Any] = {
    "users": DIM_USERS,
    "songs": DIM_SONGS,
    "artists": DIM_ARTISTS,
    "places": DIM_LOCATION,
    "hours": DIM_DATETIME,
}


_ALWAYS_SHOWN = {
    "firstName": DIM_USERS,
    "songName": DIM_SONGS,
    "artistName": DIM_ARTISTS,
    "stateName": DIM_LOCATION,
    "dateHour": DIM_DATETIME,
}
"""Columns of wide_streams that are null only where the dimension has no row of that key."""


class DimensionsBehindError(RuntimeError):
    """Facts have keys that a dimension lacks, as where tables are materialized one by one."""


def _update_wide_streams(lake: Lake, changes: Changes) -> Written:
    if changes.full:
        everything = evaluated_long(lake, streams.WIDE_STREAMS, facts=FACT_STREAMS, **_DIMENSIONS)
        _check_all_joined(everything)
        return make_equal(lake, WIDE_STREAMS, everything, delete=True)
    new_facts, touched = changes.get(FACT_STREAMS), _facts_with_changed_dimensions(lake, changes)
    # What was added is what the facts are: they need not be read again.
    present = new_facts.found_touched if new_facts and new_facts.append_only and touched is None else None
    if new_facts is not None:
        changed = evaluated(lake, "SELECT event_id, date_part FROM {facts}", facts=new_facts.found_touched)
        union = "SELECT event_id, date_part FROM {touched} UNION ALL SELECT event_id, date_part FROM {changed}"
        touched = changed if touched is None else evaluated(lake, union, touched=touched, changed=changed)
    if touched is None:
        return Written()
    within = Days.of("date_part", days_of(touched, "date_part"))
    keys = distinct(lake, "event_id", touched)
    present = keyed(lake, FACT_STREAMS, keys, within) if present is None else present
    desired = evaluated(lake, streams.WIDE_STREAMS, facts=present, **_DIMENSIONS)
    _check_all_joined(desired)
    current = keyed(lake, WIDE_STREAMS, keys, within)
    return make_equal(lake, WIDE_STREAMS, desired, current=current, within=within, delete=True)


def _check_all_joined(rows: Rows | View) -> None:
    """Of rows that are here: of more, and of what is there already, the checks tell."""
    if not isinstance(rows, pa.Table):
        return
    for column, dimension in _ALWAYS_SHOWN.items():
        if rows[column].null_count:
            raise DimensionsBehindError(
                f"{WIDE_STREAMS.full_name} can't show {rows.num_rows} streams: {rows[column].null_count} of them have "
                f"keys that {dimension.full_name} lacks: materialize {dimension.full_name} first, or the whole pipeline"
            )


def _facts_with_changed_dimensions(lake: Lake, changes: Changes) -> Rows | None:
    """event_id and date_part of the facts whose dimension rows now show something else; None where there are none.

    The facts are read only where a row did change: a row that is new has no facts but new ones.
    """
    affected: Rows | None = None
    for dimension, (key, shown) in _SHOWN.items():
        change = changes.get(dimension)
        if change is None or change.append_only:
            continue
        images = f"SELECT DISTINCT {key}, {', '.join(shown)} FROM {{changed}}"
        # One that went may have come again since, and show something else.
        sql = f"""
            SELECT {key} FROM ({images}) AS images GROUP BY {key} HAVING count(*) > 1
            UNION SELECT {key} FROM {{changed}} WHERE {CHANGE_TYPE} = 'delete'
        """
        changed = evaluated(lake, sql, changed=change.found)
        if has_rows(changed):
            sql = f"SELECT event_id, date_part FROM {{facts}} AS f SEMI JOIN {{changed}} AS c ON f.{key} = c.{key}"
            rows = evaluated(lake, sql, facts=FACT_STREAMS, changed=changed)
            union = "SELECT * FROM {affected} UNION ALL SELECT * FROM {rows}"
            affected = rows if affected is None else evaluated(lake, union, affected=affected, rows=rows)
    return affected


STEPS = (
    Step(
        FACT_STREAMS,
        (LISTENS, DIM_USERS),
        _update_fact_streams,
        after=(DIM_SONGS, DIM_ARTISTS, DIM_LOCATION, DIM_DATETIME),
    ),
    Step(WIDE_STREAMS, (FACT_STREAMS, *_SHOWN), _update_wide_streams),
)
