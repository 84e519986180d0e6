from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.defs.listening.gold_tables import FACT_STREAMS, WIDE_STREAMS
from music_lakehouse.defs.listening.silver_tables import (
    DIM_ARTISTS,
    DIM_DATETIME,
    DIM_LOCATION,
    DIM_SONGS,
    DIM_USERS,
    USER_PROFILES,
    USER_SESSIONS,
)
from music_lakehouse.defs.listening.transforms import streams, summaries
from music_lakehouse_tests.defs.listening.transforms.frames import (
    at,
    evaluated,
    frame,
    picked,
    rows_of,
    told_by,
    values,
)

pytestmark = pytest.mark.spark

DAY = at(0).date()


def test_a_stream_is_a_distinct_listen_with_a_user_a_song_and_an_artist(spark: SparkSession) -> None:
    def listen(event: str, delivery: str, **more: Any) -> dict[str, Any]:
        complete = {"userId": 1, "song": "Tune", "artist": "Band", "timestamp": at(0)}
        return {"event_id": event, "bronze_id": delivery, **complete, **more}

    listens = [
        listen("e1", "b2", duration=2.0),
        listen("e1", "b1", duration=1.0),
        listen("e1", "b0", song='" "'),  # the first delivery, but not one that is a fact
        listen("e2", "b3", userId=None),
        listen("e3", "b4", artist=None),
        listen("e4", "b5", song=None),
        listen("e5", "b6"),
    ]
    rows = told_by(spark, streams.STREAMS, *listens)
    assert values(rows, ["event_id", "bronze_id", "duration"], "event_id") == [("e1", "b1", 1.0), ("e5", "b6", None)]


def version(user: int, start: float, end: float, level: str = "free") -> dict[str, Any]:
    return {
        "userKey": f"{user}-{start}",
        "userId": user,
        "level": level,
        "row_activation_date": at(start),
        "row_expiration_date": at(end),
    }


def test_a_fact_has_the_version_that_held_at_its_time(spark: SparkSession) -> None:
    facts = [
        {"event_id": "before", "userId": 1, "ts": at(-0.001)},
        {"event_id": "at the start", "userId": 1, "ts": at(0)},
        {"event_id": "at the end", "userId": 1, "ts": at(9.999)},
        {"event_id": "at the next start", "userId": 1, "ts": at(10), "userKey": "what it was"},
        {"event_id": "of nobody", "userId": 9, "ts": at(0)},
    ]
    versions = frame(spark, DIM_USERS, [version(1, 0, 10), version(1, 10, 20), version(2, 0, 20)])
    rows = evaluated(spark, streams.FACT_STREAMS, streams=frame(spark, FACT_STREAMS, facts), users=versions)
    assert dict(values(rows, ["event_id", "userKey"])) == {
        "before": None,
        "at the start": "1-0",
        "at the end": "1-0",
        "at the next start": "1-10",
        "of nobody": None,
    }


def test_versions_that_came_or_went_tell_where_facts_may_change(spark: SparkSession) -> None:
    changes = [
        {**version(1, 0, 10), "_change_type": "update_preimage"},
        {**version(1, 0, 5), "_change_type": "update_postimage"},
        {**version(1, 5, 10), "_change_type": "insert"},
        {**version(2, 3, 4), "_change_type": "delete"},
    ]
    changed = frame(spark, f"{DIM_USERS.ddl}, _change_type STRING", changes)
    intervals = evaluated(spark, streams.REKEYED, changed=changed)
    assert values(intervals, ["userId", "since", "until"], "userId") == [(1, at(5), at(10)), (2, at(3), at(4))]


