"""The keyed steps of the listening tables: which keys changes touch, and what is read for them.

What a row then looks like is the pure functions' business, in `transforms`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.gold_tables import (
    ACTIVE_USERS,
    ARTIST_POPULARITY,
    DAILY_LOCATION_SUMMARY,
    DAILY_USER_SUMMARY,
    FACT_STREAMS,
    WIDE_STREAMS,
)
from music_lakehouse.defs.listening.silver_tables import (
    DIM_ARTISTS,
    DIM_DATETIME,
    DIM_LOCATION,
    DIM_SONGS,
    DIM_USERS,
    USER_PROFILES,
    USER_SESSIONS,
)
from music_lakehouse.defs.listening.tables import BRONZE, REFERENCE_SONGS, REFERENCE_STATES
from music_lakehouse.defs.listening.transforms import dimensions, streams, summaries, users
from music_lakehouse.defs.listening.transforms.listens import cleaned_listens
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.changes import Changes
from music_lakehouse.lakehouse.days import Days, days_of
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.steps import Step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written, make_equal

LISTENS, PAGE_VIEWS = BRONZE["listen_events"], BRONZE["page_view_events"]
STATUS_CHANGES = BRONZE["status_change_events"]


def _new_listens(lake: Lake, changes: Changes) -> DataFrame:
    change = changes.get(LISTENS)
    return cleaned_listens(change.inserted if change else lake.empty(LISTENS))


# --- users ------------------------------------------------------------------------------------------------------------


def _evidence(lake: Lake, events: dict[Table, DataFrame]) -> DataFrame:
    shown = [
        users.evidence_of_status_changes(rows) if table is STATUS_CHANGES else users.evidence(rows)
        for table, rows in events.items()
    ]
    return reduce(DataFrame.unionByName, shown) if shown else users.evidence(lake.empty(LISTENS))


def _touched_users(lake: Lake, changes: Changes) -> tuple[DataFrame, DataFrame]:
    """The users that the changes touch, and all evidence since the earliest change."""
    new = {table: change.inserted for table, change in changes.by_source.items() if table in BRONZE.values()}
    touched = users.touched_users(_evidence(lake, new)).persist()
    if changes.full:
        return touched, _evidence(lake, {table: lake.read(table) for table in BRONZE.values()})
    earliest = touched.agg(F.date_format(F.min("since") - F.expr("INTERVAL 1 MILLISECOND"), _INSTANT)).first()
    recent = f"`timestamp` >= TIMESTAMP '{earliest[0]}'" if earliest and earliest[0] else "false"
    return touched, _evidence(lake, {table: lake.read(table).where(recent) for table in BRONZE.values()})


_INSTANT = "yyyy-MM-dd HH:mm:ss.SSS'Z'"


def _update_dim_users(lake: Lake, changes: Changes) -> Written:
    touched, present = _touched_users(lake, changes)
    known = lake.read(DIM_USERS).join(F.broadcast(touched.select("userId")), "userId", "left_semi")
    try:
        return make_equal(lake, DIM_USERS, users.user_versions(touched, known, present), current=known, delete=True)
    finally:
        touched.unpersist()


def _update_user_profiles(lake: Lake, changes: Changes) -> Written:
    touched, present = _touched_users(lake, changes)
    known = lake.read(USER_PROFILES).join(F.broadcast(touched.select("userId")), "userId", "left_semi")
    current_versions = lake.read(DIM_USERS).where("current_row = 1")
    try:
        return make_equal(
            lake,
            USER_PROFILES,
            users.user_profiles(touched, known, present, current_versions),
            current=known,
        )
    finally:
        touched.unpersist()


def _update_user_sessions(lake: Lake, changes: Changes) -> Written:
    new = {
        table: changes.get(table).inserted if changes.get(table) else lake.empty(table)  # type: ignore[union-attr]
        for table in (PAGE_VIEWS, LISTENS)
    }
    touched = (
        users.session_events(new[PAGE_VIEWS], new[LISTENS])
        .groupBy("userId", "sessionId")
        .agg(F.min("timestamp").alias("first"), F.max("timestamp").alias("last"))
        .persist()
    )
    try:
        keys = F.broadcast(touched.select("userId", "sessionId"))
        known = lake.read(USER_SESSIONS).join(keys, ["userId", "sessionId"], "left_semi")
        page_views, listens = lake.read(PAGE_VIEWS), lake.read(LISTENS)
        if not changes.full:
            stretches = known.select("session_start", "session_end").union(touched.select("first", "last"))
            days = Days.of("timestamp", days_of(stretches, "session_start", until="session_end")).predicate()
            page_views, listens = page_views.where(days), listens.where(days)
        events = users.session_events(page_views, listens).join(keys, ["userId", "sessionId"], "left_semi")
        return make_equal(lake, USER_SESSIONS, users.user_sessions(events), current=known)
    finally:
        touched.unpersist()


# --- songs, artists, places, hours ------------------------------------------------------------------------------------


def _update_dim_songs(lake: Lake, changes: Changes) -> Written:
    new = dimensions.songs_of_events(_new_listens(lake, changes))
    edited = _edited_keys(changes, REFERENCE_SONGS, "songKey")
    known = lake.read(DIM_SONGS)
    reference = dimensions.songs_of_reference(lake.read(REFERENCE_SONGS))
    if edited is None:
        keys = new.select("songKey")
        # The reference didn't change, so that a song without its row in it has been told by events alone.
        told = known.join(keys, "songKey", "left_semi").select("songKey", "title", "artistName", "duration")
    else:
        keys = new.select("songKey").union(edited).distinct()
        told = dimensions.songs_of_events(cleaned_listens(lake.read(LISTENS)))
    told = told.unionByName(new).join(keys, "songKey", "left_semi")
    of_events = told.groupBy("songKey", "title", "artistName").agg(F.max("duration").alias("duration"))
    desired = dimensions.dim_songs(reference.join(keys, "songKey", "left_semi"), of_events)
    unknown = dimensions.unknown_member(known, "songKey", "title", "artistName")
    current = known.join(keys.union(unknown.select("songKey")), "songKey", "left_semi")
    return make_equal(lake, DIM_SONGS, desired.unionByName(unknown), current=current, delete=edited is not None)


def _update_dim_artists(lake: Lake, changes: Changes) -> Written:
    new = dimensions.artists_of_events(_new_listens(lake, changes))
    edited = _edited_keys(changes, REFERENCE_SONGS, "artistKey")
    known = lake.read(DIM_ARTISTS)
    reference = dimensions.artists_of_reference(lake.read(REFERENCE_SONGS))
    if edited is None:
        keys, told = new.select("artistKey"), new
    else:
        keys = new.select("artistKey").union(edited).distinct()
        told = dimensions.artists_of_events(cleaned_listens(lake.read(LISTENS)))
        told = told.join(keys, "artistKey", "left_semi")
    desired = dimensions.dim_artists(reference.join(keys, "artistKey", "left_semi"), told)
    unknown = dimensions.unknown_member(known, "artistKey", "name")
    current = known.join(keys.union(unknown.select("artistKey")), "artistKey", "left_semi")
    return make_equal(lake, DIM_ARTISTS, desired.unionByName(unknown), current=current, delete=edited is not None)


def _update_dim_location(lake: Lake, changes: Changes) -> Written:
    new = dimensions.places_of_events(_new_listens(lake, changes))
    known = lake.read(DIM_LOCATION)
    renamed = _edited_keys(changes, REFERENCE_STATES, "stateCode")
    touched = new
    if renamed is not None:
        affected = known.where(F.col("locationKey") != "unknown").join(renamed, "stateCode", "left_semi")
        touched = new.unionByName(affected.select(*new.columns)).distinct()
    unknown = dimensions.unknown_member(known, "locationKey", "city", "stateName")
    desired = dimensions.dim_location(touched, lake.read(REFERENCE_STATES)).unionByName(unknown)
    return make_equal(lake, DIM_LOCATION, desired)


def _update_dim_datetime(lake: Lake, changes: Changes) -> Written:
    return make_equal(lake, DIM_DATETIME, dimensions.dim_datetime(_new_listens(lake, changes)))


def _edited_keys(changes: Changes, source: Table, key: str) -> DataFrame | None:
    """The keys of the source's rows that came, went or changed; None where none did."""
    change = changes.get(source)
    return change.rows.where(F.col(key).isNotNull()).select(key).distinct() if change else None


