"""Comparing a lake with the oracle, cell by cell."""

from __future__ import annotations

from pathlib import Path

from music_lakehouse_tests.oracle.catalogue.database import silver_of
from music_lakehouse_tests.oracle.catalogue.laws import versions_are_whole
from music_lakehouse_tests.oracle.catalogue.tables import DIMENSIONS, NOUNS, TABLE_KEYS, tables_of
from music_lakehouse_tests.oracle.compare import differences
from music_lakehouse_tests.oracle.lake import read_table


def assert_lake_equals_oracle(lake_root: str | Path, landing_root: Path) -> None:
    """Fails, with all the differences, unless the lake's tables equal those which the oracle makes of the files below
    `landing_root`/catalogue, and the dimensions are whole."""
    expected = tables_of(landing_root)
    report = []
    for name, key in TABLE_KEYS.items():
        actual = read_table(lake_root, name)
        found = differences(expected[name], actual, key)
        if found:
            report.append("\n  ".join([f"{name}: {len(actual)} rows, the oracle has {len(expected[name])}", *found]))
    for source, table in DIMENSIONS.items():
        report += versions_are_whole(read_table(lake_root, table), NOUNS[source])
    assert not report, f"{lake_root} differs from the oracle\n" + "\n".join(report)


def assert_silver_is_the_database(lake_root: str | Path, url: str) -> None:
    """Fails unless silver has the valid rows of the database, as they are there now: so it is after a key scan, where
    each row was valid from the beginning."""
    report = []
    for name, rows in silver_of(url).items():
        found = differences(rows, read_table(lake_root, name), TABLE_KEYS[name])
        report += [f"{name}: {line}" for line in found]
    assert not report, f"{lake_root} differs from the database\n" + "\n".join(report)
