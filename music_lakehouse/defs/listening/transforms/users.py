"""Users: their history (slowly changing dimension type 2), profiles and sessions."""

from __future__ import annotations

from music_lakehouse.defs.listening.silver_tables import OPEN_END, UNKNOWN_NAME
from music_lakehouse.lakehouse.scd2 import versions_query

_CARRIED = dict.fromkeys(("firstName", "lastName", "gender"), UNKNOWN_NAME)
_TRACKED = ("level", "firstName", "lastName", "gender")


_AFTER_STATUS_CHANGE = "INTERVAL 1 MILLISECOND"
_NEW_VERSIONS = versions_query(
    key=["userId"],
    at="at",
    order=["itemInSession"],
    tracked=_TRACKED,
    carried=_CARRIED,
    start="row_activation_date",
    end="row_expiration_date",
)
EVIDENCE = (
    *("userId", "timestamp", "itemInSession", "level", "firstName", "lastName", "gender", "registration_time"),
    *("city", "state"),
)
"""The columns of bronze that are evidence."""


def when_shown(events: str, *, status_changes: bool) -> str:
    """A query of bronze's events: of each with a user only from when on its evidence holds, and what TOUCHED_USERS asks
    for beside that."""
    at = f"timestamp + {_AFTER_STATUS_CHANGE}" if status_changes else "timestamp"
    return f"SELECT userId, {at} AS at, registration_time, timestamp AS seen FROM {events} WHERE userId IS NOT NULL"


def names(events: str) -> str:
    """A query of the texts that bronze's events show of their users, as `cleaned_texts` takes them."""
    return " UNION ALL ".join(f"SELECT {name} AS text FROM {events}" for name in ("firstName", "lastName", "city"))


def evidence(events: str, *, status_changes: bool) -> str:
    """A query of what the events of one bronze table show of their users; `{texts}` has at least the names in them.

    Out: one row an event with a user: userId, `at` (from when it holds), itemInSession, level, cleaned names, gender,
    registration_time, `seen` (the event's own time), cleaned city, stateCode. Events without a user are left out.
    Status changes carry the old level, so that the other one holds from a millisecond later.
    """
    at, item, level = "e.timestamp", "e.itemInSession", "e.level"
    if status_changes:
        at, item = f"e.timestamp + {_AFTER_STATUS_CHANGE}", "CAST(-1 AS INT)"
        level = "CASE WHEN e.level = 'free' THEN 'paid' ELSE 'free' END"
    return f"""
        SELECT e.userId, {at} AS at, {item} AS itemInSession, {level} AS level, f.cleaned AS firstName,
               l.cleaned AS lastName, e.gender, e.registration_time, e.timestamp AS seen, c.cleaned AS city,
               e.state AS stateCode
        FROM {events} AS e
        LEFT JOIN {{texts}} AS f ON e.firstName = f.text
        LEFT JOIN {{texts}} AS l ON e.lastName = l.text
        LEFT JOIN {{texts}} AS c ON e.city = c.text
        WHERE e.userId IS NOT NULL
    """


TOUCHED_USERS = """
    SELECT userId, min(e.at) AS since, min(registration_time) AS registration_time, min(seen) AS first_seen,
           max(seen) AS last_seen
    FROM {evidence} AS e GROUP BY userId
"""
"""One row a user with new evidence: userId, `since` (the earliest of it), and the earliest registration_time, first and
last time seen in it. In words that any SQL engine understands, as those below."""


WITH_USERS = """
    SELECT userId, min(t.since) AS since, min(registration_time) AS registration_time, min(first_seen) AS first_seen,
           max(last_seen) AS last_seen
    FROM (
        SELECT userId, since, registration_time, first_seen, last_seen FROM {touched}
        UNION ALL SELECT userId, NULL, NULL, NULL, NULL FROM {more}
    ) AS t GROUP BY userId
"""
"""The touched users and those of `more` (any rows with a userId), of whom there is no new evidence."""

_NO_END = f"CAST('{OPEN_END}' AS TIMESTAMP)"
USER_VERSIONS = f"""
    WITH before AS (
        SELECT /*+ BROADCAST(t) */ k.*, row_number() OVER (
            PARTITION BY k.userId ORDER BY k.row_activation_date DESC
        ) AS age
        FROM {{known}} AS k JOIN {{touched}} AS t ON k.userId = t.userId WHERE k.row_activation_date < t.since
    ), told_anew AS (
        SELECT /*+ BROADCAST(t) */ p.userId, p.at, p.itemInSession, p.level, p.firstName, p.lastName, p.gender
        FROM {{present}} AS p JOIN {{touched}} AS t ON p.userId = t.userId WHERE p.at >= t.since
        UNION ALL
        SELECT userId, row_activation_date, NULL, level, {", ".join(f"nullif({n}, '{u}')" for n, u in _CARRIED.items())}
        FROM before WHERE age = 1
    ), new AS ({_NEW_VERSIONS.format(evidence="told_anew")}), told AS (
        SELECT userId, row_activation_date, coalesce(row_expiration_date, {_NO_END}) AS row_expiration_date,
               {", ".join(_TRACKED)}
        FROM new
        UNION ALL SELECT userId, row_activation_date, row_expiration_date, {", ".join(_TRACKED)}
        FROM before WHERE age > 1
    ), registered AS (
        SELECT userId, min(registration_time) AS registration_time FROM (
            SELECT userId, registration_time FROM {{touched}} UNION ALL SELECT userId, registration_time FROM {{known}}
        ) AS r GROUP BY userId
    )
    SELECT /*+ BROADCAST(r) */ t.*, r.registration_time,
           md5(CAST(t.userId AS STRING) || '|' || CAST(unix_millis(t.row_activation_date) AS STRING)) AS userKey,
           CASE WHEN t.row_expiration_date = {_NO_END} THEN 1 ELSE 0 END AS current_row
    FROM told AS t JOIN registered AS r ON t.userId = r.userId
"""
"""All versions of the touched users, as rows of dim_users.

In: `touched` users; the versions `known` of them; all evidence `present` of them, old and new, from `since` on
(evidence before it does no harm). What was known before `since` stands; from there on history is told anew.
"""

