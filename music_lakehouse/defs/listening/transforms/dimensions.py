"""Songs, artists, places and hours: from listen events and the reference files.

Each function gives the rows that its dimension should have for the keys it is asked for. Of many events few name
something new: what they name is made distinct first, and cleaned and keyed then.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.silver_tables import UNKNOWN_KEY, UNKNOWN_NAME, UNKNOWN_STATE
from music_lakehouse.defs.listening.transforms.listens import hour_key, location_key, song_key
from music_lakehouse.defs.listening.transforms.text import clean_text, key
from music_lakehouse.lakehouse.lake import selected

SONGS = """
    SELECT songKey, min(title) AS title, min_by(artistName, title) AS artistName, max(duration) AS duration
    FROM {told} WHERE songKey IS NOT NULL GROUP BY songKey
"""
"""One row a songKey of rows with songKey, title, artistName and duration: the greatest duration, and of names that
share a key (those with a `|`) the first: its title tells its artist. In words that any SQL engine understands, as those
below."""
ARTISTS = "SELECT artistKey, min(artistName) AS name FROM {told} WHERE artistKey IS NOT NULL GROUP BY artistKey"
"""One row an artist of cleaned listens: artistKey, name."""
_PARTS = ("city", "stateCode", "zip", "latitude", "longitude")
PLACES = f"""
    SELECT locationKey, {", ".join(_PARTS)} FROM (
        SELECT *, row_number() OVER (
            PARTITION BY locationKey ORDER BY {", ".join(f"{part} NULLS FIRST" for part in _PARTS)}
        ) AS place FROM {{told}} WHERE locationKey <> '{UNKNOWN_KEY}'
    ) AS places WHERE place = 1
"""
"""One row a locationKey with its five parts; of names that share a key (those with a `|`) the first."""
NAMED_PLACES = f"""
    SELECT p.*, coalesce(s.stateName, '{UNKNOWN_STATE}') AS stateName
    FROM {{places}} AS p LEFT JOIN {{states}} AS s ON upper(trim(BOTH ' ' FROM p.stateCode)) = s.stateCode
"""
"""Rows of dim_location: the places with their states' names, whatever the form in which events send a state."""
HOURS = "SELECT DISTINCT dateKey FROM {told}"
"""The hours of cleaned listens."""


def songs_of_events(listens: DataFrame) -> DataFrame:
    """One row a song of bronze's listen events: songKey, title, artistName, and the greatest duration seen."""
    told = listens.groupBy("song", "artist").agg(F.max("duration").alias("duration"))
    cleaned = told.select(clean_text("song").alias("title"), clean_text("artist").alias("artistName"), "duration")
    return one_row_a_song(cleaned.withColumn("songKey", song_key("title", "artistName")))


def one_row_a_song(told: DataFrame) -> DataFrame:
    """`SONGS` of a frame."""
    return selected(SONGS, told=told)


def songs_of_reference(reference: DataFrame) -> DataFrame:
    """One row a song of reference_songs, as dim_songs has it: the row with the smallest song_id."""
    first = reference.where("songKey IS NOT NULL").groupBy("songKey").agg(F.min(_by_song_id()).alias("row"))
    return first.select(
        "songKey",
        F.col("row.song_id").alias("songId"),
        "row.title",
        F.col("row.artist_name").alias("artistName"),
        "row.duration",
        "row.key",
        F.col("row.key_confidence").alias("keyConfidence"),
        "row.loudness",
        F.col("row.song_hotttnesss").alias("songHotness"),
        "row.tempo",
        "row.year",
    )


def dim_songs(of_reference: DataFrame, of_events: DataFrame) -> DataFrame:
    """Rows of dim_songs: the reference's row of a song, or what events know of it."""
    only_events = of_events.join(of_reference, "songKey", "left_anti")
    return of_reference.unionByName(only_events, allowMissingColumns=True)


