"""What is listened to: questions to the gold and silver tables, each an SQL query that gives a small Arrow table.

Days and hours are UTC. None of the answers names a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

import pyarrow as pa

from music_lakehouse.defs.listening.gold_tables import ACTIVE_USERS, DAILY_LOCATION_SUMMARY, WIDE_STREAMS
from music_lakehouse.defs.listening.silver_tables import DIM_USERS, USER_PROFILES
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.query import query

TABLES = (WIDE_STREAMS, DAILY_LOCATION_SUMMARY, ACTIVE_USERS, DIM_USERS, USER_PROFILES)
"""What the answers come from: as long as none of them has a new version, they stay the same."""
MOST_PLAYED = 10


@dataclass(frozen=True)
class Span:
    """What the lake has streams of: from the day `first` to the day `last`, the newest stream, and the states."""

    first: date
    last: date
    newest: datetime
    states: tuple[str, ...]


@dataclass(frozen=True)
class Filters:
    """Which streams: from the day `first` to the day `last`, both inclusive, of one state (two letters) or of all.

    `until` is the time up to which there are streams of the last day: all of it, or up to the newest stream.
    """

    first: date
    last: date
    until: datetime
    state: str | None = None

    @property
    def day_before(self) -> date:
        return self.last - timedelta(days=1)

    @property
    def begin(self) -> datetime:
        return _midnight(self.first)

    @property
    def end(self) -> datetime:
        """Midnight after the last day."""
        return _midnight(self.last + timedelta(days=1))


def span_of(lake: LakePaths) -> Span | None:
    """What there are streams of; None where there are none."""
    days = """
        SELECT min(date_part) AS first, max(date_part) AS last,
               list(DISTINCT state ORDER BY state) FILTER (WHERE state IS NOT NULL) AS states
        FROM {daily}
    """
    [found] = query(lake, days, daily=DAILY_LOCATION_SUMMARY).to_pylist()
    newest = 'SELECT max("timestamp") AS newest FROM {streams} WHERE date_part = $last'
    [row] = query(lake, newest, parameters={"last": found["last"]}, streams=WIDE_STREAMS).to_pylist()
    if row["newest"] is None:
        return None
    return Span(found["first"], found["last"], row["newest"].astimezone(timezone.utc), tuple(found["states"] or ()))


def filters_of(span: Span, first: date, last: date, state: str | None = None) -> Filters:
    """The filters for these days and this state, of a lake with that span."""
    end = _midnight(last + timedelta(days=1))
    return Filters(first, last, span.newest if last >= span.last else end, state)


def streams_of_the_day(lake: LakePaths, filters: Filters) -> pa.Table:
    """One row: `streams` of the last day, and `day_before`, those of the day before up to the same time of day: so that
    a day that is not over is compared with as much of the other."""
    sql = f"""
        SELECT count(*) FILTER (WHERE date_part = $last AND "timestamp" <= $until) AS streams,
               count(*) FILTER (WHERE date_part = $day_before AND "timestamp" <= $until_before) AS day_before
        FROM {{streams}} WHERE date_part >= $day_before AND date_part <= $last AND {_in_state(filters)}
    """
    parameters = {
        "last": filters.last,
        "day_before": filters.day_before,
        "until": filters.until,
        "until_before": filters.until - timedelta(days=1),
    }
    return _ask(lake, sql, filters, parameters, streams=WIDE_STREAMS)


def streams_by_hour(lake: LakePaths, filters: Filters) -> pa.Table:
    """One row an hour with streams of the last day or of the day before: `date_part`, `hour` (0 to 23), `streams`."""
    sql = f"""
        SELECT date_part, CAST(hour(dateHour) AS INT) AS hour, count(*) AS streams
        FROM {{streams}} WHERE date_part >= $day_before AND date_part <= $last AND {_in_state(filters)}
        GROUP BY ALL ORDER BY ALL
    """
    parameters = {"last": filters.last, "day_before": filters.day_before}
    return _ask(lake, sql, filters, parameters, streams=WIDE_STREAMS)


def streams_by_hour_of_day(lake: LakePaths, filters: Filters) -> pa.Table:
    """One row an hour of the day with streams, of all of the days: `hour` (0 to 23), `streams`."""
    sql = f"""
        SELECT CAST(hour(dateHour) AS INT) AS hour, count(*) AS streams
        FROM {{streams}} WHERE {_of_days} AND {_in_state(filters)} GROUP BY ALL ORDER BY ALL
    """
    return _ask(lake, sql, filters, {"first": filters.first, "last": filters.last}, streams=WIDE_STREAMS)


def streams_by_state(lake: LakePaths, filters: Filters) -> pa.Table:
    """One row a state of the days, whichever the filters name: `state` (null where the place is unknown), `streams`.
    The daily summary has them."""
    sql = """
        SELECT state, CAST(sum(total_streams) AS BIGINT) AS streams
        FROM {daily} WHERE date_part >= $first AND date_part <= $last GROUP BY state ORDER BY streams DESC, state
    """
    days = {"first": filters.first, "last": filters.last}
    return query(lake, sql, parameters=days, daily=DAILY_LOCATION_SUMMARY)


def top_songs(lake: LakePaths, filters: Filters) -> pa.Table:
    """One row for each of the ten songs with the most streams: `songName`, `artistName`, `streams`."""
    return _top(lake, filters, "songName", "artistName")


def top_artists(lake: LakePaths, filters: Filters) -> pa.Table:
    """One row for each of the ten artists with the most streams: `artistName`, `streams`."""
    return _top(lake, filters, "artistName")


def users_by_level_and_gender(lake: LakePaths, filters: Filters) -> pa.Table:
    """One row a (level, gender) that listeners had at the time: `level`, `gender`, `users`, `streams`. Who changed
    between levels counts for each of them."""
    sql = f"""
        SELECT "level", gender, count(*) AS users, CAST(sum(streams) AS BIGINT) AS streams FROM (
            SELECT "level", gender, userId, count(*) AS streams
            FROM {{streams}} WHERE {_of_days} AND {_in_state(filters)} GROUP BY ALL
        ) GROUP BY ALL ORDER BY ALL
    """
    return _ask(lake, sql, filters, {"first": filters.first, "last": filters.last}, streams=WIDE_STREAMS)


def active_users(lake: LakePaths, filters: Filters) -> pa.Table:
    """One row a level: `level`, `users` active in the half hour up to the newest event in the lake, whichever the days;
    with a state those whose last known place is there."""
    sql = f"""
        SELECT active."level", count(*) AS users FROM {{active}} AS active LEFT JOIN {{profiles}} USING (userId)
        WHERE {_in_state(filters, "stateCode")} GROUP BY ALL ORDER BY ALL
    """
    return _ask(lake, sql, filters, {}, active=ACTIVE_USERS, profiles=USER_PROFILES)


def paid_conversion(lake: LakePaths, filters: Filters) -> pa.Table:
    """One row: `free_users`, those on the free level at some time in the days or when they began, and `upgraded`, those
    of them who went from free to paid in the days. With a state, users whose last known place is there."""
    sql = f"""
        WITH versions AS (
            SELECT userId, "level", row_activation_date AS since, row_expiration_date AS until,
                   lag("level") OVER (PARTITION BY userId ORDER BY row_activation_date) AS level_before
            FROM {{users}}
        )
        SELECT count(DISTINCT userId) FILTER (WHERE "level" = 'free' AND since < $end AND until >= $begin)
                   AS free_users,
               count(DISTINCT userId) FILTER (WHERE "level" = 'paid' AND level_before = 'free'
                                              AND since >= $begin AND since < $end) AS upgraded
        FROM (SELECT versions.*, stateCode FROM versions LEFT JOIN {{profiles}} USING (userId))
        WHERE {_in_state(filters, "stateCode")}
    """
    parameters = {"begin": filters.begin, "end": filters.end}
    return _ask(lake, sql, filters, parameters, users=DIM_USERS, profiles=USER_PROFILES)


_of_days = "date_part >= $first AND date_part <= $last"


def _top(lake: LakePaths, filters: Filters, *names: str) -> pa.Table:
    sql = f"""
        SELECT {", ".join(names)}, count(*) AS streams FROM {{streams}}
        WHERE {_of_days} AND {_in_state(filters)} GROUP BY ALL ORDER BY streams DESC, {", ".join(names)}
        LIMIT {MOST_PLAYED}
    """
    return _ask(lake, sql, filters, {"first": filters.first, "last": filters.last}, streams=WIDE_STREAMS)


def _in_state(filters: Filters, column: str = "state") -> str:
    return "true" if filters.state is None else f"{column} = $state"


def _ask(lake: LakePaths, sql: str, filters: Filters, parameters: dict[str, Any], **tables: Any) -> pa.Table:
    in_state = {} if filters.state is None else {"state": filters.state}
    return query(lake, sql, parameters={**parameters, **in_state}, **tables)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), timezone.utc)
