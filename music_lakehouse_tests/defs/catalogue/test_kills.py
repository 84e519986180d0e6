"""Runs that end between two of their commits: the next one makes the tables what they should be."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.lakehouse import file_ingest, lake, landing, steps, upsert
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse_tests.defs.catalogue.databases import Catalogue, take, versions
from music_lakehouse_tests.defs.killed import Killed, killed_after
from music_lakehouse_tests.oracle.catalogue.compare import assert_lake_equals_oracle, assert_silver_is_the_database
from music_lakehouse_tests.oracle.lake import read_table

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(1800)]

WRITES = (
    (landing.Load, "_finish_file"),
    (lake.Lake, "append_few"),
    (upsert, "_merge_few"),
    (steps, "record_positions"),
    (file_ingest, "record_files"),
)
DIMENSION = "gold.catalogue_dim_user"


def change_a_day(catalogue: Catalogue, day: int) -> None:
    """A user who changed, a new one, the one of two days before, who is deleted, a track that moved, streams, one of
    them before its user, and rows that are refused."""
    hours = 24 * day
    catalogue.user(1, hours, plan=f"plan {day}")
    catalogue.user(day + 10, hours)
    catalogue.run(f'DELETE FROM "DimUser" WHERE user_id = {day + 8}')
    catalogue.artist(day + 1, hours)
    catalogue.track(1, hours, artist=day + 1)
    catalogue.track(day + 10, hours, seconds=-1)
    for number in range(3):
        catalogue.stream(10 * day + number, hours + number, user=(1, day + 10, day + 12)[number])
    catalogue.day(20250101 + day, "2025-01-01")


def test_killed_after_any_write_and_run_again_the_tables_are_those_of_the_database(
    spark: SparkSession, tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    root = str(tmp_path / "lake")

    def run() -> None:
        opened = Lake(root, spark)
        catalogue.land()
        catalogue.scan(opened)
        take(opened, catalogue.landing)

    change_a_day(catalogue, 0)
    run()
    # Every second write, of another seed the others.
    at, killed = seed % 2 - 2, True
    while killed:
        at, counter = at + 2, iter(range(10_000))
        change_a_day(catalogue, at + 1)
        known = {row["user_version_key"]: row["start_at"] for row in read_table(root, DIMENSION)}
        with monkeypatch.context() as patched:
            for module, name in WRITES:
                patched.setattr(module, name, killed_after(getattr(module, name), counter, at))
            try:
                run()
                killed = False
            except Killed:
                print(f"killed after write {at}")
        run()
        now = {row["user_version_key"]: row["start_at"] for row in read_table(root, DIMENSION)}
        assert now.items() >= known.items(), "a version that was there keeps its key"
        assert_silver_is_the_database(root, catalogue.url.get_secret_value())
    assert at > 30, "each write of a run was the last one once"
    assert_lake_equals_oracle(root, catalogue.landing)
    before = versions(Lake(root, spark))
    run()
    assert versions(Lake(root, spark)) == before
