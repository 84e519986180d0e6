"""Runs that end between two of their commits: the next one makes the tables what they should be."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.lakehouse import file_ingest, lake, reference, steps, upsert
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse_tests.defs.heart_rate.lakes import land, name_people, recording, run_all, versions
from music_lakehouse_tests.defs.killed import Killed, killed_after
from music_lakehouse_tests.oracle.heart_rate.compare import assert_lake_equals_oracle

pytestmark = [pytest.mark.spark, pytest.mark.slow]

WRITES = (
    (lake.Lake, "append_few"),
    (upsert, "_merge_few"),
    (upsert, "write_deltalake"),
    (steps, "record_positions"),
    (reference, "record_source_position"),
    (file_ingest, "record_files"),
)


def land_day(landing: Path, day: int) -> None:
    """Two files: a person who comes again, a new one who has a name from the next day on, a late and a refused one."""
    hours = 24 * day
    name_people(landing, f"1,Anna {day}", *(f"{n + 2},Person {n}" for n in range(day)))
    minutes = 60 * hours
    land(landing, f"{day}a.json", recording(1, minutes), recording(day + 2, minutes, 60 + day), hours=hours)
    land(landing, f"{day}b.json", recording(1, minutes - 90, 100.1), recording(1, minutes, 0), hours=hours + 1)


def test_killed_after_any_write_and_run_again_the_tables_are_those_of_the_files(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing, root = tmp_path / "landing", str(tmp_path / "lake")
    land_day(landing, 0)
    run_all(Lake(root, spark), landing)
    at, killed = 0, True
    while killed:
        at, counter = at + 1, iter(range(10_000))
        land_day(landing, at)
        with monkeypatch.context() as patched:
            for module, name in WRITES:
                patched.setattr(module, name, killed_after(getattr(module, name), counter, at))
            try:
                run_all(Lake(root, spark), landing)
                killed = False
            except Killed:
                print(f"killed after write {at}")
        run_all(Lake(root, spark), landing)
        assert_lake_equals_oracle(root, landing)
    assert at > 12, "each write of a run was the last one once"
    before = versions(Lake(root, spark))
    run_all(Lake(root, spark), landing)
    assert versions(Lake(root, spark)) == before
