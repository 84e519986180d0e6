"""Songs, artists, places and hours: from listen events and the reference files, in words that any SQL engine
understands.

Each query gives the rows that its dimension should have for what it is asked for. `{told}` are cleaned listens.
"""

from __future__ import annotations

from music_lakehouse.defs.listening.silver_tables import (
    DIM_ARTISTS,
    DIM_LOCATION,
    DIM_SONGS,
    UNKNOWN_KEY,
    UNKNOWN_NAME,
    UNKNOWN_STATE,
)
from music_lakehouse.defs.listening.transforms.text import BLANKS
from music_lakehouse.lakehouse.tables import Table

SONGS = """
    SELECT songKey, min(title) AS title, min_by(artistName, title) AS artistName, max(duration) AS duration FROM (
        SELECT songKey, title, artistName, max(duration) AS duration
        FROM {told} AS told WHERE songKey IS NOT NULL GROUP BY songKey, title, artistName
    ) AS songs GROUP BY songKey
"""
"""One row a songKey of rows with songKey, title, artistName and duration: the greatest duration, and of names that
share a key (those with a `|`) the first: its title tells its artist."""

ARTISTS = """
    SELECT artistKey, min(artistName) AS name FROM (
        SELECT DISTINCT artistKey, artistName FROM {told} AS told WHERE artistKey IS NOT NULL
    ) AS artists GROUP BY artistKey
"""
"""One row an artist: artistKey, name."""

PARTS = ("city", "stateCode", "zip", "latitude", "longitude")
PLACES = f"""
    SELECT locationKey, {", ".join(PARTS)} FROM (
        SELECT *, row_number() OVER (
            PARTITION BY locationKey ORDER BY {", ".join(f"{part} NULLS FIRST" for part in PARTS)}
        ) AS place FROM (
            SELECT locationKey, city, stateCode, zip, min(latitude) AS latitude, min(longitude) AS longitude
            FROM {{told}} AS told WHERE locationKey <> '{UNKNOWN_KEY}' GROUP BY locationKey, city, stateCode, zip
        ) AS named
    ) AS places WHERE place = 1
"""
"""One row a locationKey with its five parts; of names that share a key (those with a `|`) the first. The key and three
of the parts tell the other two: to group by these, Spark would take -0.0 for 0.0."""

STATE_CODE = f"upper(trim(BOTH '{BLANKS}' FROM stateCode))"
"""A state as events send it in the form in which state_codes.csv names it."""

NAMED_PLACES = f"""
    SELECT p.*, coalesce(s.stateName, '{UNKNOWN_STATE}') AS stateName
    FROM (SELECT *, {STATE_CODE} AS _code FROM {{places}}) AS p LEFT JOIN {{states}} AS s ON p._code = s.stateCode
"""
"""Rows of dim_location: the places with their states' names, whatever the form in which events send a state."""

HOURS = """
    SELECT dateKey, timestamp_seconds(dateKey) AS date, EXTRACT(HOUR FROM timestamp_seconds(dateKey)) AS hour,
           EXTRACT(DAY FROM timestamp_seconds(dateKey)) AS dayOfMonth, weekday AS dayOfWeek,
           EXTRACT(DOY FROM timestamp_seconds(dateKey)) AS dayOfYear,
           EXTRACT(MONTH FROM timestamp_seconds(dateKey)) AS month,
           EXTRACT(YEAR FROM timestamp_seconds(dateKey)) AS year, weekday IN (1, 7) AS weekendFlag
    FROM (
        SELECT DISTINCT dateKey, CAST((floor(dateKey / 86400) + 4) % 7 + 1 AS INT) AS weekday FROM {told} AS told
    ) AS hours
"""
"""Rows of dim_datetime. The first day of Unix's time was a Thursday, the fifth of a week; of the days of a week engines
have numbers of their own."""

