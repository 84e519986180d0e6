"""The keyed steps of the heart_rate tables: which keys changes touch, and what is read for them."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.heart_rate.tables import (
    DIM_PATIENTS,
    HEART_RATE,
    HEART_RATE_BY_PATIENT,
    HEART_RATE_HOURLY,
    QUARANTINE,
    SILVER_HEART_RATE,
)
from music_lakehouse.defs.heart_rate.transforms import recordings, summaries
from music_lakehouse.lakehouse.changes import Change, Changes
from music_lakehouse.lakehouse.days import Days, days_of
from music_lakehouse.lakehouse.expectations import JUDGED
from music_lakehouse.lakehouse.file_ingest import DATE_ADDED
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.moments import Moments
from music_lakehouse.lakehouse.query import evaluated
from music_lakehouse.lakehouse.refused import follow_refused
from music_lakehouse.lakehouse.steps import Step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written, make_equal, make_equal_in_order


def judged_changes(change: Change) -> DataFrame:
    """The landed rows that a change of bronze brought, judged; where few are expected, once for all that asks."""
    return change.inserted_as(JUDGED, recordings.judged)


def _refused(change: Change) -> DataFrame:
    return recordings.refused(judged_changes(change))


def _update_quarantine(lake: Lake, changes: Changes) -> Written:
    return follow_refused(lake, QUARANTINE, changes, {HEART_RATE: _refused})


def _update_silver(lake: Lake, changes: Changes) -> Written:
    people = lake.read(DIM_PATIENTS)
    written = _follow_landed(lake, changes, people)
    change = None if changes.full else changes.get(DIM_PATIENTS)
    if change is None:
        return written
    of_them = F.broadcast(change.rows.select("mrn").distinct())
    known = lake.read(SILVER_HEART_RATE).join(of_them, "mrn", "left_semi")
    renamed = recordings.renamed(known, people).persist()
    try:
        # Who is new has no recordings in most files: these stay as they are.
        within = Moments.of(renamed, DATE_ADDED)
        if within is None:
            return written
        known = known.where(within.predicate())
        return written + make_equal(lake, SILVER_HEART_RATE, renamed, current=known, within=within)
    finally:
        renamed.unpersist()


def _follow_landed(lake: Lake, changes: Changes, people: DataFrame) -> Written:
    """Make silver equal to the valid ones of the landed rows that are new: only what landed at their time is read."""
    if changes.full:
        judged = recordings.judged(lake.read(HEART_RATE))
        return make_equal(lake, SILVER_HEART_RATE, recordings.valid(judged, people), delete=True)
    change = changes.get(HEART_RATE)
    within = None if change is None else Moments.of(change.inserted, DATE_ADDED)
    if change is None or within is None:
        return Written()
    return make_equal(lake, SILVER_HEART_RATE, recordings.valid(judged_changes(change), people), within=within)


def _update_hourly(lake: Lake, changes: Changes) -> Written:
    change = changes.get(SILVER_HEART_RATE)
    if change is None or change.full:
        everything = summaries.hourly(lake.read(SILVER_HEART_RATE))
        return make_equal(lake, HEART_RATE_HOURLY, everything, delete=True)
    touched = summaries.net_changes(change.rows).persist()
    try:
        days = Days.of("hour", days_of(touched, "hour"))
        recorded = summaries.hour_of(lake.read(SILVER_HEART_RATE).where(days.on("datetime").predicate()))
        known = lake.read(HEART_RATE_HOURLY).where(days.predicate())
        hours = F.broadcast(touched)
        return make_equal(
            lake,
            HEART_RATE_HOURLY,
            summaries.hourly(recorded.join(hours, ["mrn", "hour"], "left_semi")),
            current=known.join(hours, ["mrn", "hour"], "left_semi"),
            within=days,
            delete=True,
        )
    finally:
        touched.unpersist()


def _update_by_patient(lake: Lake, changes: Changes) -> Written:
    del changes  # Nearly every file has recordings of everybody.
    totals = lake.frame(evaluated(lake, summaries.HOURS, hours=HEART_RATE_HOURLY))
    people = lake.read(DIM_PATIENTS)
    order = [F.desc("avg_heartrate"), F.col("patient_name"), F.col("mrn")]
    return make_equal_in_order(lake, HEART_RATE_BY_PATIENT, summaries.by_patient(totals, people), order)


STEPS: dict[Table, Step] = {
    step.table: step
    for step in (
        Step(QUARANTINE, (HEART_RATE,), _update_quarantine),
        # After quarantine: then each landed row is in one of the two.
        Step(SILVER_HEART_RATE, (HEART_RATE, DIM_PATIENTS), _update_silver, after=(QUARANTINE,)),
        Step(HEART_RATE_HOURLY, (SILVER_HEART_RATE,), _update_hourly),
        # After silver, which shows the same names.
        Step(HEART_RATE_BY_PATIENT, (HEART_RATE_HOURLY, DIM_PATIENTS), _update_by_patient, after=(SILVER_HEART_RATE,)),
    )
}
"""The step of each table, by table, in an order in which they may run."""
