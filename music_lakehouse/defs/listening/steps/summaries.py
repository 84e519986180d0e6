"""The steps of the summaries and of active_users."""

from __future__ import annotations

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
from music_lakehouse.lakehouse.query import MOST_ROWS_READ_AT_ONCE, evaluated
from music_lakehouse.lakehouse.steps import Step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written, make_equal

DAILY = {
    DAILY_USER_SUMMARY: summaries.DAILY_USER_SUMMARY,
    DAILY_LOCATION_SUMMARY: summaries.DAILY_LOCATION_SUMMARY,
}
"""The summaries by day, with their queries."""


def summarize_days(lake: Lake, table: Table, days: Days) -> Written:
    """Make a summary by day equal to what wide_streams says of these days (of `date_part`)."""
    summary = evaluated(lake, DAILY[table], where=days.predicate(quote=""), streams=WIDE_STREAMS)
    return make_equal(lake, table, summary, within=days, delete=True)


def _daily(table: Table) -> Step:
    """A summary by day: the days that changed are summarized anew."""

    def update(lake: Lake, changes: Changes) -> Written:
        change = changes.get(WIDE_STREAMS)
        if change is None or change.full:
            return make_equal(lake, table, evaluated(lake, DAILY[table], streams=WIDE_STREAMS), delete=True)
        return summarize_days(lake, table, Days.of("date_part", days_of(change.found, "date_part")))

    return Step(table, (WIDE_STREAMS,), update, takes_all_at_once=True)


def _update_artist_popularity(lake: Lake, changes: Changes) -> Written:
    change = changes.get(WIDE_STREAMS)
    if change is None or change.full or lake.rows(WIDE_STREAMS) <= MOST_ROWS_READ_AT_ONCE:
        desired = evaluated(lake, summaries.ARTIST_POPULARITY, streams=WIDE_STREAMS)
        return make_equal(lake, ARTIST_POPULARITY, desired, delete=True)
    touched = F.broadcast(change.rows.select("artistName").distinct())
    streams = lake.read(WIDE_STREAMS).join(touched, "artistName", "left_semi")
    desired = lake.spark.sql(summaries.ARTIST_POPULARITY, streams=streams)
    current = lake.read(ARTIST_POPULARITY).join(touched, "artistName", "left_semi")
    return make_equal(lake, ARTIST_POPULARITY, desired, current=current, delete=True)


def _update_active_users(lake: Lake, changes: Changes) -> Written:
    del changes  # whoever is active now: the profiles tell
    newest = max(filter(None, (delta.greatest(lake.open(table), "timestamp") for table in ALL_BRONZE)), default=None)
    active = evaluated(lake, summaries.active_users(newest), profiles=USER_PROFILES, sessions=USER_SESSIONS)
    return make_equal(lake, ACTIVE_USERS, active, delete=True)


STEPS = (
    *map(_daily, DAILY),
    Step(ARTIST_POPULARITY, (WIDE_STREAMS,), _update_artist_popularity, reads_all=True),
    Step(ACTIVE_USERS, (*ALL_BRONZE, USER_PROFILES, USER_SESSIONS), _update_active_users, takes_all_at_once=True),
)
