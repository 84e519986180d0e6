"""The listening tables' declarations: gold."""

from __future__ import annotations

from music_lakehouse.defs.listening.silver_tables import (
    DIM_ARTISTS,
    DIM_DATETIME,
    DIM_LOCATION,
    DIM_SONGS,
    DIM_USERS,
    USER_PROFILES,
    USER_SESSIONS,
)
from music_lakehouse.defs.listening.tables import BRONZE
from music_lakehouse.lakehouse.tables import Column, Sources, Table, columns_of, traced

_KEYS = (
    Column("userKey", "STRING", "the version of the user that held at the time: silver.dim_users", pseudonym=True),
    Column("artistKey", "STRING", "silver.dim_artists"),
    Column("songKey", "STRING", "silver.dim_songs"),
    Column("dateKey", "BIGINT", "the hour: silver.dim_datetime"),
    Column("locationKey", "STRING", "silver.dim_location", pseudonym=True),
)
_EVENT = Column("event_id", "STRING", "the listen event, however often it was delivered", pseudonym=True)
_DATE = Column("date_part", "DATE", "the day of the event, UTC")
_USER = Column("userId", "BIGINT", "the user", pseudonym=True)
_NAMES = (
    Column("firstName", "STRING", "first name at the time", pii=True),
    Column("lastName", "STRING", "last name at the time", pii=True),
)


def _listens(*names: str) -> Sources:
    return columns_of(BRONZE["listen_events"], *names)


FACT_STREAMS = Table(
    layer="gold",
    name="fact_streams",
    description="One row a distinct listen event with a user, a song and an artist. Keys are of the dimension rows "
    "that hold, the user's of the version that held at `ts`.",
    columns=traced(
        (
            _EVENT,
            *_KEYS,
            Column("ts", "TIMESTAMP", "when it happened, UTC"),
            _DATE,
            _USER,
            Column("sessionId", "BIGINT", "the session"),
            Column("itemInSession", "INT", "the event's number in its session"),
            Column("duration", "DOUBLE", "seconds, as the event says"),
        ),
        {
            "event_id": _listens("event_id"),
            "userKey": columns_of(DIM_USERS, "userKey"),
            "artistKey": _listens("artist"),
            "songKey": _listens("song", "artist"),
            "dateKey": _listens("timestamp"),
            "locationKey": _listens("city", "state", "zip", "latitude", "longitude"),
            "ts": _listens("timestamp"),
            "date_part": _listens("timestamp"),
            **{name: _listens(name) for name in ("userId", "sessionId", "itemInSession", "duration")},
        },
    ),
    key=("event_id",),
    partition_by=("date_part",),
)


def _facts(*names: str) -> Sources:
    return columns_of(FACT_STREAMS, *names)


WIDE_STREAMS = Table(
    layer="gold",
    name="wide_streams",
    description="One row a row of gold.fact_streams, joined with the dimensions as they are now.",
    columns=traced(
        (
            _EVENT,
            *_KEYS,
            Column("timestamp", "TIMESTAMP", "when it happened, UTC"),
            _DATE,
            _USER,
            *_NAMES,
            Column("gender", "STRING", "F, M or Unknown"),
            Column("level", "STRING", "subscription at the time: free or paid"),
            Column("songName", "STRING", "the song's title"),
            Column("songDuration", "DOUBLE", "the song's length in seconds"),
            Column("artistName", "STRING", "the artist's name"),
            Column("city", "STRING", "the device's city"),
            Column("state", "STRING", "the device's state, two letters"),
            Column("stateName", "STRING", "the state's name"),
            Column("latitude", "DOUBLE", "degrees north", pii=True),
            Column("longitude", "DOUBLE", "degrees east", pii=True),
            Column("dateHour", "TIMESTAMP", "the hour, UTC"),
            Column("dayOfMonth", "INT", "1 to 31"),
            Column("dayOfWeek", "INT", "1 (Sunday) to 7 (Saturday)"),
        ),
        {
            **{column.name: _facts(column.name) for column in (_EVENT, *_KEYS, _DATE, _USER)},
            "timestamp": _facts("ts"),
            **{name: columns_of(DIM_USERS, name) for name in ("firstName", "lastName", "gender", "level")},
            "songName": columns_of(DIM_SONGS, "title"),
            "songDuration": columns_of(DIM_SONGS, "duration"),
            "artistName": columns_of(DIM_ARTISTS, "name"),
            **{name: columns_of(DIM_LOCATION, name) for name in ("city", "stateName", "latitude", "longitude")},
            "state": columns_of(DIM_LOCATION, "stateCode"),
            "dateHour": columns_of(DIM_DATETIME, "date"),
            **{name: columns_of(DIM_DATETIME, name) for name in ("dayOfMonth", "dayOfWeek")},
        },
    ),
    key=("event_id",),
    partition_by=("date_part",),
)


