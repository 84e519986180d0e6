"""Users: their history (slowly changing dimension type 2), profiles and sessions."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.silver_tables import OPEN_END, UNKNOWN_NAME
from music_lakehouse.defs.listening.transforms.text import clean_text, key
from music_lakehouse.lakehouse.scd2 import versions

_CARRIED = dict.fromkeys(("firstName", "lastName", "gender"), UNKNOWN_NAME)
_TRACKED = ("level", "firstName", "lastName", "gender")


EVIDENCE = (
    *("userId", "timestamp", "itemInSession", "level", "firstName", "lastName", "gender", "registration_time"),
    *("city", "state"),
)
"""The columns of bronze that are evidence."""


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
        .withColumn("at", F.col("at") + F.expr("INTERVAL 1 MILLISECOND"))
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


def with_users(touched: DataFrame, more: DataFrame) -> DataFrame:
    """The touched users and those of `more` (any rows with a userId), of whom there is no new evidence."""
    both = touched.unionByName(more.select("userId").distinct(), allowMissingColumns=True)
    return both.groupBy("userId").agg(
        *(F.min(name).alias(name) for name in ("since", "registration_time", "first_seen")),
        F.max("last_seen").alias("last_seen"),
    )


def user_versions(touched: DataFrame, known: DataFrame, present: DataFrame) -> DataFrame:
    """All versions of the touched users, as rows of dim_users.

    In: `touched_users`; the versions known of them; all evidence of them, old and new, from `since` on (evidence before
    it does no harm). What was known before `since` stands; from there on history is told anew.
    """
    known = known.join(F.broadcast(touched.select("userId", "since")), "userId")
    before = known.where("row_activation_date < since")
    last_before = before.groupBy("userId").agg(F.max("row_activation_date").alias("row_activation_date"))
    seed = before.join(last_before, ["userId", "row_activation_date"]).select(
        "userId",
        F.col("row_activation_date").alias("at"),
        F.lit(None).cast("int").alias("itemInSession"),
        "level",
        *(F.nullif(F.col(name), F.lit(value)).alias(name) for name, value in _CARRIED.items()),
    )
    told_anew = present.join(F.broadcast(touched.select("userId", "since")), "userId").where("at >= since")
    columns = ("userId", "at", "itemInSession", "level", *_CARRIED)
    new = versions(
        told_anew.select(*columns).unionByName(seed),
        key=["userId"],
        at="at",
        order=["itemInSession"],
        tracked=_TRACKED,
        carried=_CARRIED,
        start="row_activation_date",
        end="row_expiration_date",
    ).withColumn("row_expiration_date", F.coalesce("row_expiration_date", F.to_timestamp(F.lit(OPEN_END))))
    standing = before.join(last_before, ["userId", "row_activation_date"], "left_anti").select(*new.columns)
    registered = known.select("userId", "registration_time").union(touched.select("userId", "registration_time"))
    earliest = registered.groupBy("userId").agg(F.min("registration_time").alias("registration_time"))
    return (
        new.unionByName(standing)
        .join(earliest, "userId")
        .withColumn("userKey", key("userId", F.unix_millis("row_activation_date")))
        .withColumn("current_row", (F.col("row_expiration_date") == F.to_timestamp(F.lit(OPEN_END))).cast("int"))
    )


def user_profiles(touched: DataFrame, known: DataFrame, present: DataFrame, current_versions: DataFrame) -> DataFrame:
    """The touched users' profiles as rows of user_profiles.

    In: `touched_users`; the profiles known of them; all evidence of them from `since` on; their current versions.
    """
    order = F.struct("at", "itemInSession", "level", "firstName", "lastName", "gender", "city", "stateCode")
    place = (
        present.join(F.broadcast(touched.select("userId", "since")), "userId")
        .where("at >= since AND (city IS NOT NULL OR stateCode IS NOT NULL)")
        .groupBy("userId")
        .agg(F.max(order).alias("newest"))
        .select("userId", F.col("newest.city").alias("new_city"), F.col("newest.stateCode").alias("new_state"))
    )
    has_new_place = F.col("new_city").isNotNull() | F.col("new_state").isNotNull()
    return (
        touched.alias("t")
        .join(current_versions.alias("v"), "userId")
        .join(known.alias("k"), "userId", "left")
        .join(place, "userId", "left")
        .select(
            "userId",
            "v.firstName",
            "v.lastName",
            "v.gender",
            "v.level",
            F.when(has_new_place, F.col("new_city")).otherwise(F.col("k.city")).alias("city"),
            F.when(has_new_place, F.col("new_state")).otherwise(F.col("k.stateCode")).alias("stateCode"),
            "v.registration_time",
            F.least("k.first_seen", "t.first_seen").alias("first_seen"),
            F.greatest("k.last_seen", "t.last_seen").alias("last_seen"),
        )
    )


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
