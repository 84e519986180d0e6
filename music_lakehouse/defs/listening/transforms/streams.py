"""fact_streams and wide_streams (`cleaned_listens` and their joins), in words that any SQL engine understands."""

from __future__ import annotations

STREAMABLE = "userId IS NOT NULL AND songKey IS NOT NULL"
"""Which cleaned listens can be facts: with a user, a song and an artist."""

STREAMS = f"""
    SELECT told.* FROM {{told}} AS told SEMI JOIN (
        SELECT min(bronze_id) AS bronze_id FROM {{told}} AS delivered WHERE {STREAMABLE} GROUP BY event_id
    ) AS first ON told.bronze_id = first.bronze_id
"""
"""Of cleaned listens those that are facts: one row an event, its first delivery of those that can be."""

FACT_STREAMS = """
    SELECT s.event_id, u.userKey, s.artistKey, s.songKey, s.dateKey, s.locationKey, s.ts, s.date_part, s.userId,
           s.sessionId, s.itemInSession, s.duration
    FROM {streams} AS s LEFT JOIN {users} AS u
    ON s.userId = u.userId AND s.ts >= u.row_activation_date AND s.ts < u.row_expiration_date
"""
"""Rows of fact_streams from `STREAMS` (or facts) and the versions of their users. A stream whose user has no version at
its time keeps a null userKey."""

REKEYED = """
    SELECT userId, row_activation_date AS since, row_expiration_date AS until
    FROM {changed} WHERE _change_type IN ('insert', 'delete')
"""
"""Where the change feed of dim_users says that another version may hold: userId, `since` and `until` (exclusive).

A version that came or went tells of its own time; one whose end moved does so through the neighbour that took its
place."""

WIDE_STREAMS = """
    SELECT f.event_id, f.userKey, f.artistKey, f.songKey, f.dateKey, f.locationKey, f.ts AS timestamp, f.date_part,
           f.userId, u.firstName, u.lastName, u.gender, u.level, s.title AS songName, s.duration AS songDuration,
           a.name AS artistName, p.city, p.stateCode AS state, p.stateName, p.latitude, p.longitude, h.date AS dateHour,
           h.dayOfMonth, h.dayOfWeek
    FROM {facts} AS f
    LEFT JOIN {users} AS u ON f.userKey = u.userKey
    LEFT JOIN {songs} AS s ON f.songKey = s.songKey
    LEFT JOIN {artists} AS a ON f.artistKey = a.artistKey
    LEFT JOIN {places} AS p ON f.locationKey = p.locationKey
    LEFT JOIN {hours} AS h ON f.dateKey = h.dateKey
"""
"""Rows of wide_streams: the facts joined with the dimension rows that their keys name; no fact is lost or doubled."""
