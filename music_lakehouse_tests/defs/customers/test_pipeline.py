"""The tables that landed files make, in whatever batches and order they are read, against the oracle."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from random import Random

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.defs.customers.landed import CUSTOMER
from music_lakehouse.defs.customers.tables import BRONZE, TABLES
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.positions import POSITIONS
from music_lakehouse.lakehouse.repair import restore
from music_lakehouse.simulator.customers.config import CustomersConfig
from music_lakehouse.simulator.customers.simulation import land_customers
from music_lakehouse_tests.defs.customers.lakes import deliver, landed_below, run_all, take_files, versions
from music_lakehouse_tests.oracle.customers.compare import assert_lake_equals_oracle
from music_lakehouse_tests.oracle.customers.examples import customer, item, land, land_content, order
from music_lakehouse_tests.oracle.customers.laws import ids_are_kept
from music_lakehouse_tests.oracle.customers.tpch import answers_from_files, answers_from_gold
from music_lakehouse_tests.oracle.lake import read_table
from music_lakehouse_tests.oracle.values import Row

pytestmark = pytest.mark.spark

START = datetime(2024, 3, 1)
DIMENSION, FACTS = "gold.dim_customer", "gold.fact_sales"


def dirty_files(simulated: Path, seed: int, *, chunks: int = 3) -> list[Path]:
    """Simulated files with faults below `simulated`, in the order in which they land."""
    land_customers(simulated, CustomersConfig(scale=0.001, chunks=chunks, seed=seed, start=START, dirty=0.05))
    return landed_below(simulated)


def test_tpch_answers_from_gold_as_from_the_files_and_a_second_run_writes_nothing(
    lake: Lake, tmp_path: Path, seed: int
) -> None:
    landing = tmp_path / "landing"
    land_customers(landing, CustomersConfig(scale=0.001, chunks=4, seed=seed, start=START))

    taken = run_all(lake, landing)

    assert_lake_equals_oracle(lake.root, landing)
    gold = {name: read_table(lake.root, name) for name in (DIMENSION, FACTS)}
    answers = answers_from_files(landing)
    assert all(answers.values())
    assert answers_from_gold(gold) == answers
    assert [len(report.repeated) for report in taken.values()] == [1, 1, 1], "a chunk of each was delivered twice"
    before = versions(lake)
    assert set(before) == set(TABLES)
    run_all(lake, landing)
    assert versions(lake) == before


@pytest.mark.slow
def test_at_the_scale_of_a_hundredth_gold_equals_the_oracle_and_answers_as_the_files(
    lake: Lake, tmp_path: Path, seed: int
) -> None:
    landing = tmp_path / "landing"
    land_customers(landing, CustomersConfig(scale=0.01, chunks=8, seed=seed, start=START))
    run_all(lake, landing)
    assert_lake_equals_oracle(lake.root, landing)
    assert answers_from_gold({name: read_table(lake.root, name) for name in (DIMENSION, FACTS)}) == answers_from_files(
        landing
    )


@pytest.fixture
def only_large_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few rows there are, they are taken as many would be."""
    monkeypatch.setattr("music_lakehouse.lakehouse.lake.MOST_ROWS_OF_A_SMALL_CHANGE", -1)
    monkeypatch.setattr("music_lakehouse.lakehouse.changes.MOST_ROWS_FETCHED", -1)