def _wide(*names: str) -> Sources:
    return columns_of(WIDE_STREAMS, *names)


DAILY_USER_SUMMARY = Table(
    layer="gold",
    name="daily_user_summary",
    description="One row a day, user, name and subscription: what was listened to. Equal to the GROUP BY over "
    "wide_streams.",
    columns=traced(
        (
            _DATE,
            _USER,
            *_NAMES,
            Column("level", "STRING", "subscription: free or paid"),
            Column("total_streams", "BIGINT", "listen events"),
            Column("unique_songs", "BIGINT", "distinct song names"),
            Column("unique_artists", "BIGINT", "distinct artist names"),
        ),
        {
            **{name: _wide(name) for name in ("date_part", "userId", "firstName", "lastName", "level")},
            "total_streams": _wide("event_id"),
            "unique_songs": _wide("songName"),
            "unique_artists": _wide("artistName"),
        },
    ),
    key=("date_part", "userId", "firstName", "lastName", "level"),
    partition_by=("date_part",),
)

DAILY_LOCATION_SUMMARY = Table(
    layer="gold",
    name="daily_location_summary",
    description="One row a day and place: what was listened to. Equal to the GROUP BY over wide_streams.",
    columns=traced(
        (
            _DATE,
            Column("city", "STRING", "the city; may be missing"),
            Column("state", "STRING", "the state, two letters; may be missing"),
            Column("total_streams", "BIGINT", "listen events"),
            Column("unique_users", "BIGINT", "distinct users"),
            Column("unique_songs", "BIGINT", "distinct song names"),
        ),
        {
            **{name: _wide(name) for name in ("date_part", "city", "state")},
            "total_streams": _wide("event_id"),
            "unique_users": _wide("userId"),
            "unique_songs": _wide("songName"),
        },
    ),
    key=("date_part", "city", "state"),
    partition_by=("date_part",),
)

ARTIST_POPULARITY = Table(
    layer="gold",
    name="artist_popularity",
    description="One row an artist: how much and by how many it was listened to. Equal to the GROUP BY over "
    "wide_streams.",
    columns=traced(
        (
            Column("artistName", "STRING", "the artist"),
            Column("total_streams", "BIGINT", "listen events"),
            Column("unique_users", "BIGINT", "distinct users"),
            Column("unique_songs", "BIGINT", "distinct song names"),
            Column("active_days", "BIGINT", "distinct days"),
        ),
        {
            "artistName": _wide("artistName"),
            "total_streams": _wide("event_id"),
            "unique_users": _wide("userId"),
            "unique_songs": _wide("songName"),
            "active_days": _wide("date_part"),
        },
    ),
    key=("artistName",),
)

ACTIVE_USERS = Table(
    layer="gold",
    name="active_users",
    description="One row a user seen in the 30 minutes up to and including the newest event in the lake, with the "
    "latest session.",
    columns=traced(
        (
            _USER,
            Column("session_start", "TIMESTAMP", "the first event of the user's latest session, UTC"),
            Column("session_end", "TIMESTAMP", "its last event, UTC"),
            Column("level", "STRING", "subscription at its last event"),
        ),
        {
            "userId": columns_of(USER_PROFILES, "userId"),
            "session_start": columns_of(USER_SESSIONS, "session_start"),
            "session_end": columns_of(USER_SESSIONS, "session_end"),
            "level": (*columns_of(USER_SESSIONS, "level"), *columns_of(USER_PROFILES, "level")),
        },
    ),
    key=("userId",),
)

GOLD = (FACT_STREAMS, WIDE_STREAMS, DAILY_USER_SUMMARY, DAILY_LOCATION_SUMMARY, ARTIST_POPULARITY, ACTIVE_USERS)