# --- facts ------------------------------------------------------------------------------------------------------------


def _update_fact_streams(lake: Lake, changes: Changes) -> Written:
    versions = lake.read(DIM_USERS)
    if changes.full:
        everything = streams.streamable(cleaned_listens(lake.read(LISTENS)))
        return make_equal(lake, FACT_STREAMS, streams.fact_streams(everything, versions), delete=True)
    facts = lake.read(FACT_STREAMS)
    delivered, delivered_days = _delivered_streams(lake, changes)
    rekeyed, rekeyed_days = _rekeyed_facts(facts, changes)
    touched = delivered.unionByName(rekeyed.join(delivered.select("event_id"), "event_id", "left_anti"))
    return make_equal(
        lake,
        FACT_STREAMS,
        streams.fact_streams(touched, versions),
        within=Days.of("date_part", [*delivered_days, *rekeyed_days]),
    )


_STREAM_COLUMNS = [name for name in FACT_STREAMS.column_names if name != "userKey"]


def _delivered_streams(lake: Lake, changes: Changes) -> tuple[DataFrame, list[date]]:
    """The streams of the new deliveries, as all deliveries of these events tell them, and their days."""
    change = changes.get(LISTENS)
    if change is None:
        return lake.empty(FACT_STREAMS).select(*_STREAM_COLUMNS), []
    days = days_of(change.inserted, "timestamp")
    deliveries = lake.read(LISTENS).where(Days.of("timestamp", days).predicate())
    deliveries = deliveries.join(change.inserted.select("event_id"), "event_id", "left_semi")
    return streams.streamable(cleaned_listens(deliveries)).select(*_STREAM_COLUMNS), days