USER_PROFILES = """
    WITH places AS (
        SELECT /*+ BROADCAST(t) */ p.userId, p.city, p.stateCode, row_number() OVER (
            PARTITION BY p.userId
            ORDER BY p.at DESC, p.itemInSession DESC NULLS LAST, p.level DESC NULLS LAST, p.firstName DESC NULLS LAST,
                     p.lastName DESC NULLS LAST, p.gender DESC NULLS LAST, p.city DESC NULLS LAST,
                     p.stateCode DESC NULLS LAST
        ) AS age
        FROM {present} AS p JOIN {touched} AS t ON p.userId = t.userId
        WHERE p.at >= t.since AND (p.city IS NOT NULL OR p.stateCode IS NOT NULL)
    )
    SELECT t.userId, v.firstName, v.lastName, v.gender, v.level,
           CASE WHEN p.userId IS NOT NULL THEN p.city ELSE k.city END AS city,
           CASE WHEN p.userId IS NOT NULL THEN p.stateCode ELSE k.stateCode END AS stateCode,
           v.registration_time, least(k.first_seen, t.first_seen) AS first_seen,
           greatest(k.last_seen, t.last_seen) AS last_seen
    FROM {touched} AS t
    JOIN {versions} AS v ON t.userId = v.userId AND v.current_row = 1
    LEFT JOIN {known} AS k ON t.userId = k.userId
    LEFT JOIN places AS p ON t.userId = p.userId AND p.age = 1
"""
"""The touched users' profiles as rows of user_profiles.

In: `touched` users; the profiles `known` of them; all evidence `present` of them from `since` on; their `versions`.
"""


SESSION_EVENT = ("event_id", "bronze_id", "userId", "sessionId", "itemInSession", "timestamp", "level", "duration")
"""The columns of bronze that tell of sessions."""


TOUCHED_SESSIONS = """
    SELECT userId, sessionId, min(moment) AS first, max(moment) AS last FROM (
        SELECT userId, sessionId, timestamp AS moment FROM {page_views}
        UNION ALL SELECT userId, sessionId, timestamp AS moment FROM {listens}
    ) AS events WHERE userId IS NOT NULL GROUP BY userId, sessionId
"""
"""One row a session of new page views and listens, with the first and last time of them."""


_EVENT = "userId, sessionId, itemInSession, timestamp"
USER_SESSIONS = f"""
    SELECT userId, sessionId, min(timestamp) AS session_start, max(timestamp) AS session_end, count(*) AS events,
           CAST(count_if(is_listen) AS BIGINT) AS songs,
           coalesce(sum_in_order(array_agg(duration) FILTER (WHERE duration IS NOT NULL)), 0.0) AS listened_seconds,
           CASE WHEN max_by(is_paid, named_struct('at', timestamp, 'item', itemInSession, 'paid', is_paid))
                THEN 'paid' ELSE 'free' END AS level
    FROM (
        SELECT {_EVENT}, max(is_paid) AS is_paid, max(is_listen) AS is_listen, max(duration) AS duration
        FROM (
            SELECT {_EVENT}, level = 'paid' AS is_paid, false AS is_listen, CAST(NULL AS DOUBLE) AS duration
            FROM {{page_views}} AS p WHERE userId IS NOT NULL
            UNION ALL
            SELECT {_EVENT}, level = 'paid', true, CASE WHEN delivery = 1 THEN duration END FROM (
                SELECT *, row_number() OVER (PARTITION BY {_EVENT} ORDER BY bronze_id) AS delivery
                FROM {{listens}} AS l WHERE userId IS NOT NULL
            ) AS deliveries
        ) AS shown GROUP BY {_EVENT}
    ) AS events GROUP BY userId, sessionId ORDER BY session_start
"""
"""Rows of user_sessions from all page views and listens of their sessions, in order of time.

An event is counted once, however often it was delivered: its level is paid if any delivery says so, its duration that
of the first one. Durations are added in their order, since a sum of doubles depends on it, and a table would change
though nothing did.
"""
