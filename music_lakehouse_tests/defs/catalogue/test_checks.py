from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from music_lakehouse.defs.catalog import find_table
from music_lakehouse.defs.catalogue.checks import CHECKS
from music_lakehouse.defs.catalogue.source import SOURCE_TABLES
from music_lakehouse.defs.catalogue.tables import BRONZE, TABLES
from music_lakehouse.lakehouse.checks import Check, evaluate
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.tables import Column, Table
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
from music_lakehouse_tests.defs.listening.small_lakes import write
from music_lakehouse_tests.oracle.catalogue.examples import artist, at, gone, load, stream, track, user
from music_lakehouse_tests.oracle.catalogue.files import records
from music_lakehouse_tests.oracle.catalogue.schema import SOURCES
from music_lakehouse_tests.oracle.catalogue.tables import tables_of
from music_lakehouse_tests.oracle.values import Tables

pytestmark = pytest.mark.thorough

ALL = [(table, check) for table, checks in CHECKS.items() for check in checks]
NOW = datetime(2025, 3, 9, tzinfo=timezone.utc)


def sound_tables(root: Path) -> Tables:
    """All tables of a few loads: users who changed, were deleted and came back, and rows that are refused."""
    load(root, "DimUser", 0, user(1, 0), user(2, 0), user(3, None))
    load(root, "DimUser", 3, user(1, 3, plan="premium"), gone("user_id", 2))
    load(root, "DimUser", 9, user(2, 8))
    load(root, "DimArtist", 0, artist(1, 0), artist(2, 0))
    load(root, "DimArtist", 3, artist(1, 3, name="The Old Band"))
    load(root, "DimTrack", 0, track(1, 0), track(2, 0, artist_id=2))
    load(root, "DimTrack", 3, track(1, 3, seconds=200))
    load(root, "DimDate", 0, {"date_key": 20250301, "date": "2025-03-01"}, {"date_key": 20250302, "date": "2025-03-02"})
    load(root, "FactStream", 0, stream(1, 1), stream(2, 4), stream(3, 4, track_id=2), stream(4, -1, user_id=2))
    tables = tables_of(root)
    tables["metrics.files"] = []
    for source in SOURCES:
        name = f"bronze.{source.table}"
        landed = records(root, source)
        tables[name] = [
            {
                **record.row,
                "source_filename": record.file,
                "row_number": record.number,
                "date_added": at(0),
                "_deleted": record.deleted,
            }
            for record in landed
        ]
        tables["metrics.files"] += [
            {
                "table": name,
                "table_id": "0",
                "file": file,
                "state": "loaded",
                "rows": sum(record.file == file for record in landed),
                "modified_at": at(0),
                "recorded_at": NOW,
            }
            for file in dict.fromkeys(record.file for record in landed)
        ]
    return tables


def end_early(tables: Tables, table: Table) -> None:
    first = next(row for row in rows_of(tables, table) if row["end_at"] is not None and not row["is_deleted"])
    first["end_at"] -= timedelta(milliseconds=1)


def show_the_same(tables: Tables, table: Table) -> None:
    first = rows_of(tables, table)[0]
    marks = {"start_at", "end_at", "is_current", "is_deleted"}
    for row in rows_of(tables, table):
        row.update({name: value for name, value in first.items() if name not in marks and not name.endswith("_key")})


def exchange_versions(noun: str) -> Damage:
    """Each fact has the version that began last, whatever held."""

    def damage(tables: Tables, table: Table) -> None:
        versions = tables[f"gold.catalogue_dim_{noun}"]
        last = max((v for v in versions if v[f"{noun}_id"] == 1), key=lambda v: v["start_at"])
        for row in rows_of(tables, table):
            row[f"{noun}_version_key"] = last[f"{noun}_version_key"]

    return damage


def exchange_artists(tables: Tables, table: Table) -> None:
    other = next(v for v in tables["gold.catalogue_dim_artist"] if v["artist_id"] == 2)
    for row in rows_of(tables, table):
        row["artist_version_key"] = other["artist_version_key"]


EXAMPLES: dict[str, Damage] = {
    "counts_by_file": double_a_row,
    "rows_are_those_of_the_files": lose_a_row,
    "files_readable": record(NOW, state="unreadable", problem="no"),
    "files_unchanged": record(NOW, problem="it changed"),
    "nothing_rescued": change(_rescued_data="{}"),
    "key_not_null": lose_the_key,
    "key_unique": double_a_row,
    "has_a_reason": change(reasons=[]),
    "one_current_row": change(is_current=True),
    "no_gap_no_overlap": end_early,
    "neighbours_differ": show_the_same,
    "current_is_open": change(is_current=True),
    "row_for_row": lose_a_row,
    "user_version_held": exchange_versions("user"),
    "track_version_held": exchange_versions("track"),
    "artist_version_held": exchange_versions("artist"),
    "artist_of_the_track": exchange_artists,
    "complete": change(user_version_key=None),
}
"""By check, how a sound lake is broken so that the check must fail."""
BY_THEMSELVES = {"columns_declared"}


def is_first_of_its_kind(table: Table) -> bool:
    """Of tables with the same checks, one stands for all: the others differ in names only."""
    return table.layer not in ("bronze", "silver") or table.name in ("catalogue_users", "quarantine_catalogue")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return sound_tables(tmp_path_factory.mktemp("landing"))


def test_every_check_has_an_example_that_breaks_it() -> None:
    assert {check.name for _, check in ALL} == EXAMPLES.keys() | BY_THEMSELVES
    assert set(CHECKS) == set(TABLES.values()), "each table is checked"


TRIED = [(t, c) for t, c in ALL if is_first_of_its_kind(t) and c.name not in BY_THEMSELVES]


@pytest.mark.parametrize(("table", "check"), TRIED, ids=[f"{t.full_name}-{c.name}" for t, c in TRIED])
def test_a_check_passes_on_sound_tables_and_fails_on_broken_ones(
    tables: Tables, tmp_path: Path, table: Table, check: Check
) -> None:
    assert_tells(tables, tmp_path, table, check, EXAMPLES[check.name])


def test_a_column_that_the_declaration_lacks_is_told(tmp_path: Path) -> None:
    table = BRONZE["catalogue_users"]
    [check] = [check for check in CHECKS[table] if check.name == "columns_declared"]
    wider = Table(table.layer, table.name, "", (*table.columns, Column("email", "STRING", "new")), table.key)
    for written, passed in ((table, True), (wider, False)):
        lake = LakePaths(str(tmp_path / str(passed)))
        write(lake, written, [])
        (found,) = evaluate(lake, table, [check], since=None, find_table=find_table)
        assert found.passed is passed
    assert found.figures == {"columns": "email"}


@pytest.mark.parametrize("table", CHECKS, ids=lambda table: table.full_name)
def test_all_checks_pass_where_there_is_nothing(tmp_path: Path, table: Table) -> None:
    assert_passes_where_there_is_nothing(tmp_path, table)


def test_a_table_that_is_one_line_has_a_bronze_table_with_the_checks_of_its_files() -> None:
    assert set(BRONZE) == set(SOURCE_TABLES)
    assert {table.name for table in BRONZE.values()} == set(SOURCE_TABLES)
    assert all(len(CHECKS[table]) >= 5 for table in BRONZE.values())
