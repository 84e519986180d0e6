"""Comparing a lake with the oracle, cell by cell."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path, PurePosixPath

from music_lakehouse_tests.oracle.compare import differences
from music_lakehouse_tests.oracle.heart_rate.tables import QUARANTINE, TABLE_KEYS, tables_of
from music_lakehouse_tests.oracle.lake import read_table
from music_lakehouse_tests.oracle.values import Row


def assert_lake_equals_oracle(
    lake_root: str | Path, landing_root: Path, tables: Collection[str] = tuple(TABLE_KEYS)
) -> None:
    """Fails, with all the differences, unless the lake's tables (`layer.table`) equal those which the oracle makes of
    the files below `landing_root`/heart_rate. Of quarantined rows it is compared from which files how many there are.
    """
    expected = tables_of(landing_root)
    report = []
    for name in tables:
        wanted, got = expected[name], read_table(lake_root, name)
        if name == QUARANTINE:
            wanted, got = _sources(wanted), _sources(got)
        found = differences(wanted, got, TABLE_KEYS[name])
        if found:
            report.append("\n  ".join([f"{name}: {len(got)} rows, the oracle has {len(wanted)}", *found]))
    assert not report, f"{lake_root} differs from the oracle\n" + "\n".join(report)


def _sources(rows: list[Row]) -> list[Row]:
    """The rows' files, without directories."""
    return [{"source_filename": PurePosixPath(row["source_filename"]).name} for row in rows]
