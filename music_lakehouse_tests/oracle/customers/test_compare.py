from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from music_lakehouse_tests.oracle.customers.compare import assert_lake_equals_oracle, dates_added
from music_lakehouse_tests.oracle.customers.examples import at, customer, item, land, order
from music_lakehouse_tests.oracle.customers.tables import QUARANTINE, tables_of
from music_lakehouse_tests.oracle.values import Row, Tables

ADDED = {"a.csv": at(100), "b.csv": at(200)}


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    root = tmp_path / "landing"
    land(root, "customer", "a.csv", 0, customer(1), customer(2))
    land(root, "customer", "b.csv", 1, customer(1, address="Elm Street"), customer("x"))
    land(root, "orders", "a.csv", 0, order(1, 1), order(2, 3))
    land(root, "lineitem", "a.csv", 0, item(1), item(2), item(3))
    return root


@pytest.fixture
def tables(landing: Path) -> Tables:
    """The oracle's tables as a pipeline would have them: loaded later than landed, with numbers and whole paths."""
    made = tables_of(landing, dict.fromkeys(("customer", "orders", "lineitem"), ADDED))
    numbers = {row["dim_customer_id"]: number for number, row in enumerate(made["gold.dim_customer"], 100)}
    for name, rows in made.items():
        made[name] = [
            {
                column: numbers.get(value) if column == "dim_customer_id" else value
                for column, value in (row | _path(row)).items()
            }
            for row in rows
        ]
    for table in ("customer", "orders", "lineitem"):
        made[f"bronze.{table}_raw"] = [
            {"source_filename": f"file:///landing/{name}", "date_added": date} for name, date in ADDED.items()
        ]
    return made


def _path(row: Row) -> Row:
    return {"source_filename": f"/landing/{row['source_filename']}"} if "source_filename" in row else {}


def write(root: Path, tables: Tables) -> None:
    for name, rows in tables.items():
        write_deltalake(str(root.joinpath(*name.split("."))), pa.Table.from_pylist(rows), mode="overwrite")


def test_a_lake_with_numbers_and_times_of_its_own_equals_the_oracle(
    tmp_path: Path, landing: Path, tables: Tables
) -> None:
    write(tmp_path / "lake", tables)
    assert_lake_equals_oracle(tmp_path / "lake", landing)


@pytest.mark.parametrize(
    ("table", "place", "change", "said"),
    [
        ("silver.customer", 0, {"c_address": "Oak Street"}, "c_custkey=1: c_address: expected 'Elm Street', got 'Oak"),
        ("gold.dim_customer", 0, {"end_date": at(150)}, "customer 1 has a gap or an overlap"),
        (
            "gold.fact_sales",
            0,
            {"dim_customer_id": 101},
            "order_key=1, line_number=1: dim_customer_id: expected '1 from",
        ),
        ("gold.fact_sales", 1, {"dim_customer_id": 999}, "order_key=2, line_number=1: dim_customer_id: expected None"),
        (QUARANTINE, 0, {"source_filename": "a.csv"}, "source_filename=b.csv: missing"),
    ],
)
def test_a_lake_that_differs_is_told_by_table_key_and_column(
    tmp_path: Path, landing: Path, tables: Tables, table: str, place: int, change: Row, said: str
) -> None:
    tables[table][place] |= change
    write(tmp_path / "lake", tables)
    with pytest.raises(AssertionError) as raised:
        assert_lake_equals_oracle(tmp_path / "lake", landing)
    assert said in str(raised.value)


def test_a_table_that_is_not_there_is_told(tmp_path: Path, landing: Path, tables: Tables) -> None:
    del tables["gold.fact_sales"]
    write(tmp_path / "lake", tables)
    with pytest.raises(AssertionError, match=r"gold\.fact_sales: 0 rows, the oracle has 3"):
        assert_lake_equals_oracle(tmp_path / "lake", landing)


def test_a_file_that_was_added_twice_is_told() -> None:
    rows = [{"source_filename": "a.csv", "date_added": at(0)}, {"source_filename": "x/a.csv", "date_added": at(1)}]
    with pytest.raises(AssertionError, match=r"a\.csv was added at .* and at"):
        dates_added(rows)
