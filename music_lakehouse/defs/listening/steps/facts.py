"""The steps of fact_streams and wide_streams."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.gold_tables import FACT_STREAMS, WIDE_STREAMS
from music_lakehouse.defs.listening.silver_tables import DIM_ARTISTS, DIM_DATETIME, DIM_LOCATION, DIM_SONGS, DIM_USERS
from music_lakehouse.defs.listening.steps.sources import LISTENS, new_events, once_each
from music_lakehouse.defs.listening.transforms import streams
from music_lakehouse.defs.listening.transforms.deliveries import first_deliveries
from music_lakehouse.defs.listening.transforms.listens import cleaned_listens
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.changes import Changes
from music_lakehouse.lakehouse.days import Days, days_of
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.steps import Step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written, make_equal

_STREAM_COLUMNS = [name for name in FACT_STREAMS.column_names if name != "userKey"]


def _update_fact_streams(lake: Lake, changes: Changes) -> Written:
    versions = lake.read(DIM_USERS)
    if changes.full:
        everything = streams.streamable(cleaned_listens(lake.read(LISTENS)))
        desired = streams.fact_streams(once_each(lake, everything), versions)
        return make_equal(lake, FACT_STREAMS, desired, delete=True)
    facts = lake.read(FACT_STREAMS)
    delivered, delivered_days = _delivered_streams(lake, facts, changes)
    rekeyed, rekeyed_days = _rekeyed_facts(lake, facts, changes)
    within = Days.of("date_part", [*delivered_days, *rekeyed_days])
    told, current = delivered.select("event_id"), None
    if not changes.only_added(LISTENS):
        # What is delivered no more is none of the facts.
        told = new_events(lake, changes, LISTENS).select("event_id").distinct()
        again = told if rekeyed is None else told.union(rekeyed.select("event_id")).distinct()
        current = facts.where(within.predicate()).join(again, "event_id", "left_semi")
    if rekeyed is not None:
        delivered = delivered.unionByName(rekeyed.join(told, "event_id", "left_anti"))
    desired = streams.fact_streams(delivered, versions)
    return make_equal(lake, FACT_STREAMS, desired, current=current, within=within, delete=current is not None)


def _delivered_streams(lake: Lake, facts: DataFrame, changes: Changes) -> tuple[DataFrame, list[date]]:
    """The streams of the new deliveries, and their days. An event that was delivered before is what all its deliveries
    tell."""
    listens = cleaned_listens(new_events(lake, changes, LISTENS))
    new = first_deliveries(streams.streamable(listens)).select(*_STREAM_COLUMNS)
    only_added = changes.only_added(LISTENS)
    days = days_of(streams.streamable(listens) if only_added else listens, "date_part")
    on_days = Days.of("date_part", days)
    repeated = facts.where(on_days.predicate()).join(listens.select("event_id"), "event_id", "left_semi")
    if only_added and not repeated.limit(1).collect():
        return new, days
    deliveries = lake.read(LISTENS).where(on_days.on("timestamp").predicate())
    deliveries = deliveries.join(listens.select("event_id"), "event_id", "left_semi")
    return first_deliveries(streams.streamable(cleaned_listens(deliveries))).select(*_STREAM_COLUMNS), days


def _rekeyed_facts(lake: Lake, facts: DataFrame, changes: Changes) -> tuple[DataFrame | None, list[date]]:
    """The facts at whose time another version of their user may hold now, and their days; None where there are none."""
    change = changes.get(DIM_USERS)
    newest = delta.greatest(lake.open(FACT_STREAMS), "date_part")
    if change is None or newest is None:
        return None, []
    intervals = lake.shared(
        f"rekeyed {change}",
        lambda: streams.rekeyed_intervals(change.rows).where(F.to_date("since") <= F.lit(newest)),
    )
    last = intervals.withColumn("last", F.least(F.to_date("until"), F.lit(newest)))
    days = days_of(last, "since", until="last")
    if not days:
        return None, []
    in_an_interval = (
        (F.col("f.userId") == F.col("i.userId"))
        & (F.col("f.ts") >= F.col("i.since"))
        & (F.col("f.ts") < F.col("i.until"))
    )
    candidates = facts.select(*_STREAM_COLUMNS).where(Days.of("date_part", days).predicate()).alias("f")
    return candidates.join(F.broadcast(intervals.alias("i")), in_an_interval, "left_semi"), days


_SHOWN: dict[Table, tuple[str, tuple[str, ...]]] = {
    DIM_USERS: ("userKey", ("firstName", "lastName", "gender", "level")),
    DIM_SONGS: ("songKey", ("title", "duration")),
    DIM_ARTISTS: ("artistKey", ("name",)),
    DIM_LOCATION: ("locationKey", ("city", "stateCode", "stateName", "latitude", "longitude")),
    DIM_DATETIME: ("dateKey", ("date", "dayOfMonth", "dayOfWeek")),
}
"""A dimension's key in the facts, and the columns of it that wide_streams shows."""


def _update_wide_streams(lake: Lake, changes: Changes) -> Written:
    dims = [lake.read(table) for table in _SHOWN]
    facts = lake.read(FACT_STREAMS)
    if changes.full:
        return make_equal(lake, WIDE_STREAMS, streams.wide_streams(facts, *dims), delete=True)
    new_facts, touched = changes.get(FACT_STREAMS), _facts_with_changed_dimensions(facts, changes)
    if touched is None and new_facts is not None and new_facts.append_only:
        # What was added is what the facts are: they need not be read again.
        present = new_facts.inserted
        within = Days.of("date_part", days_of(present, "date_part"))
        return make_equal(lake, WIDE_STREAMS, streams.wide_streams(present, *dims), within=within)
    if new_facts is not None:
        changed = new_facts.touched.select("event_id", "date_part")
        touched = changed if touched is None else touched.union(changed)
    if touched is None:
        return Written()
    touched = touched.distinct().persist()
    try:
        within = Days.of("date_part", days_of(touched, "date_part"))
        present, current = (
            rows.where(within.predicate()).join(touched.select("event_id"), "event_id", "left_semi")
            for rows in (facts, lake.read(WIDE_STREAMS))
        )
        desired = streams.wide_streams(present, *dims)
        return make_equal(lake, WIDE_STREAMS, desired, current=current, within=within, delete=True)
    finally:
        touched.unpersist()


def _facts_with_changed_dimensions(facts: DataFrame, changes: Changes) -> DataFrame | None:
    """event_id and date_part of the facts whose dimension rows now show something else; None where there are none.

    The facts are read only where a row did change: a row that is new has no facts but new ones.
    """
    affected = None
    for dimension, (key, shown) in _SHOWN.items():
        change = changes.get(dimension)
        if change is None or change.append_only:
            continue
        images = change.rows.groupBy(key).agg(F.countDistinct(F.struct(*shown)).alias("images"))
        changed = images.where("images > 1").select(key)
        if changed.limit(1).collect():
            rows = facts.join(changed, key, "left_semi").select("event_id", "date_part")
            affected = rows if affected is None else affected.union(rows)
    return affected


STEPS = (
    Step(
        FACT_STREAMS,
        (LISTENS, DIM_USERS),
        _update_fact_streams,
        after=(DIM_SONGS, DIM_ARTISTS, DIM_LOCATION, DIM_DATETIME),
    ),
    Step(WIDE_STREAMS, (FACT_STREAMS, *_SHOWN), _update_wide_streams),
)
