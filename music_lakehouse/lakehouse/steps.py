"""Keyed steps: a table that is kept equal to a function of its sources, by what changed in them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from music_lakehouse.lakehouse.changes import Changes, find_changes, forget_positions, record_positions
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written


@dataclass(frozen=True)
class Step:
    """How one table follows its sources.

    `update` takes from the changes only the keys that they touch, reads the sources' present state for these, and makes
    the table equal to it: it may be killed, repeated, or told that everything changed, and the table is the same.
    `after` are tables that have to be up to date before, though a change in them touches nothing here.
    """

    table: Table
    sources: tuple[Table, ...]
    update: Callable[[Lake, Changes], Written]
    after: tuple[Table, ...] = ()


@dataclass(frozen=True)
class StepReport:
    """What one run of a step took and wrote."""

    changes: Changes
    written: Written
    seconds: float


def run_step(lake: Lake, step: Step) -> StepReport:
    """Bring the step's table up to its sources' present state. Nothing is written where nothing is new."""
    started = time.monotonic()
    created = lake.create(step.table)
    if created:
        forget_positions(lake, step.table.full_name)
    changes = find_changes(lake, step.table.full_name, step.sources)
    written = Written()
    if changes or created:
        lake.expect(changes.count)
        written = step.update(lake, changes)
        record_positions(lake, changes)
    return StepReport(changes, written, time.monotonic() - started)
