"""The steps of dim_users, user_profiles and user_sessions."""

from __future__ import annotations

from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.silver_tables import DIM_USERS, USER_PROFILES, USER_SESSIONS
from music_lakehouse.defs.listening.steps.sources import (
    ALL_BRONZE,
    LISTENS,
    PAGE_VIEWS,
    new_events,
    once_each,
    touched_users,
)
from music_lakehouse.defs.listening.transforms import users
from music_lakehouse.defs.listening.transforms.deliveries import first_deliveries
from music_lakehouse.lakehouse.changes import Changes
from music_lakehouse.lakehouse.days import Days, days_of
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.steps import Step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written, make_equal

_FILES_OF_A_FULL_LOAD = 8


def _update_dim_users(lake: Lake, changes: Changes) -> Written:
    touched = touched_users(lake, changes)
    known = touched.known(lake.read(DIM_USERS))
    versions = users.user_versions(touched.users, touched.standing(known), touched.evidence)
    return make_equal(lake, DIM_USERS, versions, current=known, delete=True)


def _update_user_profiles(lake: Lake, changes: Changes) -> Written:
    touched = touched_users(lake, changes, also=DIM_USERS)
    renamed = changes.get(DIM_USERS)
    if renamed is not None and not touched.whole:
        with_renamed = users.with_users(touched.users, renamed.rows)
        touched = replace(touched, users=with_renamed, ids=with_renamed.select("userId"))
    known = touched.known(lake.read(USER_PROFILES))
    current_versions = lake.read(DIM_USERS).where("current_row = 1")
    desired = users.user_profiles(touched.users, touched.standing(known), touched.evidence, current_versions)
    return make_equal(lake, USER_PROFILES, desired, current=known, delete=True)


def _update_user_sessions(lake: Lake, changes: Changes) -> Written:
    if changes.full:
        listens = once_each(lake, lake.read(LISTENS), greatest=users.GREATEST)
        events = users.session_events(lake.read(PAGE_VIEWS), listens)
        # In order of time, so that later changes find the sessions that they touch in few files.
        sessions = users.user_sessions(events).repartitionByRange(_FILES_OF_A_FULL_LOAD, "session_start")
        return make_equal(lake, USER_SESSIONS, sessions, delete=True)
    new = users.session_events(*(new_events(lake, changes, table) for table in (PAGE_VIEWS, LISTENS)))
    touched = new.groupBy("userId", "sessionId").agg(
        F.min("timestamp").alias("first"), F.max("timestamp").alias("last")
    )
    touched = touched.persist()
    keys = F.broadcast(touched.select("userId", "sessionId"))
    known = lake.read(USER_SESSIONS).join(keys, ["userId", "sessionId"], "left_semi").persist()
    try:
        stretches = known.select("session_start", "session_end").union(touched.select("first", "last"))
        days = Days.of("timestamp", days_of(stretches, "session_start", until="session_end"))
        page_views, listens = (_on(lake, table, days) for table in (PAGE_VIEWS, LISTENS))
        listens = listens.join(keys, ["userId", "sessionId"], "left_semi")
        listens = first_deliveries(listens, greatest=users.GREATEST)
        page_views = page_views.join(keys, ["userId", "sessionId"], "left_semi")
        events = users.session_events(page_views, listens)
        within = days.on("session_start")
        return make_equal(lake, USER_SESSIONS, users.user_sessions(events), current=known, within=within, delete=True)
    finally:
        known.unpersist()
        touched.unpersist()


def _on(lake: Lake, table: Table, days: Days) -> DataFrame:
    return lake.read(table).where(days.predicate())


STEPS = (
    Step(DIM_USERS, ALL_BRONZE, _update_dim_users),
    Step(USER_PROFILES, (*ALL_BRONZE, DIM_USERS), _update_user_profiles),
    Step(USER_SESSIONS, (LISTENS, PAGE_VIEWS), _update_user_sessions),
)
