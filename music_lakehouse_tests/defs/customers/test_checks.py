from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from music_lakehouse.defs.customers.checks import CHECKS
from music_lakehouse.defs.customers.landed import LANDED
from music_lakehouse.defs.customers.tables import BRONZE, TABLES
from music_lakehouse.lakehouse.checks import Check
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
from music_lakehouse_tests.oracle.customers.examples import customer, item, land, order
from music_lakehouse_tests.oracle.customers.files import landed_files, records
from music_lakehouse_tests.oracle.customers.schema import SOURCES
from music_lakehouse_tests.oracle.customers.tables import tables_of
from music_lakehouse_tests.oracle.values import Row, Tables

pytestmark = pytest.mark.thorough

ALL = [(table, check) for table, checks in CHECKS.items() for check in checks]
NAMES = [f"{table.full_name}-{check.name}" for table, check in ALL]
NOW = datetime(2024, 3, 9, tzinfo=timezone.utc)


def sound_tables(root: Path) -> Tables:
    """All tables of a few files: two customers, one of whom moved twice, and one row that is refused."""
    land(root, "customer", "a.csv", 0, customer(1), customer(2), customer("x"))
    land(root, "customer", "b.csv", 30, customer(1, address="Side Street"))
    land(root, "customer", "c.csv", 60, customer(1))
    land(root, "orders", "a.csv", 1, order(1, 1), order(2, 1, "2024-03-03"), order(3, 2, "2024-03-03"))
    land(root, "lineitem", "a.csv", 2, item(1), item(2), item(2, 2), item(3))
    tables = tables_of(root)
    numbers = {row["dim_customer_id"]: n for n, row in enumerate(tables["gold.dim_customer"])}
    for name in ("gold.dim_customer", "gold.fact_sales"):
        for row in tables[name]:
            row["dim_customer_id"] = numbers[row["dim_customer_id"]]
    tables["metrics.files"] = []
    for landed in LANDED:
        rows = tables[BRONZE[landed].full_name] = _landed_rows(root, landed.name)
        files = {(row["source_filename"], row["date_added"]) for row in rows}
        tables["metrics.files"] += [
            {
                "table": BRONZE[landed].full_name,
                "table_id": "0",
                "file": name,
                "state": "loaded",
                "rows": sum(row["source_filename"] == name for row in rows),
                "modified_at": moment,
                "recorded_at": NOW,
            }
            for name, moment in files
        ]
    for number, row in enumerate(tables["bronze.quarantine_customers"]):
        row["row_number"] = number
    return tables


def _landed_rows(root: Path, name: str) -> list[Row]:
    files, _ = landed_files(root / "customers" / name, {})
    return [
        {"source_filename": file.path.name, "row_number": number, "date_added": file.date_added}
        for file in files
        for number, _ in enumerate(records(file, SOURCES[name]), 1)
    ]


def end_early(tables: Tables, table: Table) -> None:
    first = next(row for row in rows_of(tables, table) if row["end_date"] is not None)
    first["end_date"] -= timedelta(milliseconds=1)


def repeat_a_version(tables: Tables, table: Table) -> None:
    for row in rows_of(tables, table):
        row["c_address"] = "Main Street"


def take_the_last_version(tables: Tables, table: Table) -> None:
    last = next(row for row in tables["gold.dim_customer"] if row["c_custkey"] == 1 and row["is_current"])
    for row in rows_of(tables, table):
        row["dim_customer_id"] = last["dim_customer_id"]


EXAMPLES: dict[str, Damage] = {
    "counts_by_file": double_a_row,
    "rows_are_those_of_the_files": lose_a_row,
    "files_readable": record(NOW, state="unreadable", problem="no"),
    "files_unchanged": record(NOW, problem="it changed"),
    "key_not_null": lose_the_key,
    "key_unique": double_a_row,
    "has_a_reason": change(reasons=[]),
    "one_current_row": change(is_current=True),
    "no_gap_no_overlap": end_early,
    "neighbours_differ": repeat_a_version,
    "current_is_open": change(is_current=True),
    "row_for_row": lose_a_row,
    "version_that_held": take_the_last_version,
    "revenue_exact": change(net_revenue=Decimal("1.0000")),
    "complete": change(order_date=None),
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
    assert_tells(tables, tmp_path, table, check, EXAMPLES[check.name])


@pytest.mark.parametrize("table", CHECKS, ids=lambda table: table.full_name)
def test_all_checks_pass_where_there_is_nothing(tmp_path: Path, table: Table) -> None:
    assert_passes_where_there_is_nothing(tmp_path, table)
