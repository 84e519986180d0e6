"""The steps of the summaries and of active_users."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.gold_tables import (
    ACTIVE_USERS,
    ARTIST_POPULARITY,
    DAILY_LOCATION_SUMMARY,
    DAILY_USER_SUMMARY,
    WIDE_STREAMS,
)
from music_lakehouse.defs.listening.silver_tables import USER_PROFILES, USER_SESSIONS
from music_lakehouse.defs.listening.steps.sources import ALL_BRONZE
from music_lakehouse.defs.listening.transforms import summaries
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.changes import Changes
from music_lakehouse.lakehouse.days import Days, days_of
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.query import query
from music_lakehouse.lakehouse.steps import Step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written, make_equal


def _daily(table: Table, summarize: Callable[[DataFrame], DataFrame]) -> Step:
    """A summary by day: the days that changed are summarized anew."""

    def update(lake: Lake, changes: Changes) -> Written:
        change, wide = changes.get(WIDE_STREAMS), lake.read(WIDE_STREAMS)
        if change is None or change.full:
            return make_equal(lake, table, summarize(wide), delete=True)
        within = Days.of("date_part", days_of(change.rows, "date_part"))
        return make_equal(lake, table, summarize(wide.where(within.predicate())), within=within, delete=True)

    return Step(table, (WIDE_STREAMS,), update)


def _update_artist_popularity(lake: Lake, changes: Changes) -> Written:
    if lake.small:
        # New streams touch most artists, of whom all streams count: that reads much, for which Spark takes long.
        popularity = query(lake, summaries.ARTIST_POPULARITY, streams=WIDE_STREAMS)
        return make_equal(lake, ARTIST_POPULARITY, lake.spark.createDataFrame(popularity), delete=True)
    change, wide = changes.get(WIDE_STREAMS), lake.read(WIDE_STREAMS)
    if change is None or change.full:
        return make_equal(lake, ARTIST_POPULARITY, summaries.artist_popularity(wide), delete=True)
    touched = F.broadcast(change.rows.select("artistName").distinct())
    desired = summaries.artist_popularity(wide.join(touched, "artistName", "left_semi"))
    current = lake.read(ARTIST_POPULARITY).join(touched, "artistName", "left_semi")
    return make_equal(lake, ARTIST_POPULARITY, desired, current=current, delete=True)


def _update_active_users(lake: Lake, changes: Changes) -> Written:
    del changes  # whoever is active now: the profiles tell
    newest = max(filter(None, (delta.greatest(lake.open(table), "timestamp") for table in ALL_BRONZE)), default=None)
    instant = newest.strftime("%Y-%m-%d %H:%M:%S.%fZ") if newest else None
    active = summaries.active_users(lake.read(USER_PROFILES), lake.read(USER_SESSIONS), instant)
    return make_equal(lake, ACTIVE_USERS, active, delete=True)


STEPS = (
    _daily(DAILY_USER_SUMMARY, summaries.daily_user_summary),
    _daily(DAILY_LOCATION_SUMMARY, summaries.daily_location_summary),
    Step(ARTIST_POPULARITY, (WIDE_STREAMS,), _update_artist_popularity, reads_all=True),
    Step(ACTIVE_USERS, (*ALL_BRONZE, USER_PROFILES, USER_SESSIONS), _update_active_users),
)
