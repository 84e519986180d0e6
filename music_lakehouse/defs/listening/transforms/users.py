"""Users: their history (slowly changing dimension type 2), profiles and sessions."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.silver_tables import OPEN_END, UNKNOWN_NAME
from music_lakehouse.defs.listening.transforms.text import clean_text
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


def evidence(events: DataFrame) -> DataFrame:
    """What the events of one bronze table show of their users.

    Out: one row an event with a user: userId, `at` (from when it holds), itemInSession, level, cleaned names, gender,
    registration_time, `seen` (the event's own time), cleaned city, stateCode. Events without a user are left out.
    """
    return events.where("userId IS NOT NULL").select(
        "userId",
        F.col("timestamp").alias("at"),
        "itemInSession",
        "level",
        clean_text("firstName").alias("firstName"),
        clean_text("lastName").alias("lastName"),
        "gender",
        "registration_time",
        F.col("timestamp").alias("seen"),
        clean_text("city").alias("city"),
        F.col("state").alias("stateCode"),
    )


def evidence_of_status_changes(events: DataFrame) -> DataFrame:
    """The same of status changes: they carry the old level, so that the other one holds from a millisecond later."""
    return (
        evidence(events)
        .withColumn("at", F.col("at") + F.expr(_AFTER_STATUS_CHANGE))
        .withColumn("itemInSession", F.lit(-1))
        .withColumn("level", F.when(F.col("level") == "free", "paid").otherwise("free"))
    )


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


GREATEST = ("level",)
"""What counts of an event's deliveries, whichever came first."""


SESSION_EVENT = ("event_id", "bronze_id", "userId", "sessionId", "itemInSession", "timestamp", "level", "duration")
"""The columns of bronze that tell of sessions."""


def session_events(page_views: DataFrame, listens: DataFrame) -> DataFrame:
    """Page views (one row a delivery) and listens (one row an event, with its GREATEST) of shown users as events of
    sessions."""
    # Numbers alone, which Spark groups by and aggregates without sorting: these four make the event's id.
    columns = ("userId", "sessionId", "itemInSession", "timestamp", (F.col("level") == "paid").alias("is_paid"))
    shown = [
        page_views.select(*columns, F.lit(None).cast("double").alias("duration"), F.lit(False).alias("is_listen")),
        listens.select(*columns, "duration", F.lit(True).alias("is_listen")),
    ]
    return reduce(DataFrame.unionByName, shown).where("userId IS NOT NULL")


TOUCHED_SESSIONS = """
    SELECT userId, sessionId, min(moment) AS first, max(moment) AS last FROM (
        SELECT userId, sessionId, timestamp AS moment FROM {page_views}
        UNION ALL SELECT userId, sessionId, timestamp AS moment FROM {listens}
    ) AS events WHERE userId IS NOT NULL GROUP BY userId, sessionId
"""
"""One row a session of new page views and listens, with the first and last time of them."""


def user_sessions(events: DataFrame) -> DataFrame:
    """Rows of user_sessions from all `session_events` of their sessions."""
    # Sessions lie together before they are looked at, so that their events need not be sent about twice.
    by_session = events.repartition("userId", "sessionId")
    by_event = by_session.groupBy("userId", "sessionId", "itemInSession", "timestamp").agg(
        *(F.max(name).alias(name) for name in ("is_paid", "is_listen", "duration"))
    )
    sessions = by_event.groupBy("userId", "sessionId").agg(
        F.min("timestamp").alias("session_start"),
        F.max("timestamp").alias("session_end"),
        F.count("*").alias("events"),
        F.count_if("is_listen").alias("songs"),
        _ordered_sum("duration").alias("listened_seconds"),
        F.max(F.struct("timestamp", "itemInSession", "is_paid")).getField("is_paid").alias("is_paid"),
    )
    return sessions.withColumn("level", F.when(F.col("is_paid"), "paid").otherwise("free"))


def _ordered_sum(seconds: str) -> Column:
    # A sum of doubles depends on their order, and a table would change though nothing did.
    return F.aggregate(F.array_sort(F.collect_list(seconds)), F.lit(0.0), lambda total, each: total + each)