@pytest.mark.slow
@pytest.mark.usefixtures("only_large_changes")
def test_large_changes_make_the_tables_that_small_ones_make(lake: Lake, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    land(landing, "customer", "a.csv", 0, customer(1), customer(2))
    land(landing, "orders", "a.csv", 0, order(1, 1), order(2, 3))
    land(landing, "lineitem", "a.csv", 0, item(1), item(2), item(3), item("x"))
    run_all(lake, landing)
    land(
        landing, "customer", "b.csv", 1, customer(1, address="Moved"), customer(2), customer(3), customer(3, balance=2)
    )
    land(landing, "orders", "b.csv", 1, order(3, 1, "2024-04-01"), order(1, 2))
    land(landing, "lineitem", "b.csv", 1, item(1, price="7.00"), item(3, 2), item(3, 2, price="8.00"))
    run_all(lake, landing)
    assert_lake_equals_oracle(lake.root, landing)


@pytest.mark.slow
@pytest.mark.usefixtures("only_large_changes")
def test_large_simulated_changes_make_the_tables_of_one_batch(lake: Lake, tmp_path: Path, seed: int) -> None:
    simulated, landing = tmp_path / "simulated", tmp_path / "landing"
    files = dirty_files(simulated, seed)
    for part in (files[: len(files) // 2], files[len(files) // 2 :]):
        deliver(part, simulated, landing)
        run_all(lake, landing)
    assert_lake_equals_oracle(lake.root, landing)


def test_increments_make_the_tables_of_one_batch_and_keep_the_numbers_of_versions(
    lake: Lake, tmp_path: Path, seed: int
) -> None:
    simulated, landing = tmp_path / "simulated", tmp_path / "landing"
    files = dirty_files(simulated, seed)
    known: list[Row] = []
    for first in range(0, len(files), 5):
        deliver(files[first : first + 5], simulated, landing)
        run_all(lake, landing)
        assert_lake_equals_oracle(lake.root, landing)
        now = read_table(lake.root, DIMENSION)
        assert ids_are_kept(known, now) == []
        known = now
    assert len({row["c_custkey"] for row in known}) < len(known)
    assert sum(row["dim_customer_id"] is None for row in read_table(lake.root, FACTS)) > 0, "some wait"


@pytest.mark.slow
@pytest.mark.usefixtures("commit_by_commit")
def test_files_that_wait_are_taken_in_pieces_and_make_the_same_tables(lake: Lake, tmp_path: Path, seed: int) -> None:
    simulated, landing = tmp_path / "simulated", tmp_path / "landing"
    files = dirty_files(simulated, seed)
    for number, first in enumerate(range(0, len(files), 3)):
        deliver(files[first : first + 3], simulated, landing)
        if number % 4 == 1:
            run_all(lake, landing)
            assert_lake_equals_oracle(lake.root, landing)
        else:
            take_files(lake, landing)
    run_all(lake, landing)
    assert_lake_equals_oracle(lake.root, landing)


@pytest.mark.slow
def test_files_that_are_read_late_and_in_any_order_make_the_same_tables(lake: Lake, tmp_path: Path, seed: int) -> None:
    simulated, landing = tmp_path / "simulated", tmp_path / "landing"
    files = dirty_files(simulated, seed, chunks=4)
    Random(seed).shuffle(files)
    for first in range(0, len(files), 6):
        # Of two files with one content the first is the one that counts: the order of these stays.
        deliver(sorted(files[first : first + 6]), simulated, landing)
        deliver(_older_twins(files[: first + 6], simulated), simulated, landing)
        run_all(lake, landing)
    assert_lake_equals_oracle(lake.root, landing)


def _older_twins(delivered: list[Path], root: Path) -> list[Path]:
    def digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    contents = {digest(path) for path in delivered}
    return [path for path in landed_below(root) if digest(path) in contents]


def test_before_anything_landed_the_tables_are_there_and_empty(lake: Lake, tmp_path: Path) -> None:
    for _ in range(2):
        run_all(lake, tmp_path / "nowhere")
        assert versions(lake) == dict.fromkeys(TABLES, 0)
        assert {lake.rows(table) for table in TABLES.values()} == {0}


def test_lost_positions_and_dropped_tables_are_made_good(lake: Lake, tmp_path: Path, spark: SparkSession) -> None:
    landing = tmp_path / "landing"
    land(landing, "customer", "a.csv", 0, customer(1), customer(2))
    land(landing, "orders", "a.csv", 1, order(1, 1), order(2, 1, "2024-03-03"))
    land(landing, "lineitem", "a.csv", 2, item(1), item(2))
    run_all(lake, landing)
    land(landing, "customer", "b.csv", 30, customer(1, address="Side Street"))
    run_all(lake, landing)
    before, known = versions(lake), read_table(lake.root, DIMENSION)
    Path(lake.path(POSITIONS)).rename(tmp_path / "positions")
    again = Lake(lake.root, spark)
    run_all(again, landing)
    assert versions(again) == before, "nothing differs, so nothing is written"
    for name in (DIMENSION, FACTS, "bronze.quarantine_customers", "silver.customer"):
        Path(lake.path(TABLES[name])).rename(tmp_path / name)
    again = Lake(lake.root, spark)
    run_all(again, landing)
    assert_lake_equals_oracle(lake.root, landing)
    assert ids_are_kept(known, read_table(lake.root, DIMENSION)) == []
    assert len(read_table(lake.root, DIMENSION)) == len(known) == 3


def test_what_waits_for_its_order_or_customer_is_completed_when_that_lands(lake: Lake, tmp_path: Path) -> None:
    landing = tmp_path / "landing"

    def facts() -> list[tuple[object, ...]]:
        rows = read_table(lake.root, FACTS)
        return [(row["order_key"], row["order_date"] is not None, row["dim_customer_id"] is not None) for row in rows]

    land(landing, "lineitem", "a.csv", 0, item(1))
    run_all(lake, landing)
    assert facts() == [(1, False, False)]
    land(landing, "orders", "a.csv", 1, order(1, 7))
    run_all(lake, landing)
    assert facts() == [(1, True, False)]
    land(landing, "customer", "a.csv", 2, customer(7))
    run_all(lake, landing)
    assert facts() == [(1, True, True)]
    assert_lake_equals_oracle(lake.root, landing)


def test_a_late_file_splits_a_version_and_the_facts_follow(lake: Lake, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    land(landing, "customer", "a.csv", 0, customer(1))
    land(landing, "customer", "c.csv", 96, customer(1), customer(2))
    land(landing, "orders", "a.csv", 1, *(order(day, 1, f"2024-03-0{day}") for day in range(1, 8)))
    land(landing, "lineitem", "a.csv", 1, *(item(day) for day in range(1, 8)))
    run_all(lake, landing)
    assert len(read_table(lake.root, DIMENSION)) == 2
    land(landing, "customer", "b.csv", 48, customer(1, segment="MACHINERY"))
    run_all(lake, landing)
    assert len(read_table(lake.root, DIMENSION)) == 4, "the first customer is back to what it was"
    assert len({row["dim_customer_id"] for row in read_table(lake.root, FACTS)}) == 3
    assert_lake_equals_oracle(lake.root, landing)


def test_rows_that_are_refused_do_not_stand_for_others_that_landed_late(lake: Lake, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    land(landing, "customer", "a.csv", 0, customer(1))
    land(landing, "customer", "d.csv", 3, customer(1, address="Moved"))
    run_all(lake, landing)
    land(landing, "customer", "b.csv", 1, customer("x"))
    land(landing, "customer", "c.csv", 2, customer(1, segment="MACHINERY"))
    run_all(lake, landing)
    assert_lake_equals_oracle(lake.root, landing)


def test_of_what_one_moment_brought_the_last_holds(lake: Lake, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    land(landing, "customer", "a.csv", 0, customer(1), customer(1, address="Moved"), customer(2), customer(2))
    land(landing, "customer", "b.csv", 0, customer(1, address="Moved"), customer(2, address="Moved"))
    land(landing, "customer", "c.csv", 1, customer(1), customer(1, address="Moved"), customer(2))
    run_all(lake, landing)
    assert_lake_equals_oracle(lake.root, landing)
    states = [(row["c_custkey"], row["source_filename"]) for row in read_table(lake.root, "silver.customer")]
    assert sorted(states) == [(1, "customers/customer/a.csv"), (2, "customers/customer/c.csv")]


def test_rows_that_are_as_they_were_write_no_version_behind_bronze(lake: Lake, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    rows = {"customer": (customer(1), customer(2)), "orders": (order(1, 1),), "lineitem": (item(1), item(1, 2))}
    for table, known in rows.items():
        land(landing, table, "a.csv", 0, *known)
    run_all(lake, landing)
    before = versions(lake)
    for table, known in rows.items():
        land(landing, table, "b.csv", 1, *reversed(known), known[0])
    run_all(lake, landing)
    after = versions(lake)
    assert {name for name in TABLES if after[name] != before[name]} == {table.full_name for table in BRONZE.values()}
    assert_lake_equals_oracle(lake.root, landing)


def test_faulty_files_are_refused_row_by_row_and_the_rest_goes_on(lake: Lake, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    header = "c_comment,c_name,extra,C_CUSTKEY,c_address,c_nationkey,c_phone,c_acctbal,c_mktsegment"
    land(
        landing,
        "customer",
        "reordered.csv",
        0,
        'quiet,Anna,x,1,"1, ""Main""\nStreet",3,13,1.50,BUILDING',
        header=header,
    )
    land(landing, "customer", "short.csv", 1, "2,Bert", header="c_custkey,c_name")
    land(landing, "customer", "odd.csv", 2, customer(" 3 "), customer("4e0", balance="n/a"), customer(""), "5,x")
    land_content(landing, "customer", "cut.csv", 3, f"c_custkey\n{customer(6)}\n7")
    land_content(landing, "customer", "empty.csv", 4, "")
    land_content(landing, "customer", "open.csv", 5, f'{",".join(_HEADER)}\n{customer(8)}\n9,"cut\nin the mid')
    run_all(lake, landing)
    assert_lake_equals_oracle(lake.root, landing)
    refused = {row["row"]: row["reasons"] for row in read_table(lake.root, "bronze.quarantine_customers")}
    assert refused["5,x"] == refused['9,"cut\nin the mid'] == ["malformed"]
    assert ["c_acctbal_unfit"] in refused.values()
    assert sorted(row["c_custkey"] for row in read_table(lake.root, "silver.customer")) == [1, 3, 8]


_HEADER = (
    "c_custkey",
    "c_name",
    "c_address",
    "c_nationkey",
    "c_phone",
    "c_acctbal",
    "c_mktsegment",
    "c_comment",
)


@pytest.mark.slow
def test_a_table_that_was_put_back_takes_its_files_again_and_so_does_all_that_is_made_of_it(
    lake: Lake, tmp_path: Path
) -> None:
    landing = tmp_path / "landing"
    land(landing, "customer", "a.csv", 0, customer(1), customer(2))
    land(landing, "orders", "a.csv", 0, order(1, 1), order(2, 2))
    land(landing, "lineitem", "a.csv", 0, item(1), item(2))
    run_all(lake, landing)
    bronze, known = BRONZE[CUSTOMER], read_table(lake.root, DIMENSION)
    first = lake.present(bronze).version()
    land(landing, "customer", "b.csv", 1, customer(1, address="Moved"), customer(3))
    run_all(lake, landing)

    anew = restore(lake, bronze, first).anew

    assert {DIMENSION, FACTS, "silver.customer", "bronze.quarantine_customers"} <= set(anew)
    assert len(read_table(lake.root, bronze.full_name)) == 2
    assert run_all(lake, landing)[bronze].rows == 2, "of b.csv alone"
    assert_lake_equals_oracle(lake.root, landing)
    assert ids_are_kept(known, read_table(lake.root, DIMENSION)) == []
