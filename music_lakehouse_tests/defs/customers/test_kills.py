"""Runs that end between two of their commits: the next one makes the tables what they should be."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.lakehouse import file_ingest, lake, steps, upsert
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse_tests.defs.customers.lakes import run_all, versions
from music_lakehouse_tests.defs.killed import Killed, killed_after
from music_lakehouse_tests.oracle.customers.compare import assert_lake_equals_oracle
from music_lakehouse_tests.oracle.customers.examples import customer, item, land, order
from music_lakehouse_tests.oracle.customers.laws import ids_are_kept
from music_lakehouse_tests.oracle.lake import read_table

pytestmark = [pytest.mark.spark, pytest.mark.slow]

WRITES = ((lake.Lake, "append_few"), (upsert, "_merge_few"), (steps, "record_positions"), (file_ingest, "record_files"))
DIMENSION = "gold.dim_customer"


def land_day(landing: Path, day: int) -> None:
    """A customer who moved and a new one, their orders, and a row that is refused."""
    hours = 24 * day
    land(
        landing, "customer", f"{day}.csv", hours, customer(1, address=f"Street {day}"), customer(day + 2), customer("")
    )
    land(landing, "orders", f"{day}.csv", hours, order(day, 1, f"2024-03-{day + 1:02}"), order(100 + day, day + 2))
    land(landing, "lineitem", f"{day}.csv", hours, item(day), item(100 + day), item(100 + day - 1, 2))


def test_killed_after_any_write_and_run_again_the_tables_are_those_of_the_files(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing, root = tmp_path / "landing", str(tmp_path / "lake")
    land_day(landing, 0)
    run_all(Lake(root, spark), landing)
    known, at, killed = read_table(root, DIMENSION), 0, True
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
        now = read_table(root, DIMENSION)
        assert ids_are_kept(known, now) == []
        assert len(now) == len(known) + 2
        known = now
    assert at > 12, "each write of a run was the last one once"
    assert_lake_equals_oracle(root, landing)
    before = versions(Lake(root, spark))
    run_all(Lake(root, spark), landing)
    assert versions(Lake(root, spark)) == before