def test_a_wide_stream_is_its_fact_with_what_its_keys_name(spark: SparkSession) -> None:
    fact = {"event_id": "e1", "userKey": "1-0", "songKey": "s", "artistKey": "a", "locationKey": "l", "dateKey": 0,
            "ts": at(5), "date_part": DAY, "userId": 1, "duration": 99.0}  # fmt: skip
    lost = {"event_id": "e2", "userKey": "?", "songKey": None, "ts": at(6), "date_part": DAY, "userId": 2}
    user = {**version(1, 0, 10), "firstName": "Anna", "lastName": "Berg", "gender": "F"}
    song = {"songKey": "s", "title": "Tune", "artistName": "Band", "duration": 180.5}
    place = {"locationKey": "l", "city": "Oslo", "stateCode": "NY", "stateName": "New York", "zip": "01234",
             "latitude": 59.5, "longitude": 10.75}  # fmt: skip
    hour = {"dateKey": 0, "date": at(0), "hour": 0, "dayOfMonth": 1, "dayOfWeek": 2}
    wide = evaluated(
        spark,
        streams.WIDE_STREAMS,
        facts=frame(spark, FACT_STREAMS, [fact, lost]),
        users=frame(spark, DIM_USERS, [user]),
        songs=frame(spark, DIM_SONGS, [song]),
        artists=frame(spark, DIM_ARTISTS, [{"artistKey": "a", "name": "Band"}]),
        places=frame(spark, DIM_LOCATION, [place]),
        hours=frame(spark, DIM_DATETIME, [hour]),
    )
    rows = rows_of(wide.select(*WIDE_STREAMS.column_names), "event_id")
    assert rows[0] == {
        **{name: fact[name] for name in ("event_id", "userKey", "artistKey", "songKey", "dateKey", "locationKey")},
        "timestamp": at(5),
        "date_part": DAY,
        "userId": 1,
        "firstName": "Anna",
        "lastName": "Berg",
        "gender": "F",
        "level": "free",
        "songName": "Tune",
        "songDuration": 180.5,
        "artistName": "Band",
        "city": "Oslo",
        "state": "NY",
        "stateName": "New York",
        "latitude": 59.5,
        "longitude": 10.75,
        "dateHour": at(0),
        "dayOfMonth": 1,
        "dayOfWeek": 2,
    }
    assert picked(rows[1:], "event_id", "timestamp", "level", "songName") == [("e2", at(6), None, None)]


def test_summaries_are_the_group_by_of_wide_streams(spark: SparkSession) -> None:
    def stream(user: int, song: str, artist: str, city: str | None, days: int = 0) -> dict[str, Any]:
        names = {"firstName": "Anna", "lastName": "Berg", "level": "free"}
        day = at(86_400 * days).date()
        return {"date_part": day, "userId": user, "songName": song, "artistName": artist, "city": city, **names}

    tomorrow = at(86_400).date()
    wide = frame(
        spark,
        WIDE_STREAMS,
        [
            stream(1, "Tune", "Band", "Oslo"),
            stream(1, "Tune", "Band", "Oslo"),
            stream(1, "Air", "Solo", None),
            stream(2, "Tune", "Solo", None),
            stream(1, "Tune", "Band", "Oslo", days=1),
        ],
    )
    by_user = ["date_part", "userId", "total_streams", "unique_songs", "unique_artists"]
    assert values(evaluated(spark, summaries.DAILY_USER_SUMMARY, streams=wide), by_user, "date_part", "userId") == [
        (DAY, 1, 3, 2, 2),
        (DAY, 2, 1, 1, 1),
        (tomorrow, 1, 1, 1, 1),
    ]
    by_place = ["date_part", "city", "state", "total_streams", "unique_users", "unique_songs"]
    assert values(evaluated(spark, summaries.DAILY_LOCATION_SUMMARY, streams=wide), by_place, "date_part", "city") == [
        (DAY, None, None, 2, 2, 2),
        (DAY, "Oslo", None, 2, 1, 1),
        (tomorrow, "Oslo", None, 1, 1, 1),
    ]
    by_artist = ["artistName", "total_streams", "unique_users", "unique_songs", "active_days"]
    assert values(evaluated(spark, summaries.ARTIST_POPULARITY, streams=wide), by_artist, "artistName") == [
        ("Band", 3, 1, 1, 2),
        ("Solo", 2, 2, 2, 1),
    ]


def test_active_users_are_those_of_the_half_hour_up_to_the_newest_event(spark: SparkSession) -> None:
    profiles = frame(
        spark,
        USER_PROFILES,
        [
            {"userId": 1, "level": "free", "last_seen": at(0)},
            {"userId": 2, "level": "free", "last_seen": at(-0.001)},
            {"userId": 3, "level": "paid", "last_seen": at(1800)},
        ],
    )
    sessions = frame(
        spark,
        USER_SESSIONS,
        [
            {"userId": 1, "sessionId": 1, "session_start": at(-9), "session_end": at(0), "level": "paid"},
            {"userId": 1, "sessionId": 2, "session_start": at(-8), "session_end": at(-1), "level": "free"},
            {"userId": 2, "sessionId": 3, "session_start": at(-8), "session_end": at(0), "level": "free"},
        ],
    )
    active = evaluated(spark, summaries.active_users(at(1800)), profiles=profiles, sessions=sessions)
    assert [tuple(row.values()) for row in rows_of(active, "userId")] == [
        (1, at(-9), at(0), "paid"),
        (3, None, None, "paid"),
    ]
    assert rows_of(evaluated(spark, summaries.active_users(None), profiles=profiles, sessions=sessions)) == []
