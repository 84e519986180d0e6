"""Tables broken on purpose: ways to do it that many checks share, and how a check fares on what is left."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from music_lakehouse.defs.catalog import CHECKS, find_table
from music_lakehouse.lakehouse.checks import Check, Outcome, evaluate
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse_tests.defs.listening.small_lakes import write
from music_lakehouse_tests.oracle.values import Row, Tables

Damage = Callable[[Tables, Table], object]
"""Changes a table, or what it is compared with, so that a check of it must fail."""


def rows_of(tables: Tables, table: Table) -> list[Row]:
    return tables[table.full_name]


def change(**values: object) -> Damage:
    """Other values in all rows."""
    return lambda tables, table: [row.update(values) for row in rows_of(tables, table)]


def record(recorded_at: datetime, **values: object) -> Damage:
    """Other values in a record of each file that is newer than that time."""
    later = {"recorded_at": recorded_at + timedelta(seconds=1)}
    return lambda tables, table: tables["metrics.files"].extend(
        [{**row, **later, **values} for row in tables["metrics.files"]]
    )


def double_a_row(tables: Tables, table: Table) -> None:
    rows_of(tables, table).append(rows_of(tables, table)[0])


def lose_a_row(tables: Tables, table: Table) -> None:
    rows_of(tables, table).pop()


def double_one_and_lose_another(tables: Tables, table: Table) -> None:
    """As many rows as before."""
    double_a_row(tables, table)
    rows_of(tables, table).pop(1)


def lose_the_key(tables: Tables, table: Table) -> None:
    rows_of(tables, table)[0][table.key[0]] = None


def read_by(table: Table, check: Check) -> list[str]:
    """The tables of which the check reads anything, after a run or in an audit."""
    forms = (check, check.over_all)
    return sorted({table.full_name}.union(*(form.tables | form.counted | form.dated for form in forms)))


def outcome(tables: Tables, place: Path, table: Table, check: Check, since: int | None) -> Outcome:
    """How the check fares on a lake at `place` of the tables that it reads, with all rows written after version 0."""
    lake = LakePaths(str(place))
    for name in read_by(table, check):
        write(lake, find_table(name), [])
        write(lake, find_table(name), tables[name], mode="append")
    (found,) = evaluate(lake, table, [check], since=since, find_table=find_table)
    return found


def assert_tells(tables: Tables, place: Path, table: Table, check: Check, *damages: Damage) -> None:
    """The check passes on sound tables and fails after each of the damages: over what a run wrote, and over all, there
    after the first one."""
    for since in (0, None):
        sound = outcome(tables, place / f"sound {since}", table, check, since)
        assert sound.passed, f"since {since}: {sound}"
        assert sound.rows
        for number, damage in enumerate(damages[: 1 if since is None else None]):
            broken: Any = copy.deepcopy(tables)
            damage(broken, table)
            found = outcome(broken, place / f"broken {number} {since}", table, check, since)
            assert not found.passed, f"since {since}, damage {number}: {found}"


def assert_passes_where_there_is_nothing(place: Path, table: Table) -> None:
    """All checks of the table: without it, on an empty one, and after a run that wrote nothing."""

    def broken(since: int | None) -> list[Outcome]:
        outcomes = evaluate(LakePaths(str(place)), table, CHECKS[table], since=since, find_table=find_table)
        return [found for found in outcomes if not found.passed]

    assert broken(None) == [], "no table"
    write(LakePaths(str(place)), table, [])
    assert broken(None) == [], "an empty table"
    assert broken(0) == [], "a run that wrote nothing"