_BY_SONG = ", ".join(
    (
        *("song_id NULLS LAST", "title NULLS FIRST", "artist_name NULLS FIRST", "duration NULLS FIRST"),
        *("key NULLS FIRST", "key_confidence NULLS FIRST", "loudness NULLS FIRST", "song_hotttnesss NULLS FIRST"),
        *("tempo NULLS FIRST", "year NULLS FIRST", "artist_id NULLS FIRST", "artist_latitude NULLS FIRST"),
        *("artist_longitude NULLS FIRST", "artist_location NULLS FIRST"),
    )
)
"""An order of reference_songs' rows by song_id, rows without one last, in which no two that differ are one."""

SONGS_OF_REFERENCE = f"""
    SELECT songKey, song_id AS songId, title, artist_name AS artistName, duration, key, key_confidence AS keyConfidence,
           loudness, song_hotttnesss AS songHotness, tempo, year
    FROM (
        SELECT *, row_number() OVER (PARTITION BY songKey ORDER BY {_BY_SONG}) AS place
        FROM {{reference}} AS r WHERE songKey IS NOT NULL
    ) AS songs WHERE place = 1
"""
"""One row a song of reference_songs, as dim_songs has it: the row with the smallest song_id."""

ARTISTS_OF_REFERENCE = f"""
    SELECT artistKey, artist_id AS artistId, artist_name AS name, artist_latitude AS latitude,
           artist_longitude AS longitude, artist_location AS location
    FROM (
        SELECT *, row_number() OVER (PARTITION BY artistKey ORDER BY artist_id NULLS LAST, {_BY_SONG}) AS place
        FROM {{reference}} AS r WHERE artistKey IS NOT NULL
    ) AS artists WHERE place = 1
"""
"""One row an artist of reference_songs, as dim_artists has it: the row with the smallest artist_id and song_id."""


def _completed(table: Table, of_reference: str, told: str, known: tuple[str, ...]) -> str:
    """The reference's rows, and those of `told`, with the columns that listens have `known`, of other keys."""
    [key] = table.key
    columns = ", ".join(
        f"t.{c.name}" if c.name in known else f"CAST(NULL AS {c.type}) AS {c.name}" for c in table.columns
    )
    return f"""
        SELECT {", ".join(table.column_names)} FROM ({of_reference}) AS r
        UNION ALL
        SELECT {columns} FROM ({told}) AS t ANTI JOIN {{reference}} AS r ON t.{key} = r.{key}
    """


DIM_SONGS_ROWS = _completed(DIM_SONGS, SONGS_OF_REFERENCE, SONGS, ("songKey", "title", "artistName", "duration"))
"""Rows of dim_songs: the reference's row of a song, or what listens know of it."""
DIM_ARTISTS_ROWS = _completed(DIM_ARTISTS, ARTISTS_OF_REFERENCE, ARTISTS, ("artistKey", "name"))
"""Rows of dim_artists: the reference's row of an artist, or what listens know of it."""

_NAMES = {
    DIM_SONGS: ("title", "artistName"),
    DIM_ARTISTS: ("name",),
    DIM_LOCATION: ("city", "stateName"),
}


def unknown_member(table: Table) -> str:
    """A query of the dimension's unknown member: the key `unknown`, names `Unknown`, the rest null."""
    values = {table.key[0]: UNKNOWN_KEY, **dict.fromkeys(_NAMES[table], UNKNOWN_NAME)}
    shown = (f"'{values[c.name]}'" if c.name in values else f"CAST(NULL AS {c.type})" for c in table.columns)
    return "SELECT " + ", ".join(f"{value} AS {c.name}" for value, c in zip(shown, table.columns, strict=True))


def with_unknown_member(rows: str, table: Table) -> str:
    """The query's rows, of the dimension's columns, and its unknown member."""
    names = ", ".join(table.column_names)
    return f"SELECT {names} FROM ({rows}) AS known UNION ALL {unknown_member(table)}"
