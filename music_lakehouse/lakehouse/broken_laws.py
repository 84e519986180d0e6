"""Laws that were found broken. A run that goes on over one would hide it: what it writes itself may well be right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from music_lakehouse.lakehouse.checks import Check, Outcome, evaluate
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.records import read_records, replace_records
from music_lakehouse.lakehouse.tables import Column, Table

BROKEN_LAWS = Table(
    layer="metrics",
    name="broken_laws",
    description="One row a table that was found to break a law: until all of its laws hold again, each run evaluates "
    "them over the whole table, and stops what is downstream.",
    columns=(
        Column("table", "STRING", "the table"),
        Column("run_id", "STRING", "the Dagster run that found it first"),
        Column("found_at", "TIMESTAMP", "when, UTC"),
    ),
    key=("table",),
    partition_by=("table",),
)


def evaluate_laws(
    lake: LakePaths,
    table: Table,
    checks: Sequence[Check],
    *,
    since: int | None,
    run_id: str,
    find_table: Callable[[str], Table],
) -> list[Outcome]:
    """The same as `evaluate`, but for a table of which an earlier run found that a check which is an error isn't
    passed: there these are evaluated over everything. Remembers that one isn't passed, and forgets it once all are."""
    known = bool(read_records(lake, BROKEN_LAWS, partition=table.full_name))
    if known:
        laws = [check for check in checks if check.error]
        outcomes = evaluate(lake, table, laws, since=None, find_table=find_table)
        others = [check for check in checks if not check.error]
        outcomes += evaluate(lake, table, others, since=since, find_table=find_table)
    else:
        outcomes = evaluate(lake, table, checks, since=since, find_table=find_table)
    broken = any(outcome.check.error and not outcome.passed for outcome in outcomes)
    if broken != known:
        found = {"table": table.full_name, "run_id": run_id, "found_at": datetime.now(timezone.utc)}
        replace_records(lake, BROKEN_LAWS, [found] if broken else [], partition=table.full_name)
    return outcomes
