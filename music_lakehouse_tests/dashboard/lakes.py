"""Lakes of listening tables made without Spark: a small one drawn at random, row by row, and one of many streams."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from music_lakehouse.defs.listening.gold_tables import (
    ACTIVE_USERS,
    ARTIST_POPULARITY,
    DAILY_LOCATION_SUMMARY,
    DAILY_USER_SUMMARY,
    FACT_STREAMS,
    WIDE_STREAMS,
)
from music_lakehouse.defs.listening.silver_tables import DIM_USERS, USER_PROFILES
from music_lakehouse.defs.listening.transforms import summaries
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.query import query
from music_lakehouse.lakehouse.tables import Table

Row = dict[str, Any]
FIRST_DAY = date(2026, 11, 18)
NEWEST = datetime(2026, 11, 21, 14, 30, tzinfo=timezone.utc)
OPEN_END = datetime(9999, 12, 31, tzinfo=timezone.utc)
STATES = ("CA", "NY", "TX", None)
FIRST_NAMES, LAST_NAMES = ("Zebulon", "Wilhelmina", "Ottoline"), ("Quackenbush", "Vandersloot", "Thistlewood")
"""Names that are no part of any other word on a page."""


@dataclass(frozen=True)
class SmallLake:
    """A lake of four days, the last of which isn't over, and the rows that it was made of."""

    paths: LakePaths
    streams: list[Row]
    versions: list[Row]
    profiles: list[Row]
    active: list[Row]


def small_lake(root: str, seed: int) -> SmallLake:
    """A lake of some hundred streams of 40 users: some of no known state, some users who change their level."""
    drawn = random.Random(seed)
    versions, profiles = [], []
    for user in range(1, 41):
        named = {"firstName": drawn.choice(FIRST_NAMES), "lastName": drawn.choice(LAST_NAMES)}
        shown = {"userId": user, **named, "gender": drawn.choice("FM")}
        starts = [datetime(2026, 11, 1, tzinfo=timezone.utc)]
        starts += sorted(drawn.sample([_midnight(n) + timedelta(hours=h) for n in range(4) for h in (0, 9)], user % 4))
        paid = drawn.random() < 0.3
        for number, start in enumerate(starts):
            level = ("free", "paid")[(number + paid) % 2]
            end = starts[number + 1] if number + 1 < len(starts) else OPEN_END
            version = {"userKey": f"{user}-{number}", "level": level, "row_activation_date": start}
            versions.append({**shown, **version, "row_expiration_date": end, "current_row": int(end == OPEN_END)})
        profiles.append({**shown, "level": versions[-1]["level"], "stateCode": drawn.choice(STATES)})
    streams = [_stream(drawn, number, versions) for number in range(600)]
    streams.append({**_stream(drawn, 600, versions), **_times(NEWEST)})
    active = [{"userId": row["userId"], "level": row["level"]} for row in profiles[:7]]
    lake = LakePaths(root)
    for table, rows in ((WIDE_STREAMS, streams), (DIM_USERS, versions), (USER_PROFILES, profiles)):
        write(lake, table, rows)
    write(lake, ACTIVE_USERS, active)
    summarize(lake)
    return SmallLake(lake, streams, versions, profiles, active)


