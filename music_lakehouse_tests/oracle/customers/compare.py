"""Comparing a lake with the oracle, cell by cell."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from pathlib import Path, PurePosixPath

from music_lakehouse_tests.oracle.compare import differences
from music_lakehouse_tests.oracle.customers.laws import versions_are_whole
from music_lakehouse_tests.oracle.customers.schema import SOURCES
from music_lakehouse_tests.oracle.customers.tables import QUARANTINE, TABLE_KEYS, tables_of, version_name
from music_lakehouse_tests.oracle.lake import read_table
from music_lakehouse_tests.oracle.values import Row, Tables

DIMENSION, FACTS = "gold.dim_customer", "gold.fact_sales"


def assert_lake_equals_oracle(
    lake_root: str | Path, landing_root: Path, tables: Collection[str] = tuple(TABLE_KEYS)
) -> None:
    """Fails, with all the differences, unless the lake's tables (`layer.table`) equal those which the oracle makes of
    the files below `landing_root`/customers, and the dimension is whole.

    When a file was loaded is taken from the lake's bronze tables. Of quarantined rows it is compared from which files
    how many there are.
    """
    dates = {table: dates_added(read_table(lake_root, f"bronze.{table}_raw")) for table in SOURCES}
    expected = tables_of(landing_root, dates)
    actual = comparable({name: read_table(lake_root, name) for name in {*tables, DIMENSION}})
    report = []
    for name in tables:
        wanted, got = expected[name], actual[name]
        if name == QUARANTINE:
            wanted, got = ([{"source_filename": row["source_filename"]} for row in rows] for rows in (wanted, got))
        found = differences(wanted, got, TABLE_KEYS[name])
        if found:
            report.append("\n  ".join([f"{name}: {len(got)} rows, the oracle has {len(wanted)}", *found]))
    report += versions_are_whole(read_table(lake_root, DIMENSION))
    assert not report, f"{lake_root} differs from the oracle\n" + "\n".join(report)


def dates_added(bronze_rows: list[Row]) -> dict[str, datetime]:
    """When each file was loaded, by its name. Fails where one file has two dates."""
    dates: dict[str, datetime] = {}
    for row in bronze_rows:
        name, date = _file_name(row["source_filename"]), row["date_added"]
        assert dates.setdefault(name, date) == date, f"{name} was added at {dates[name]} and at {date}"
    return dates


def comparable(tables: Tables) -> Tables:
    """A lake's tables with file names without directories, and with the names of versions in place of their numbers;
    a fact's number that the dimension lacks stays."""
    names = {
        row["dim_customer_id"]: version_name(row["c_custkey"], row["start_date"]) for row in tables.get(DIMENSION, [])
    }
    return {
        name: [
            {
                column: _file_name(value)
                if column == "source_filename"
                else names.get(value, value)
                if column == "dim_customer_id"
                else value
                for column, value in row.items()
            }
            for row in rows
        ]
        for name, rows in tables.items()
    }


def _file_name(source: str) -> str:
    """The last part of a path or a URI."""
    return PurePosixPath(source).name
