"""The listening tables' declarations: silver."""

from __future__ import annotations

from dataclasses import replace

from music_lakehouse.defs.listening.tables import BRONZE, REFERENCE_SONGS, REFERENCE_STATES
from music_lakehouse.lakehouse.tables import Column, Sources, Table, columns_of, traced

OPEN_END = "9999-12-31 00:00:00"
UNKNOWN_KEY = "unknown"
UNKNOWN_NAME = "Unknown"
UNKNOWN_STATE = "NA"

_NAMES = (
    Column("firstName", "STRING", "first name, cleaned; Unknown where no evidence up to then has one", pii=True),
    Column("lastName", "STRING", "last name, cleaned; Unknown where no evidence up to then has one", pii=True),
    Column("gender", "STRING", "F or M; Unknown where no evidence up to then has one"),
    Column("level", "STRING", "subscription: free or paid"),
)
_NAME_COLUMNS = [column.name for column in _NAMES]
_REGISTRATION = Column("registration_time", "TIMESTAMP", "the earliest registration known of the user, UTC")


def _listens(*names: str) -> Sources:
    return columns_of(BRONZE["listen_events"], *names)


def _songs(*names: str) -> Sources:
    return columns_of(REFERENCE_SONGS, *names)


def _sessions(*names: str) -> Sources:
    """Of the events that make up sessions."""
    return (*columns_of(BRONZE["page_view_events"], *names), *_listens(*names))


def _evidence(*names: str) -> Sources:
    """Of all events that show a user."""
    return tuple(source for table in BRONZE.values() for source in columns_of(table, *names))


DIM_USERS = Table(
    layer="silver",
    name="dim_users",
    description="Slowly changing dimension type 2: one row a version of a user, half-open, without gap or overlap. "
    "From listens, page views, log-ins and subscription changes, whatever their order of arrival.",
    columns=traced(
        (
            Column(
                "userKey",
                "STRING",
                "the version: key of userId and row_activation_date in epoch milliseconds",
                pseudonym=True,
            ),
            Column("userId", "BIGINT", "the user", pseudonym=True),
            *_NAMES,
            _REGISTRATION,
            Column("row_activation_date", "TIMESTAMP", "from when the version holds, inclusive, UTC"),
            Column(
                "row_expiration_date", "TIMESTAMP", f"until when it holds, exclusive, UTC; {OPEN_END} while it does"
            ),
            Column("current_row", "INT", "1 for the version that holds now, otherwise 0"),
        ),
        {
            "userKey": _evidence("userId", "timestamp"),
            "userId": _evidence("userId"),
            **{name: _evidence(name) for name in _NAME_COLUMNS},
            "registration_time": _evidence("registration_time"),
            "row_activation_date": _evidence("timestamp"),
            "row_expiration_date": _evidence("timestamp"),
            "current_row": _evidence("timestamp"),
        },
    ),
    key=("userKey",),
)

DIM_SONGS = Table(
    layer="silver",
    name="dim_songs",
    description="One row a song: a cleaned (title, artist name) of songs.csv or of a listen event; and one unknown "
    "member.",
    columns=traced(
        (
            Column("songKey", "STRING", "the song: key of title and artistName"),
            Column("songId", "STRING", "Million Song id; null for a song that only events know"),
            Column("title", "STRING", "the title, cleaned"),
            Column("artistName", "STRING", "the artist's name, cleaned"),
            Column("duration", "DOUBLE", "seconds; of a song that only events know the greatest seen"),
            Column("key", "INT", "musical key, 0 (C) to 11 (B)"),
            Column("keyConfidence", "DOUBLE", "0 to 1"),
            Column("loudness", "DOUBLE", "decibels"),
            Column("songHotness", "DOUBLE", "0 to 1"),
            Column("tempo", "DOUBLE", "beats a minute"),
            Column("year", "INT", "year of release"),
        ),
        {
            "songKey": (*_songs("title", "artist_name"), *_listens("song", "artist")),
            "songId": _songs("song_id"),
            "title": (*_songs("title"), *_listens("song")),
            "artistName": (*_songs("artist_name"), *_listens("artist")),
            "duration": (*_songs("duration"), *_listens("duration")),
            "key": _songs("key"),
            "keyConfidence": _songs("key_confidence"),
            "loudness": _songs("loudness"),
            "songHotness": _songs("song_hotttnesss"),
            "tempo": _songs("tempo"),
            "year": _songs("year"),
        },
    ),
    key=("songKey",),
)