def _stream(drawn: random.Random, number: int, versions: list[Row]) -> Row:
    minutes = drawn.randrange(int((NEWEST - _midnight(0)).total_seconds() // 60))
    moment = _midnight(0) + timedelta(minutes=minutes)
    user, song = drawn.randint(1, 40), int(drawn.paretovariate(1))
    [held] = [
        row
        for row in versions
        if row["userId"] == user and row["row_activation_date"] <= moment < row["row_expiration_date"]
    ]
    state = drawn.choice(STATES)
    return {
        "event_id": f"{number}",
        **_times(moment),
        **{name: held[name] for name in ("userId", "userKey", "firstName", "lastName", "gender", "level")},
        "songName": f"Song {song}",
        "artistName": f"Artist {song % 7}",
        "state": state,
        "city": f"City in {state}",
    }


def _times(moment: datetime) -> Row:
    return {"timestamp": moment, "date_part": moment.date(), "dateHour": moment.replace(minute=0)}


def _midnight(days: int) -> datetime:
    return datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=timezone.utc) + timedelta(days=days)


def write(lake: LakePaths, table: Table, rows: list[Row]) -> None:
    """Append the rows to the table, which is made where it isn't there; columns that a row lacks are null."""
    append(lake, table, pa.Table.from_pylist(rows, schema=table.arrow_schema))


def append(lake: LakePaths, table: Table, rows: pa.Table) -> None:
    """The same with an Arrow table."""
    found = lake.open(table) or DeltaTable.create(
        lake.path(table),
        table.arrow_schema,
        partition_by=list(table.partition_by) or None,
        configuration=table.all_properties,
        raise_if_key_not_exists=False,
    )
    write_deltalake(found, rows.cast(table.arrow_schema), mode="append")


def summarize(lake: LakePaths) -> None:
    """Make the summaries what wide_streams has, as the pipeline does."""
    for table, sql in (
        (DAILY_LOCATION_SUMMARY, summaries.DAILY_LOCATION_SUMMARY),
        (DAILY_USER_SUMMARY, summaries.DAILY_USER_SUMMARY),
        (ARTIST_POPULARITY, summaries.ARTIST_POPULARITY),
    ):
        rows = query(lake, sql, streams=WIDE_STREAMS).cast(table.arrow_schema)
        write_deltalake(lake.path(table), rows, mode="overwrite", partition_by=list(table.partition_by) or None)


def large_lake(root: str, streams: int, *, days: int = 31) -> LakePaths:
    """A lake of that many streams on as many days, with all the columns that they have, in 51 states; of one user,
    and two versions of that user, for each 400 streams, and 50,000 songs, of which few are played much."""
    lake, users, a_day = LakePaths(root), max(1, streams // 400), streams // days
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for day in range(days):
            arguments = {"day": day, "a_day": a_day, "users": users}
            append(lake, WIDE_STREAMS, connection.sql(_STREAMS_OF_A_DAY, params=arguments).to_arrow_table())
        connection.register("streams", lake.open(WIDE_STREAMS).to_pyarrow_dataset())  # type: ignore[union-attr]
        for day in range(days):
            append(lake, FACT_STREAMS, connection.sql(_FACTS_OF_A_DAY, params={"day": day}).to_arrow_table())
        for table, sql in ((DIM_USERS, _VERSIONS), (USER_PROFILES, _PROFILES), (ACTIVE_USERS, _ACTIVE)):
            append(lake, table, connection.sql(sql, params={"users": users}).to_arrow_table())
    summarize(lake)
    return lake


_STREAMS_OF_A_DAY = """
    SELECT md5('event' || n) AS event_id, md5('user' || who) AS userKey, md5('artist' || song // 7) AS artistKey,
           md5('song' || song) AS songKey, CAST(epoch(date_trunc('hour', moment)) AS BIGINT) AS dateKey,
           md5('place' || place) AS locationKey, moment AS "timestamp",
           CAST(DATE '2026-10-01' + $day AS DATE) AS date_part, who AS userId,
           'First' || who % 1000 AS firstName, 'Last' || who % 1777 AS lastName,
           CASE who % 2 WHEN 0 THEN 'F' ELSE 'M' END AS gender,
           CASE who % 5 WHEN 0 THEN 'paid' ELSE 'free' END AS "level",
           'Song number ' || song || ' of the year' AS songName, 200.0 + song % 100 AS songDuration,
           'Artist number ' || song // 7 AS artistName, 'City ' || place AS city, states[1 + place % 51] AS state,
           'State ' || place % 51 AS stateName, place % 60 + 0.5 AS latitude, -(place % 120) - 0.25 AS longitude,
           date_trunc('hour', moment) AS dateHour, CAST($day + 1 AS INT) AS dayOfMonth,
           CAST(dayofweek(moment) + 1 AS INT) AS dayOfWeek
    FROM (
        SELECT n, CAST(hash(n) % $users AS BIGINT) AS who, CAST(hash(n) % $users % 700 AS BIGINT) AS place,
               CAST(pow((hash(n, 1) % 1000000) / 1e6, 3) * 50000 AS BIGINT) AS song,
               TIMESTAMPTZ '2026-10-01 00:00:00+00' + to_days(CAST($day AS INT))
                   + to_seconds(hash(n, 2) % 86400) AS moment,
               string_split('AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH '
                   || 'NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY', ' ') AS states
        FROM (SELECT unnest(range($day * $a_day, ($day + 1) * $a_day)) AS n)
    )
"""
_FACTS_OF_A_DAY = """
    SELECT event_id, userKey, artistKey, songKey, dateKey, locationKey, "timestamp" AS ts, date_part, userId,
           userId AS sessionId, 1::INT AS itemInSession, songDuration AS duration
    FROM streams WHERE date_part = CAST(DATE '2026-10-01' + $day AS DATE)
"""
_VERSIONS = """
    SELECT md5('user' || n || version) AS userKey, n AS userId, 'First' || n % 1000 AS firstName,
           'Last' || n % 1777 AS lastName, CASE n % 2 WHEN 0 THEN 'F' ELSE 'M' END AS gender,
           CASE (n + version) % 2 WHEN 0 THEN 'free' ELSE 'paid' END AS "level", changed AS registration_time,
           CASE version WHEN 0 THEN TIMESTAMPTZ '2026-09-01 00:00:00+00' ELSE changed END AS row_activation_date,
           CASE version WHEN 0 THEN changed ELSE TIMESTAMPTZ '9999-12-31 00:00:00+00' END AS row_expiration_date,
           version::INT AS current_row
    FROM (SELECT n, version, TIMESTAMPTZ '2026-10-01 00:00:00+00' + to_hours(CAST(n % 900 AS INT)) AS changed
          FROM range($users) AS a(n), range(2) AS b(version))
"""
_PROFILES = """
    SELECT n AS userId, 'First' || n % 1000 AS firstName, 'Last' || n % 1777 AS lastName, 'F' AS gender,
           'free' AS "level", 'City ' || n % 700 AS city, ['CA', 'NY', 'TX'][1 + n % 3] AS stateCode,
           CAST(NULL AS TIMESTAMPTZ) AS registration_time, CAST(NULL AS TIMESTAMPTZ) AS first_seen,
           CAST(NULL AS TIMESTAMPTZ) AS last_seen
    FROM range($users) AS a(n)
"""
_ACTIVE = """
    SELECT n AS userId, CAST(NULL AS TIMESTAMPTZ) AS session_start, CAST(NULL AS TIMESTAMPTZ) AS session_end,
           'free' AS "level"
    FROM range($users // 10) AS a(n)
"""
