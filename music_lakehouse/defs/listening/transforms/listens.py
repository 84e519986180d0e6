"""Listen events as the dimensions and facts take them: cleaned, and with the keys of what they name; in words that any
SQL engine understands.

Of a million listens few name something new: what they name is cleaned once, by Spark, and looked up.
"""

from __future__ import annotations

from music_lakehouse.defs.listening.silver_tables import UNKNOWN_KEY
from music_lakehouse.defs.listening.transforms.text import key_of

TEXTS = """
    SELECT DISTINCT text FROM (
        SELECT song AS text FROM {listens} UNION ALL SELECT artist FROM {listens} UNION ALL SELECT city FROM {listens}
    ) AS sent WHERE text IS NOT NULL
"""
"""The texts that listens (rows of bronze) name, as `cleaned_texts` takes them."""

NUMBERS = """
    SELECT DISTINCT number FROM (
        SELECT latitude AS number FROM {listens} UNION ALL SELECT longitude FROM {listens}
    ) AS sent WHERE number <> 0
"""
"""Their coordinates, as `shown_numbers` takes them, without 0.0 and -0.0, which are the same number but not the same
key: of these, and of no others, all engines write the same text."""

_PLACE = ("city", "stateCode", "zip", "_latitude", "_longitude")
CLEANED_LISTENS = f"""
    SELECT event_id, bronze_id, ts, userId, sessionId, itemInSession, duration, title, artistName, city, stateCode, zip,
           latitude, longitude,
           CASE WHEN title IS NOT NULL AND artistName IS NOT NULL THEN {key_of("title", "artistName")} END AS songKey,
           CASE WHEN artistName IS NOT NULL THEN {key_of("artistName")} END AS artistKey,
           CASE WHEN coalesce({", ".join(_PLACE)}) IS NULL THEN '{UNKNOWN_KEY}'
                ELSE {key_of(*_PLACE)} END AS locationKey,
           unix_seconds(date_trunc('HOUR', ts)) AS dateKey, CAST(ts AS DATE) AS date_part
    FROM (
        SELECT e.event_id, e.bronze_id, e.timestamp AS ts, e.userId, e.sessionId, e.itemInSession, e.duration,
               s.cleaned AS title, a.cleaned AS artistName, c.cleaned AS city, e.state AS stateCode, e.zip, e.latitude,
               e.longitude,
               CASE WHEN e.latitude = 0 THEN CAST(e.latitude AS STRING) ELSE y.shown END AS _latitude,
               CASE WHEN e.longitude = 0 THEN CAST(e.longitude AS STRING) ELSE x.shown END AS _longitude
        FROM {{listens}} AS e
        LEFT JOIN {{texts}} AS s ON e.song = s.text
        LEFT JOIN {{texts}} AS a ON e.artist = a.text
        LEFT JOIN {{texts}} AS c ON e.city = c.text
        LEFT JOIN {{numbers}} AS y ON e.latitude = y.number
        LEFT JOIN {{numbers}} AS x ON e.longitude = x.number
    ) AS named
"""
"""One row a delivery of a listen event (`listens`: rows of bronze): its identity, user, cleaned song, artist and place,
and all keys but userKey. `texts` and `numbers` have at least those that the listens name.

A key is null where its parts are missing; locationKey is the unknown member's where all five are.
"""
