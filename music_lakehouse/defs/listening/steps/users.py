"""The steps of dim_users, user_profiles and user_sessions."""

from __future__ import annotations

from dataclasses import replace

from music_lakehouse.defs.listening.silver_tables import DIM_USERS, USER_PROFILES, USER_SESSIONS
from music_lakehouse.defs.listening.steps.sources import (
    ALL_BRONZE,
    LISTENS,
    PAGE_VIEWS,
    touched_users,
)
from music_lakehouse.defs.listening.transforms import users
from music_lakehouse.lakehouse.changes import Changes
from music_lakehouse.lakehouse.days import Days, days_of
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.query import evaluated, evaluated_long, kept, keyed
from music_lakehouse.lakehouse.steps import Step
from music_lakehouse.lakehouse.upsert import Written, make_equal


def _update_dim_users(lake: Lake, changes: Changes) -> Written:
    touched = touched_users(lake, changes)
    known = touched.known(lake, DIM_USERS)
    versions = evaluated(
        lake, users.USER_VERSIONS, touched=touched.users, known=touched.standing(known), present=touched.evidence
    )
    return make_equal(lake, DIM_USERS, versions, current=known, delete=True)


def _update_user_profiles(lake: Lake, changes: Changes) -> Written:
    touched = touched_users(lake, changes, also=DIM_USERS)
    renamed = changes.get(DIM_USERS)
    if renamed is not None and not touched.whole:
        shown = evaluated(lake, users.WITH_USERS, touched=touched.users, more=renamed.found)
        touched = replace(touched, users=shown, ids=evaluated(lake, "SELECT userId FROM {shown}", shown=shown))
    known = touched.known(lake, USER_PROFILES)
    desired = evaluated(
        lake,
        users.USER_PROFILES,
        touched=touched.users,
        known=touched.standing(known),
        present=touched.evidence,
        versions=touched.known(lake, DIM_USERS),
    )
    return make_equal(lake, USER_PROFILES, desired, current=known, delete=True)


def _update_user_sessions(lake: Lake, changes: Changes) -> Written:
    if changes.full:
        # In order of time, so that later changes find the sessions that they touch in few files.
        sessions = evaluated_long(lake, users.USER_SESSIONS, page_views=PAGE_VIEWS, listens=LISTENS)
        return make_equal(lake, USER_SESSIONS, sessions, delete=True)
    new = {table: changes.get(table) for table in (PAGE_VIEWS, LISTENS)}
    page_views, listens = (
        table.arrow_schema.empty_table() if c is None else c.found_touched for table, c in new.items()
    )
    touched = evaluated(lake, users.TOUCHED_SESSIONS, page_views=page_views, listens=listens)
    with kept(touched):
        keys = evaluated(lake, "SELECT userId, sessionId FROM {touched}", touched=touched)
        known = keyed(lake, USER_SESSIONS, keys)
        with kept(known):
            days = days_of(touched, "first", until="last") + days_of(known, "session_start", until="session_end")
            on_days = Days.of("timestamp", days)
            page_views, listens = (
                keyed(lake, table, keys, on_days, columns=users.SESSION_EVENT) for table in (PAGE_VIEWS, LISTENS)
            )
            sessions = evaluated(lake, users.USER_SESSIONS, page_views=page_views, listens=listens)
            within = on_days.on("session_start")
            return make_equal(lake, USER_SESSIONS, sessions, current=known, within=within, delete=True)


STEPS = (
    Step(DIM_USERS, ALL_BRONZE, _update_dim_users),
    Step(USER_PROFILES, (*ALL_BRONZE, DIM_USERS), _update_user_profiles),
    Step(USER_SESSIONS, (LISTENS, PAGE_VIEWS), _update_user_sessions),
)
