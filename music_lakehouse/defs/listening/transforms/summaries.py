"""Summaries of wide_streams (`{streams}`), each the GROUP BY that its table is always equal to, in words that any SQL
engine understands; and who is active now."""

from __future__ import annotations

from datetime import datetime, timedelta

ACTIVE_TIME = timedelta(minutes=30)

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


def active_users(newest: datetime | None) -> str:
    """The query of active_users, of `{profiles}` and `{sessions}`: users seen in the 30 minutes up to and including
    `newest` (nobody where it is None), with their latest session; one without any session has none, and the profile's
    level."""
    seen = f"last_seen >= '{(newest - ACTIVE_TIME).isoformat()}'" if newest else "false"
    return f"""
        SELECT a.userId, s.session_start, s.session_end, coalesce(s.level, a.level) AS level
        FROM (SELECT userId, level FROM {{profiles}} WHERE {seen}) AS a LEFT JOIN (
            SELECT *, row_number() OVER (
                PARTITION BY userId ORDER BY session_end DESC, session_start DESC, sessionId DESC
            ) AS place FROM {{sessions}} WHERE userId IN (SELECT userId FROM {{profiles}} WHERE {seen})
        ) AS s ON a.userId = s.userId AND s.place = 1
    """