def _rekeyed_facts(facts: DataFrame, changes: Changes) -> tuple[DataFrame, list[date]]:
    """The facts at whose time another version of their user may hold now, and their days."""
    change = changes.get(DIM_USERS)
    columns = facts.select(*_STREAM_COLUMNS)
    if change is None:
        return columns.where("false"), []
    intervals = streams.rekeyed_intervals(change.rows)
    newest = facts.agg(F.max("date_part")).first()
    if newest is None or newest[0] is None:
        return columns.where("false"), []
    past = intervals.where(F.to_date("since") <= F.lit(newest[0]))
    days = days_of(past.withColumn("last", F.least(F.to_date("until"), F.lit(newest[0]))), "since", until="last")
    in_an_interval = (
        (F.col("f.userId") == F.col("i.userId"))
        & (F.col("f.ts") >= F.col("i.since"))
        & (F.col("f.ts") < F.col("i.until"))
    )
    candidates = columns.where(Days.of("date_part", days).predicate()).alias("f")
    return candidates.join(F.broadcast(past.alias("i")), in_an_interval, "left_semi"), days


_SHOWN: dict[Table, tuple[str, tuple[str, ...]]] = {
    DIM_USERS: ("userKey", ("firstName", "lastName", "gender", "level")),
    DIM_SONGS: ("songKey", ("title", "duration")),
    DIM_ARTISTS: ("artistKey", ("name",)),
    DIM_LOCATION: ("locationKey", ("city", "stateCode", "stateName", "latitude", "longitude")),
    DIM_DATETIME: ("dateKey", ("date", "dayOfMonth", "dayOfWeek")),
}
"""A dimension's key in the facts, and the columns of it that wide_streams shows."""