DIM_ARTISTS = Table(
    layer="silver",
    name="dim_artists",
    description="One row an artist: a cleaned name of songs.csv or of a listen event; and one unknown member.",
    columns=traced(
        (
            Column("artistKey", "STRING", "the artist: key of the name"),
            Column(
                "artistId",
                "STRING",
                "the smallest Million Song id of that name; null where only events know the artist",
            ),
            Column("name", "STRING", "the name, cleaned"),
            Column("latitude", "DOUBLE", "degrees north"),
            Column("longitude", "DOUBLE", "degrees east"),
            Column("location", "STRING", "where the artist is from, cleaned"),
        ),
        {
            "artistKey": (*_songs("artist_name"), *_listens("artist")),
            "artistId": _songs("artist_id"),
            "name": (*_songs("artist_name"), *_listens("artist")),
            "latitude": _songs("artist_latitude"),
            "longitude": _songs("artist_longitude"),
            "location": _songs("artist_location"),
        },
    ),
    key=("artistKey",),
)

DIM_LOCATION = Table(
    layer="silver",
    name="dim_location",
    description="One row a place of a listen event: (city, stateCode, zip, latitude, longitude), parts of which may be "
    "missing; and one unknown member for events without any.",
    columns=traced(
        (
            Column(
                "locationKey",
                "STRING",
                "the place: key of city, stateCode, zip, latitude and longitude",
                pseudonym=True,
            ),
            Column("city", "STRING", "the city, cleaned"),
            Column("stateCode", "STRING", "the state, two letters"),
            Column("stateName", "STRING", f"the state's name by state_codes.csv; {UNKNOWN_STATE} where it has none"),
            Column("zip", "STRING", "the ZIP code", pii=True),
            Column("latitude", "DOUBLE", "degrees north", pii=True),
            Column("longitude", "DOUBLE", "degrees east", pii=True),
        ),
        {
            "locationKey": _listens("city", "state", "zip", "latitude", "longitude"),
            "city": _listens("city"),
            "stateCode": _listens("state"),
            "stateName": (*columns_of(REFERENCE_STATES, "stateName"), *_listens("state")),
            "zip": _listens("zip"),
            "latitude": _listens("latitude"),
            "longitude": _listens("longitude"),
        },
    ),
    key=("locationKey",),
)

DIM_DATETIME = Table(
    layer="silver",
    name="dim_datetime",
    description="One row an hour (UTC) in which a listen event falls.",
    columns=tuple(
        replace(column, sources=_listens("timestamp"))
        for column in (
            Column("dateKey", "BIGINT", "the hour in unix seconds"),
            Column("date", "TIMESTAMP", "the hour, UTC"),
            Column("hour", "INT", "0 to 23"),
            Column("dayOfMonth", "INT", "1 to 31"),
            Column("dayOfWeek", "INT", "1 (Sunday) to 7 (Saturday)"),
            Column("dayOfYear", "INT", "1 to 366"),
            Column("month", "INT", "1 to 12"),
            Column("year", "INT", "the year"),
            Column("weekendFlag", "BOOLEAN", "whether it is a Saturday or a Sunday"),
        )
    ),
    key=("dateKey",),
)

USER_PROFILES = Table(
    layer="silver",
    name="user_profiles",
    description="One row a user, as of the newest evidence.",
    columns=traced(
        (
            Column("userId", "BIGINT", "the user", pseudonym=True),
            *_NAMES,
            Column("city", "STRING", "the city of the newest event that has a place, cleaned"),
            Column("stateCode", "STRING", "the state of that event, two letters"),
            _REGISTRATION,
            Column("first_seen", "TIMESTAMP", "the user's first event, UTC"),
            Column("last_seen", "TIMESTAMP", "the user's newest event, UTC"),
        ),
        {
            "userId": _evidence("userId"),
            **{name: columns_of(DIM_USERS, name) for name in (*_NAME_COLUMNS, "registration_time")},
            "city": _evidence("city"),
            "stateCode": _evidence("state"),
            "first_seen": _evidence("timestamp"),
            "last_seen": _evidence("timestamp"),
        },
    ),
    key=("userId",),
)

USER_SESSIONS = Table(
    layer="silver",
    name="user_sessions",
    description="One row a (userId, sessionId) among page views and listens of users that are shown.",
    columns=traced(
        (
            Column("userId", "BIGINT", "the user", pseudonym=True),
            Column("sessionId", "BIGINT", "the session"),
            Column("session_start", "TIMESTAMP", "the first event, UTC"),
            Column("session_end", "TIMESTAMP", "the last event, UTC"),
            Column("events", "BIGINT", "distinct events; a page view and its listen event are one"),
            Column("songs", "BIGINT", "distinct listen events"),
            Column("listened_seconds", "DOUBLE", "the sum of their durations"),
            Column("level", "STRING", "subscription at the last event"),
        ),
        {
            "userId": _sessions("userId"),
            "sessionId": _sessions("sessionId"),
            "session_start": _sessions("timestamp"),
            "session_end": _sessions("timestamp"),
            "events": _sessions("event_id"),
            "songs": _listens("event_id"),
            "listened_seconds": _listens("duration"),
            "level": _sessions("level"),
        },
    ),
    key=("userId", "sessionId"),
)

SILVER = (DIM_USERS, DIM_SONGS, DIM_ARTISTS, DIM_LOCATION, DIM_DATETIME, USER_PROFILES, USER_SESSIONS)
