"""Facts, and facts joined with their dimensions."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def streamable(listens: DataFrame) -> DataFrame:
    """The cleaned listens that can be facts: with a user, a song and an artist."""
    return listens.where("userId IS NOT NULL AND songKey IS NOT NULL")


def fact_streams(streams: DataFrame, users: DataFrame) -> DataFrame:
    """Rows of fact_streams from `streamable` listens, one an event, (or facts) and the versions of their users.

    A stream whose user has no version at its time keeps a null userKey.
    """
    held = users.select("userId", "userKey", "row_activation_date", "row_expiration_date").alias("u")
    streams = streams.drop("userKey").alias("s")
    at_the_time = (
        F.col("s.userId").eqNullSafe(F.col("u.userId"))
        & (F.col("s.ts") >= F.col("u.row_activation_date"))
        & (F.col("s.ts") < F.col("u.row_expiration_date"))
    )
    return streams.join(held, at_the_time, "left").select("s.*", "u.userKey")


def rekeyed_intervals(changed_versions: DataFrame) -> DataFrame:
    """Where the change feed of dim_users says that another version may hold: userId, `since` and `until` (exclusive).

    A version that came or went tells of its own time; one whose end moved does so through the neighbour that took its
    place.
    """
    return changed_versions.where("_change_type IN ('insert', 'delete')").select(
        "userId", F.col("row_activation_date").alias("since"), F.col("row_expiration_date").alias("until")
    )


def wide_streams(
    facts: DataFrame, users: DataFrame, songs: DataFrame, artists: DataFrame, places: DataFrame, hours: DataFrame
) -> DataFrame:
    """Rows of wide_streams: the facts joined with the dimension rows that their keys name; no fact is lost or
    doubled.
    """
    return (
        facts.withColumnRenamed("ts", "timestamp")
        .join(users.select("userKey", "firstName", "lastName", "gender", "level"), "userKey", "left")
        .join(
            songs.select("songKey", F.col("title").alias("songName"), F.col("duration").alias("songDuration")),
            "songKey",
            "left",
        )
        .join(artists.select("artistKey", F.col("name").alias("artistName")), "artistKey", "left")
        .join(
            places.select(
                "locationKey", "city", F.col("stateCode").alias("state"), "stateName", "latitude", "longitude"
            ),
            "locationKey",
            "left",
        )
        .join(hours.select("dateKey", F.col("date").alias("dateHour"), "dayOfMonth", "dayOfWeek"), "dateKey", "left")
    )
