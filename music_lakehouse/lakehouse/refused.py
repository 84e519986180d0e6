"""Landed rows that break a rule: their bronze table has them as they landed, a quarantine of the pipeline why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce

from pyspark.sql import DataFrame

from music_lakehouse.lakehouse.changes import Change, Changes, everything
from music_lakehouse.lakehouse.file_ingest import DATE_ADDED
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.moments import Moments
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written, make_equal


def follow_refused(
    lake: Lake, quarantine: Table, changes: Changes, refused: Mapping[Table, Callable[[Change], DataFrame]]
) -> Written:
    """Keep the quarantine equal to the refused rows of its sources. `refused` gives, of each source, those among the
    rows that a change brought, as rows of the quarantine, which has `date_added`."""
    found = {table: everything(lake, table) if changes.full else changes.get(table) for table in refused}
    rows = [refused[table](change) for table, change in found.items() if change is not None]
    if not rows:
        return Written()
    desired = reduce(DataFrame.unionByName, rows)
    if changes.full:
        return make_equal(lake, quarantine, desired, delete=True)
    within = Moments.of(desired, DATE_ADDED)
    return Written() if within is None else make_equal(lake, quarantine, desired, within=within)
