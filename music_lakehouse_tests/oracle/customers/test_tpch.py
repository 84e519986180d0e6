from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from music_lakehouse.simulator.customers.config import CustomersConfig
from music_lakehouse.simulator.customers.simulation import land_customers
from music_lakehouse_tests.oracle.customers.examples import customer, item, land, order
from music_lakehouse_tests.oracle.customers.tables import tables_of
from music_lakehouse_tests.oracle.customers.tpch import answers_from_files, answers_from_gold

pytestmark = pytest.mark.thorough

SHIPPED_IN_1994 = "1,2,3,1,5,100.00,0.06,0.02,N,O,1994-06-01,1994-06-02,1994-06-03,NONE,RAIL,quiet"


def test_the_queries_answer_as_one_would_by_hand(tmp_path: Path) -> None:
    land(tmp_path, "customer", "a.csv", 0, customer(7, segment="MACHINERY"))
    land(tmp_path, "customer", "b.csv", 1, customer(7, segment="BUILDING"))
    land(tmp_path, "orders", "a.csv", 0, order(1, 7, "1994-05-01"), order(2, 7, "1995-03-01", priority="3"))
    land(tmp_path, "lineitem", "a.csv", 0, SHIPPED_IN_1994, item(2), item(2, 2, price="300.00"))
    land(tmp_path, "lineitem", "b.csv", 1, item(2, 2, price="200.00"))
    expected = {
        "Q1": [("N", "O", Decimal(15), Decimal(400), Decimal(379), Decimal("386.58"), 3)],
        "Q3": [(2, Decimal(285), date(1995, 3, 1), 3)],
        "Q6": [(Decimal(6),)],
    }
    assert answers_from_files(tmp_path) == expected
    assert answers_from_gold(tables_of(tmp_path)) == expected


def test_lines_without_order_or_customer_count_where_neither_is_asked_for(tmp_path: Path) -> None:
    land(tmp_path, "customer", "a.csv", 0, customer(7))
    land(tmp_path, "orders", "a.csv", 0, order(2, 8, "1995-03-01"))
    land(tmp_path, "lineitem", "a.csv", 0, SHIPPED_IN_1994, item(2))
    assert answers_from_files(tmp_path) == answers_from_gold(tables_of(tmp_path))
    assert answers_from_files(tmp_path)["Q3"] == []
    assert answers_from_files(tmp_path)["Q1"][0][-1] == 2


def test_files_and_gold_tables_answer_alike_to_the_cent(tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    for start, scale in ((datetime(2024, 3, 1), 0.002), (datetime(2024, 4, 1), 0.001)):
        land_customers(tmp_path, CustomersConfig(scale=scale, chunks=4, seed=seed, start=start))
    answers = answers_from_files(tmp_path)
    assert answers == answers_from_gold(tables_of(tmp_path))
    assert len(answers["Q1"]) in (4, 5)
    assert len(answers["Q3"]) > 10
    assert answers["Q6"][0][0] > 0
