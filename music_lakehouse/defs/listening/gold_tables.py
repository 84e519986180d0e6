"""The listening tables' declarations: gold."""

from __future__ import annotations

from music_lakehouse.lakehouse.tables import Column, Table

_KEYS = (
    Column("userKey", "STRING", "the version of the user that held at the time: silver.dim_users"),
    Column("artistKey", "STRING", "silver.dim_artists"),
    Column("songKey", "STRING", "silver.dim_songs"),
    Column("dateKey", "BIGINT", "the hour: silver.dim_datetime"),
    Column("locationKey", "STRING", "silver.dim_location"),
)
_EVENT = Column("event_id", "STRING", "the listen event, however often it was delivered")
_DATE = Column("date_part", "DATE", "the day of the event, UTC")
_USER = Column("userId", "BIGINT", "the user")
_NAMES = (
    Column("firstName", "STRING", "first name at the time", pii=True),
    Column("lastName", "STRING", "last name at the time", pii=True),
)

FACT_STREAMS = Table(
    layer="gold",
    name="fact_streams",
    description="One row a distinct listen event with a user, a song and an artist. Keys are of the dimension rows "
    "that "
    "hold, the user's of the version that held at `ts`.",
    columns=(
        _EVENT,
        *_KEYS,
        Column("ts", "TIMESTAMP", "when it happened, UTC"),
        _DATE,
        _USER,
        Column("sessionId", "BIGINT", "the session"),
        Column("itemInSession", "INT", "the event's number in its session"),
        Column("duration", "DOUBLE", "seconds, as the event says"),
    ),
    key=("event_id",),
    partition_by=("date_part",),
)

WIDE_STREAMS = Table(
    layer="gold",
    name="wide_streams",
    description="One row a row of gold.fact_streams, joined with the dimensions as they are now.",
    columns=(
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
    key=("event_id",),
    partition_by=("date_part",),
)

DAILY_USER_SUMMARY = Table(
    layer="gold",
    name="daily_user_summary",
    description="One row a day, user, name and subscription: what was listened to. Equal to the GROUP BY over "
    "wide_streams.",
    columns=(
        _DATE,
        _USER,
        *_NAMES,
        Column("level", "STRING", "subscription: free or paid"),
        Column("total_streams", "BIGINT", "listen events"),
        Column("unique_songs", "BIGINT", "distinct song names"),
        Column("unique_artists", "BIGINT", "distinct artist names"),
    ),
    key=("date_part", "userId", "firstName", "lastName", "level"),
    partition_by=("date_part",),
)

DAILY_LOCATION_SUMMARY = Table(
    layer="gold",
    name="daily_location_summary",
    description="One row a day and place: what was listened to. Equal to the GROUP BY over wide_streams.",
    columns=(
        _DATE,
        Column("city", "STRING", "the city; may be missing"),
        Column("state", "STRING", "the state, two letters; may be missing"),
        Column("total_streams", "BIGINT", "listen events"),
        Column("unique_users", "BIGINT", "distinct users"),
        Column("unique_songs", "BIGINT", "distinct song names"),
    ),
    key=("date_part", "city", "state"),
    partition_by=("date_part",),
)

ARTIST_POPULARITY = Table(
    layer="gold",
    name="artist_popularity",
    description="One row an artist: how much and by how many it was listened to. Equal to the GROUP BY over "
    "wide_streams.",
    columns=(
        Column("artistName", "STRING", "the artist"),
        Column("total_streams", "BIGINT", "listen events"),
        Column("unique_users", "BIGINT", "distinct users"),
        Column("unique_songs", "BIGINT", "distinct song names"),
        Column("active_days", "BIGINT", "distinct days"),
    ),
    key=("artistName",),
)

ACTIVE_USERS = Table(
    layer="gold",
    name="active_users",
    description="One row a user seen in the 30 minutes up to and including the newest event in the lake, with the "
    "latest "
    "session.",
    columns=(
        _USER,
        Column("session_start", "TIMESTAMP", "the first event of the user's latest session, UTC"),
        Column("session_end", "TIMESTAMP", "its last event, UTC"),
        Column("level", "STRING", "subscription at its last event"),
    ),
    key=("userId",),
)

GOLD = (FACT_STREAMS, WIDE_STREAMS, DAILY_USER_SUMMARY, DAILY_LOCATION_SUMMARY, ARTIST_POPULARITY, ACTIVE_USERS)
