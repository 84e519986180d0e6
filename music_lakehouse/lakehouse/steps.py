"""Keyed steps: a table that is kept equal to a function of its sources, by what changed in them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass

from pyspark.sql import DataFrame

from music_lakehouse.lakehouse.changes import Changes, claim_changes, find_changes, record_positions
from music_lakehouse.lakehouse.lake import MOST_ROWS_FETCHED, Lake
from music_lakehouse.lakehouse.positions import Stretch, forget_positions
from music_lakehouse.lakehouse.query import MOST_ROWS_READ_AT_ONCE
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written

MOST_ROWS_A_PIECE = MOST_ROWS_FETCHED
"""Changed rows that a step takes at once, but for a commit that has more: what follows from them is held in memory. A
piece reads what later ones brought for the keys that it touches, so that many small ones cost more than few."""


@dataclass(frozen=True)
class Step:
    """How one table follows its sources.

    `update` takes from the changes only the keys that they touch, reads the sources' present state for these, and makes
    the table equal to it: it may be killed, repeated, or told that everything changed, and the table is the same.
    `after` are tables that have to be up to date before, though a change in them touches nothing here. `reads_all`
    says that even for a small change it reads all of its sources: where these are long, no change counts as small.
    Many changes are taken in pieces, unless it `reads_all` or `takes_all_at_once`: it would do for each piece much of
    what it does for all of them.
    """

    table: Table
    sources: tuple[Table, ...]
    update: Callable[[Lake, Changes], Written]
    after: tuple[Table, ...] = ()
    reads_all: bool = False
    takes_all_at_once: bool = False
    of_messages: Callable[[Lake, Table, Stretch], DataFrame | None] | None = None
    """The rows of a source that messages of a stretch of time gave; None where the source's tell of no message."""


def in_stages(steps: Iterable[Step]) -> list[list[Step]]:
    """The steps in stages: those of one stage need nothing of each other, only of stages before.

    In: the steps in an order in which they may run.
    """
    depth_of: dict[Table, int] = {}
    stages: dict[int, list[Step]] = {}
    for step in steps:
        before = [depth_of[table] for table in (*step.sources, *step.after) if table in depth_of]
        depth_of[step.table] = depth = max(before, default=-1) + 1
        stages.setdefault(depth, []).append(step)
    return [stages[depth] for depth in sorted(stages)]


@dataclass(frozen=True)
class Work:
    """What a step has to do: the changes that it has not seen yet, and whether its table was made just now."""

    step: Step
    changes: Changes
    created: bool
    rows: int | None
    """About how many rows it is about; None where nobody knows."""

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self.created or bool(self.changes) or bool(self.changes.again)


@dataclass(frozen=True)
class StepReport:
    """What one run of a step took and wrote."""

    changes: Changes
    written: Written
    seconds: float
    pieces: int
    """In how many pieces, each written and recorded before the next, it took the changes."""


def find_work(lake: Lake, step: Step) -> Work:
    """What there is to do; reads logs only."""
    created = lake.create(step.table)
    if created:
        forget_positions(lake, step.table.full_name)
    changes = find_changes(lake, step.table.full_name, step.sources)
    long = step.reads_all and sum(map(lake.rows, step.sources)) > MOST_ROWS_READ_AT_ONCE
    rows = None if changes and long else changes.count
    if changes.again and rows is not None:
        # At most all of them.
        rows += sum(map(lake.rows, step.sources))
    return Work(step, changes, created, rows)


def do_work(lake: Lake, work: Work) -> StepReport:
    """Bring the step's table up to its sources' state as it was found. Nothing is written where nothing is new."""
    started = time.monotonic()
    written, pieces = Written(), 0
    step = work.step
    at_once = step.reads_all or step.takes_all_at_once
    for piece in [work.changes] if at_once else work.changes.in_pieces(MOST_ROWS_A_PIECE):
        pieces += 1
        if work.created or piece.count != 0 or piece.full:
            with lake.replacing(step.table) if piece.anew else nullcontext():
                written += step.update(lake, piece)
        for stretch in piece.again:
            written += _compute_again(lake, step, stretch)
        if piece or piece.again:
            record_positions(lake, piece)
    return StepReport(work.changes, written, time.monotonic() - started, pieces)


def _compute_again(lake: Lake, step: Step, stretch: Stretch) -> Written:
    rows = {source: step.of_messages(lake, source, stretch) for source in step.sources} if step.of_messages else {}
    known = {source: found for source, found in rows.items() if found is not None}
    return step.update(lake, claim_changes(lake, step.table.full_name, known, str(stretch))) if known else Written()


def run_step(lake: Lake, step: Step) -> StepReport:
    """Bring the step's table up to its sources' present state."""
    work = find_work(lake, step)
    lake.expect(work.rows)
    return do_work(lake, work)
