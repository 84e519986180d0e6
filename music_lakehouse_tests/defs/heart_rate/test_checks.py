from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from music_lakehouse.defs.catalog import find_table
from music_lakehouse.defs.heart_rate.checks import CHECKS
from music_lakehouse.defs.heart_rate.tables import (
    HEART_RATE,
    HEART_RATE_HOURLY,
    QUARANTINE,
    SILVER_HEART_RATE,
    TABLES,
)
from music_lakehouse.lakehouse.checks import Check, evaluate
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse_tests.defs.broken_tables import (
    Damage,
    assert_passes_where_there_is_nothing,
    assert_tells,
    change,
    double_a_row,
    lose_a_row,
    lose_the_key,
    record,
    rows_of,
)
from music_lakehouse_tests.defs.heart_rate.lakes import land, name_people, recording
from music_lakehouse_tests.defs.listening.small_lakes import write
from music_lakehouse_tests.oracle.heart_rate.tables import tables_of
from music_lakehouse_tests.oracle.values import Tables

pytestmark = pytest.mark.thorough

ALL = [(table, check) for table, checks in CHECKS.items() for check in checks]
NAMES = [f"{table.full_name}-{check.name}" for table, check in ALL]
NOW = datetime(2024, 3, 9, tzinfo=timezone.utc)


def sound_tables(root: Path) -> Tables:
    """All tables of two files: two people of one name, a stranger, a recording that comes twice, refused ones."""
    recordings = {
        "a.json": [
            recording(1, 0),
            recording(1, 0),
            recording(1, 70, 71),
            recording(2, 0, 60.25),
            recording(1, 3, 999),
        ],
        "b.json": [*(recording(2, n, 80) for n in range(20)), recording(3, 5, 90), recording(None, 0)],
    }
    name_people(root, "1,Anna Berg", "2,Anna Berg")
    for name, landed in recordings.items():
        land(root, name, *landed)
    tables = tables_of(root)
    places = [
        {"source_filename": name, "row_number": number, "date_added": NOW - timedelta(days=name == "a.json"), **each}
        for name, landed in recordings.items()
        for number, each in enumerate(landed, 1)
    ]
    valid = [each for each in places if each["mrn"] is not None and each["heartrate"] <= 300]
    tables[HEART_RATE.full_name] = [
        {**each, **dict.fromkeys(("device_id", "mrn", "time", "heartrate"))} for each in places
    ]
    tables[SILVER_HEART_RATE.full_name] = [
        {**each, **row} for each, row in zip(valid, tables[SILVER_HEART_RATE.full_name], strict=True)
    ]
    refused = [each for each in places if each not in valid]
    tables[QUARANTINE.full_name] = [
        {**row, **each} for each, row in zip(refused, tables[QUARANTINE.full_name], strict=True)
    ]
    for row in tables[HEART_RATE_HOURLY.full_name]:
        row["heartrate_units"] = round(row["avg_heartrate"] * row["count"] * 2**48)
    tables["metrics.files"] = [
        {
            "table": HEART_RATE.full_name,
            "table_id": "0",
            "file": name,
            "state": "loaded",
            "rows": len(landed),
            "recorded_at": NOW,
        }
        for name, landed in recordings.items()
    ]
    return tables


EXAMPLES: dict[str, list[Damage]] = {
    "counts_by_file": [double_a_row],
    "rows_are_those_of_the_files": [lose_a_row],
    "files_readable": [record(NOW, state="unreadable", problem="no")],
    "files_unchanged": [record(NOW, problem="it changed")],
    "key_not_null": [lose_the_key],
    "key_unique": [double_a_row],
    "has_a_reason": [change(reasons=[])],
    "elements_by_file": [
        double_a_row,
        lose_a_row,
        lambda tables, _: lose_a_row(tables, QUARANTINE),
        lambda tables, _: double_a_row(tables, HEART_RATE),
    ],
    "nothing_lost": [lose_a_row, lambda tables, _: lose_a_row(tables, QUARANTINE)],
    "in_bounds": [change(heartrate=300.5, max_heartrate=300.5), change(mrn=None, avg_heartrate=None)],
    "name_as_in_dim_patients": [change(patient_name="Carl Dahl"), change(patient_name="Unknown")],
    "person_known": [change(patient_name="Unknown")],
    "adds_up": [lose_a_row, double_a_row, change(count=1)],
    "nobody_lost": [lose_a_row, change(count=1), change(avg_heartrate=71), change(avg_heartrate=69)],
}
"""By check, how a sound lake is broken so that the check must fail."""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return sound_tables(tmp_path_factory.mktemp("landing"))


def test_every_check_has_an_example_that_breaks_it() -> None:
    assert {check.name for _, check in ALL} == EXAMPLES.keys()
    assert set(CHECKS) == set(TABLES.values()), "each table is checked"


@pytest.mark.parametrize(("table", "check"), ALL, ids=NAMES)
def test_a_check_passes_on_sound_tables_and_fails_on_broken_ones(
    tables: Tables, tmp_path: Path, table: Table, check: Check
) -> None:
    assert_tells(tables, tmp_path, table, check, *EXAMPLES[check.name])


@pytest.mark.parametrize("table", CHECKS, ids=lambda table: table.full_name)
def test_all_checks_pass_where_there_is_nothing(tmp_path: Path, table: Table) -> None:
    assert_passes_where_there_is_nothing(tmp_path, table)


def test_a_run_looks_at_what_landed_when_its_rows_did_and_at_nothing_older(tables: Tables, tmp_path: Path) -> None:
    lake = LakePaths(str(tmp_path))
    (check,) = (check for check in CHECKS[SILVER_HEART_RATE] if check.name == "elements_by_file")
    for table in (HEART_RATE, QUARANTINE, SILVER_HEART_RATE):
        for file in ("a.json", "b.json"):
            rows = [row for row in rows_of(tables, table) if row["source_filename"] == file]
            write(lake, table, rows, mode="append")
    (newest,) = evaluate(lake, SILVER_HEART_RATE, [check], since=0, find_table=find_table)
    assert (newest.rows, newest.failed) == (1, 0)
    parquet = (tmp_path / "bronze" / "heart_rate").glob("*.parquet")
    min(parquet, key=lambda path: path.stat().st_mtime_ns).unlink()
    (newest,) = evaluate(lake, SILVER_HEART_RATE, [check], since=0, find_table=find_table)
    assert (newest.rows, newest.failed) == (1, 0), "the older file isn't opened"