def artists_of_reference(reference: DataFrame) -> DataFrame:
    """One row an artist of reference_songs, as dim_artists has it: the row with the smallest artist_id and song_id."""
    by_id = F.struct(F.col("artist_id").isNull(), "artist_id", _by_song_id().alias("song"))
    first = reference.where("artistKey IS NOT NULL").groupBy("artistKey").agg(F.min(by_id).alias("row"))
    return first.select(
        "artistKey",
        F.col("row.artist_id").alias("artistId"),
        F.col("row.song.artist_name").alias("name"),
        F.col("row.song.artist_latitude").alias("latitude"),
        F.col("row.song.artist_longitude").alias("longitude"),
        F.col("row.song.artist_location").alias("location"),
    )


def artists_of_events(listens: DataFrame) -> DataFrame:
    """One row an artist of bronze's listen events: artistKey, name."""
    names = listens.select("artist").distinct().select(clean_text("artist").alias("name")).distinct()
    return names.where("name IS NOT NULL").select(key("name").alias("artistKey"), "name")


def dim_artists(of_reference: DataFrame, of_events: DataFrame) -> DataFrame:
    """Rows of dim_artists: the reference's row of an artist, or what events know of it."""
    only_events = of_events.join(of_reference, "artistKey", "left_anti")
    return of_reference.unionByName(only_events, allowMissingColumns=True)


def places_of_events(listens: DataFrame) -> DataFrame:
    """One row a place of bronze's listen events that has any part: locationKey and the five parts."""
    # As texts: 0.0 and -0.0 are the same number, but not the same key.
    told = listens.select(
        "city", "state", "zip", *(F.col(name).cast("string").alias(name) for name in ("latitude", "longitude"))
    ).distinct()
    parts = told.select(
        clean_text("city").alias("city"),
        F.col("state").alias("stateCode"),
        "zip",
        F.col("latitude").cast("double").alias("latitude"),
        F.col("longitude").cast("double").alias("longitude"),
    )
    places = parts.withColumn("locationKey", location_key("city", "stateCode", "zip", "latitude", "longitude"))
    return one_row_a_place(places)


def one_row_a_place(places: DataFrame) -> DataFrame:
    """`PLACES` of a frame."""
    return selected(PLACES, told=places)


def dim_location(places: DataFrame, states: DataFrame) -> DataFrame:
    """`NAMED_PLACES` of frames."""
    return selected(NAMED_PLACES, places=places, states=F.broadcast(states))


def state_code(sent: str) -> Column:
    """A state as events send it in the form in which state_codes.csv names it."""
    return F.upper(F.btrim(sent))


def dim_datetime(listens: DataFrame) -> DataFrame:
    """Rows of dim_datetime: the hours of bronze's listen events."""
    return described_hours(listens.select(hour_key("timestamp").alias("dateKey")).distinct())


def described_hours(hours: DataFrame) -> DataFrame:
    """Rows of dim_datetime by their keys."""
    hours = hours.withColumn("date", F.timestamp_seconds("dateKey"))
    return hours.select(
        "dateKey",
        "date",
        F.hour("date").alias("hour"),
        F.dayofmonth("date").alias("dayOfMonth"),
        F.dayofweek("date").alias("dayOfWeek"),
        F.dayofyear("date").alias("dayOfYear"),
        F.month("date").alias("month"),
        F.year("date").alias("year"),
        F.dayofweek("date").isin(1, 7).alias("weekendFlag"),
    )


def unknown_member(known: DataFrame, key: str, *names: str) -> DataFrame:
    """The dimension's unknown member: the key `unknown`, the given columns `Unknown`, the rest null.

    `known` is any frame with the dimension's columns.
    """

    def value(name: str) -> Column:
        return F.lit(UNKNOWN_KEY) if name == key else F.lit(UNKNOWN_NAME) if name in names else F.lit(None)

    fields = known.schema.fields
    one_row = known.sparkSession.range(1)
    return one_row.select(*(value(field.name).cast(field.dataType).alias(field.name) for field in fields))


def _by_song_id() -> Column:
    """All columns of a reference row as a struct that orders by song_id, rows without one last."""
    return F.struct(
        F.col("song_id").isNull().alias("_without_id"),
        "song_id",
        "title",
        "artist_name",
        "duration",
        "key",
        "key_confidence",
        "loudness",
        "song_hotttnesss",
        "tempo",
        "year",
        "artist_id",
        "artist_latitude",
        "artist_longitude",
        "artist_location",
    )
