"""Summaries of wide_streams (`{streams}`), each the GROUP BY that its table is always equal to, in words that any SQL
engine understands; and who is active now."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

ACTIVE_MINUTES = 30


DAILY_USER_SUMMARY = """
    SELECT date_part, userId, firstName, lastName, level, count(*) AS total_streams,
           count(DISTINCT songName) AS unique_songs, count(DISTINCT artistName) AS unique_artists
    FROM {streams} GROUP BY date_part, userId, firstName, lastName, level
"""
DAILY_LOCATION_SUMMARY = """
    SELECT date_part, city, state, count(*) AS total_streams, count(DISTINCT userId) AS unique_users,
           count(DISTINCT songName) AS unique_songs
    FROM {streams} GROUP BY date_part, city, state
"""
ARTIST_POPULARITY = """
    SELECT artistName, count(*) AS total_streams, count(DISTINCT userId) AS unique_users,
           count(DISTINCT songName) AS unique_songs, count(DISTINCT date_part) AS active_days
    FROM {streams} GROUP BY artistName
"""


def active_users(profiles: DataFrame, sessions: DataFrame, newest: object) -> DataFrame:
    """Rows of active_users: users seen in the 30 minutes up to and including `newest` (a UTC timestamp), with their
    latest session; one without any session has none, and the profile's level."""
    since = F.lit(newest).cast("timestamp") - F.expr(f"INTERVAL {ACTIVE_MINUTES} MINUTES")
    active = profiles.where(F.col("last_seen") >= since).select("userId", F.col("level").alias("profile_level"))
    latest = (
        sessions.join(F.broadcast(active), "userId", "left_semi")
        .groupBy("userId")
        .agg(F.max(F.struct("session_end", "session_start", "sessionId", "level")).alias("session"))
    )
    return active.join(latest, "userId", "left").select(
        "userId",
        "session.session_start",
        "session.session_end",
        F.coalesce("session.level", "profile_level").alias("level"),
    )
