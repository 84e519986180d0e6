"""Listen events as the dimensions and facts take them: cleaned, and with the keys of what they name."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.silver_tables import UNKNOWN_KEY
from music_lakehouse.defs.listening.transforms.text import clean_text, key


def cleaned_listens(listen_events: DataFrame) -> DataFrame:
    """One row a delivery of a listen event: its identity, user, cleaned song, artist and place, and all keys but
    userKey.

    A key is null where its parts are missing; locationKey is the unknown member's where all five are.
    """
    named = listen_events.select(
        "event_id",
        "bronze_id",
        F.col("timestamp").alias("ts"),
        "userId",
        "sessionId",
        "itemInSession",
        "duration",
        clean_text("song").alias("title"),
        clean_text("artist").alias("artistName"),
        clean_text("city").alias("city"),
        F.col("state").alias("stateCode"),
        "zip",
        "latitude",
        "longitude",
    )
    return named.select(
        "*",
        song_key("title", "artistName").alias("songKey"),
        F.when(F.col("artistName").isNotNull(), key("artistName")).alias("artistKey"),
        location_key("city", "stateCode", "zip", "latitude", "longitude").alias("locationKey"),
        hour_key("ts").alias("dateKey"),
        F.to_date("ts").alias("date_part"),
    )


def song_key(title: str, artist_name: str) -> Column:
    """The key of a song by its cleaned names; null where one of them is missing."""
    return F.when(F.col(title).isNotNull() & F.col(artist_name).isNotNull(), key(title, artist_name))


def hour_key(at: str) -> Column:
    """The key of the hour of a timestamp: its start in epoch seconds."""
    return F.unix_seconds(F.date_trunc("hour", at))


def location_key(*parts: str) -> Column:
    """The key of a place by its cleaned parts; the unknown member's where all are missing."""
    missing = F.coalesce(*(F.col(part).cast("string") for part in parts)).isNull()
    return F.when(missing, UNKNOWN_KEY).otherwise(key(*parts))