def _update_wide_streams(lake: Lake, changes: Changes) -> Written:
    dims = [lake.read(table) for table in (DIM_USERS, DIM_SONGS, DIM_ARTISTS, DIM_LOCATION, DIM_DATETIME)]
    facts = lake.read(FACT_STREAMS)
    if changes.full:
        return make_equal(lake, WIDE_STREAMS, streams.wide_streams(facts, *dims), delete=True)
    touched = _facts_with_changed_dimensions(facts, changes)
    new_facts = changes.get(FACT_STREAMS)
    if new_facts is not None:
        now = new_facts.rows.where("_change_type IN ('insert', 'update_postimage')")
        touched = touched.union(now.select("event_id", "date_part")).distinct()
    touched = touched.persist()
    try:
        within = Days.of("date_part", days_of(touched, "date_part"))
        present = facts.where(within.predicate()).join(touched.select("event_id"), "event_id", "left_semi")
        return make_equal(lake, WIDE_STREAMS, streams.wide_streams(present, *dims), within=within)
    finally:
        touched.unpersist()


def _facts_with_changed_dimensions(facts: DataFrame, changes: Changes) -> DataFrame:
    """event_id and date_part of the facts whose dimension rows now show something else."""
    affected = facts.select("event_id", "date_part").where("false")
    for dimension, (key, shown) in _SHOWN.items():
        change = changes.get(dimension)
        if change is None:
            continue
        images = change.rows.groupBy(key).agg(F.countDistinct(F.struct(*shown)).alias("images"))
        changed = images.where("images > 1").select(key)
        # The facts are read only where a row did change: a row that is new has no facts but new ones.
        if changed.limit(1).collect():
            affected = affected.union(facts.join(changed, key, "left_semi").select("event_id", "date_part"))
    return affected


# --- summaries --------------------------------------------------------------------------------------------------------


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
    change, wide = changes.get(WIDE_STREAMS), lake.read(WIDE_STREAMS)
    if change is None or change.full:
        return make_equal(lake, ARTIST_POPULARITY, summaries.artist_popularity(wide), delete=True)
    touched = F.broadcast(change.rows.select("artistName").distinct())
    desired = summaries.artist_popularity(wide.join(touched, "artistName", "left_semi"))
    current = lake.read(ARTIST_POPULARITY).join(touched, "artistName", "left_semi")
    return make_equal(lake, ARTIST_POPULARITY, desired, current=current, delete=True)


def _update_active_users(lake: Lake, changes: Changes) -> Written:
    del changes  # whoever is active now: the profiles tell
    newest = max(
        filter(None, (delta.greatest(lake.path(table), "timestamp") for table in BRONZE.values())), default=None
    )
    instant = newest.strftime("%Y-%m-%d %H:%M:%S.%fZ") if newest else None
    active = summaries.active_users(lake.read(USER_PROFILES), lake.read(USER_SESSIONS), instant)
    return make_equal(lake, ACTIVE_USERS, active, delete=True)


_BRONZE = tuple(BRONZE.values())

STEPS: dict[Table, Step] = {
    step.table: step
    for step in (
        Step(DIM_USERS, _BRONZE, _update_dim_users),
        Step(DIM_SONGS, (LISTENS, REFERENCE_SONGS), _update_dim_songs),
        Step(DIM_ARTISTS, (LISTENS, REFERENCE_SONGS), _update_dim_artists),
        Step(DIM_LOCATION, (LISTENS, REFERENCE_STATES), _update_dim_location),
        Step(DIM_DATETIME, (LISTENS,), _update_dim_datetime),
        Step(USER_PROFILES, _BRONZE, _update_user_profiles),
        Step(USER_SESSIONS, (LISTENS, PAGE_VIEWS), _update_user_sessions),
        Step(FACT_STREAMS, (LISTENS, DIM_USERS), _update_fact_streams),
        Step(WIDE_STREAMS, (FACT_STREAMS, *_SHOWN), _update_wide_streams),
        _daily(DAILY_USER_SUMMARY, summaries.daily_user_summary),
        _daily(DAILY_LOCATION_SUMMARY, summaries.daily_location_summary),
        Step(ARTIST_POPULARITY, (WIDE_STREAMS,), _update_artist_popularity),
        Step(ACTIVE_USERS, (*_BRONZE, USER_PROFILES, USER_SESSIONS), _update_active_users),
    )
}
"""The step of each table, by table, in an order in which they may run."""
