from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

from music_lakehouse_tests.oracle.customers.examples import at, customer, item, land, order
from music_lakehouse_tests.oracle.customers.laws import versions_are_whole
from music_lakehouse_tests.oracle.customers.tables import QUARANTINE, tables_of, version_name
from music_lakehouse_tests.oracle.examples import picked

SPAN = ("c_custkey", "c_address", "start_date", "end_date", "is_current")
AS_HELD = ("c_address", "source_filename", "date_added")


def versions(root: Path, **dates_added: dict[str, object]) -> list[tuple[object, ...]]:
    tables = tables_of(root, dates_added)  # type: ignore[arg-type]
    assert versions_are_whole(tables["gold.dim_customer"]) == []
    return picked(tables["gold.dim_customer"], *SPAN)


def test_each_change_is_a_version_from_when_its_file_landed(tmp_path: Path) -> None:
    land(tmp_path, "customer", "a.csv", 0, customer(1), customer(2))
    land(tmp_path, "customer", "b.csv", 1, customer(1, address="Elm Street"))
    land(tmp_path, "customer", "c.csv", 2, customer(1))
    assert versions(tmp_path) == [
        (1, "Main Street", at(0), at(1), False),
        (1, "Elm Street", at(1), at(2), False),
        (1, "Main Street", at(2), None, True),
        (2, "Main Street", at(0), None, True),
    ]


def test_a_customer_who_comes_again_unchanged_changes_nothing(tmp_path: Path) -> None:
    land(tmp_path, "customer", "a.csv", 0, customer(1, balance="1.5"))
    land(tmp_path, "customer", "b.csv", 1, customer(1, balance="1.50"), customer(2))
    assert versions(tmp_path)[0] == (1, "Main Street", at(0), None, True)
    assert picked(tables_of(tmp_path)["silver.customer"], *AS_HELD) == [
        ("Main Street", "a.csv", at(0)),
        ("Main Street", "b.csv", at(1)),
    ]


def test_of_several_rows_in_one_file_the_last_holds(tmp_path: Path) -> None:
    land(tmp_path, "customer", "a.csv", 0, customer(1), customer(1, address="Elm Street"))
    land(tmp_path, "customer", "b.csv", 1, customer(1), customer(1, address="Elm Street"))
    assert versions(tmp_path) == [(1, "Elm Street", at(0), None, True)]


def test_of_several_files_of_one_time_the_last_name_holds(tmp_path: Path) -> None:
    land(tmp_path, "customer", "b.csv", 0, customer(1, address="Elm Street"))
    land(tmp_path, "customer", "a.csv", 0, customer(1))
    assert versions(tmp_path) == [(1, "Elm Street", at(0), None, True)]


def test_a_file_that_comes_late_takes_its_place_in_time(tmp_path: Path) -> None:
    land(tmp_path, "customer", "a.csv", 2, customer(1, address="Elm Street"))
    land(tmp_path, "customer", "late.csv", 1, customer(1, address="Oak Street"))
    assert versions(tmp_path) == [
        (1, "Oak Street", at(1), at(2), False),
        (1, "Elm Street", at(2), None, True),
    ]


def test_a_chunk_that_is_delivered_again_does_not_bring_the_old_state_back(tmp_path: Path) -> None:
    land(tmp_path, "customer", "a.csv", 0, customer(1))
    land(tmp_path, "customer", "b.csv", 1, customer(1, address="Elm Street"))
    land(tmp_path, "customer", "a again.csv", 2, customer(1))
    assert versions(tmp_path)[-1] == (1, "Elm Street", at(1), None, True)


def test_versions_begin_when_the_pipeline_says_that_the_file_was_added(tmp_path: Path) -> None:
    land(tmp_path, "customer", "a.csv", 0, customer(1))
    land(tmp_path, "customer", "b.csv", 1, customer(1, address="Elm Street"))
    assert versions(tmp_path, customer={"a.csv": at(10), "b.csv": at(20)}) == [
        (1, "Main Street", at(10), at(20), False),
        (1, "Elm Street", at(20), None, True),
    ]


def test_a_fact_has_everything_of_its_line_item_and_order(tmp_path: Path) -> None:
    land(tmp_path, "customer", "a.csv", 0, customer(7))
    land(tmp_path, "orders", "a.csv", 0, order(1, 7, "1996-01-02", priority="4"))
    land(tmp_path, "lineitem", "a.csv", 0, item(1, 3, price="100.01", discount="0.07"))
    assert tables_of(tmp_path)["gold.fact_sales"] == [
        {
            "order_key": 1,
            "line_number": 3,
            "dim_customer_id": version_name(7, at(0)),
            "order_date": date(1996, 1, 2),
            "ship_date": date(1996, 3, 1),
            "return_flag": "N",
            "line_status": "O",
            "ship_priority": 4,
            "quantity": Decimal(5),
            "extended_price": Decimal("100.01"),
            "discount": Decimal("0.07"),
            "tax": Decimal("0.02"),
            "net_revenue": Decimal("93.0093"),
        }
    ]


def test_facts_wait_for_their_order_and_their_customer(tmp_path: Path) -> None:
    columns = ("order_key", "order_date", "ship_priority", "dim_customer_id", "net_revenue")

    def facts() -> list[tuple[object, ...]]:
        return picked(tables_of(tmp_path)["gold.fact_sales"], *columns)

    land(tmp_path, "lineitem", "a.csv", 0, item(1))
    assert facts() == [(1, None, None, None, Decimal(95))]
    land(tmp_path, "orders", "a.csv", 1, order(1, 7))
    assert facts() == [(1, date(1996, 1, 2), 0, None, Decimal(95))]
    land(tmp_path, "customer", "a.csv", 2, customer(7))
    assert facts() == [(1, date(1996, 1, 2), 0, version_name(7, at(2)), Decimal(95))]


def test_a_fact_has_the_version_that_held_as_the_orders_day_began(tmp_path: Path) -> None:
    # NOON is on 2024-03-01: versions begin on the 1st, the 2nd and the 3rd at noon.
    for number, street in enumerate(("First Street", "Second Street", "Third Street")):
        land(tmp_path, "customer", f"{number}.csv", 24 * number, customer(7, address=street))
    days = ("1996-01-02", "2024-03-01", "2024-03-02", "2024-03-03", "2024-03-04", "2030-01-01")
    land(tmp_path, "orders", "a.csv", 0, *(order(key, 7, day) for key, day in enumerate(days)))
    land(tmp_path, "lineitem", "a.csv", 0, *(item(key) for key in range(len(days))))
    first, second, third = (version_name(7, at(24 * number)) for number in range(3))
    expected = [first, first, first, second, third, third]
    assert [row["dim_customer_id"] for row in tables_of(tmp_path)["gold.fact_sales"]] == expected


def test_a_version_that_begins_at_midnight_holds_for_that_days_orders(tmp_path: Path) -> None:
    land(tmp_path, "customer", "a.csv", 0, customer(7))
    land(tmp_path, "customer", "b.csv", 12, customer(7, address="Elm Street"))
    land(tmp_path, "orders", "a.csv", 0, order(1, 7, "2024-03-02"))
    land(tmp_path, "lineitem", "a.csv", 0, item(1))
    assert [row["dim_customer_id"] for row in tables_of(tmp_path)["gold.fact_sales"]] == [version_name(7, at(12))]


def test_orders_and_line_items_are_as_they_landed_last(tmp_path: Path) -> None:
    land(tmp_path, "orders", "a.csv", 0, order(1, 7), order(2, 7))
    land(tmp_path, "orders", "b.csv", 1, order(1, 8, "1996-01-03"))
    land(tmp_path, "lineitem", "a.csv", 0, item(1, 1), item(1, 2))
    land(tmp_path, "lineitem", "b.csv", 1, item(1, 2, price="200.00"))
    tables = tables_of(tmp_path)
    assert picked(
        tables["silver.orders"], "o_orderkey", "o_custkey", "o_orderdate", "source_filename", "date_added"
    ) == [
        (1, 8, date(1996, 1, 3), "b.csv", at(1)),
        (2, 7, date(1996, 1, 2), "a.csv", at(0)),
    ]
    assert picked(tables["silver.lineitem"], "l_linenumber", "l_extendedprice", "source_filename") == [
        (1, Decimal(100), "a.csv"),
        (2, Decimal(200), "b.csv"),
    ]
    assert picked(tables["gold.fact_sales"], "line_number", "extended_price", "order_date") == [
        (1, Decimal(100), date(1996, 1, 3)),
        (2, Decimal(200), date(1996, 1, 3)),
    ]


def test_refused_rows_are_in_quarantine_as_they_stand_and_change_nothing(tmp_path: Path) -> None:
    land(tmp_path, "customer", "a.csv", 0, customer(1))
    land(tmp_path, "customer", "b.csv", 1, customer(1, address="Elm Street", balance="much"), "2,Anna")
    land(tmp_path, "lineitem", "c.csv", 1, item("", 1))
    tables = tables_of(tmp_path)
    assert picked(tables[QUARANTINE], "source_filename", "row", "reasons") == [
        ("b.csv", customer(1, address="Elm Street", balance="much"), ["c_acctbal_unfit"]),
        ("b.csv", "2,Anna", ["malformed"]),
        ("c.csv", item("", 1), ["l_orderkey_missing"]),
    ]
    assert picked(tables["gold.dim_customer"], *SPAN) == [(1, "Main Street", at(0), None, True)]
    assert tables["gold.fact_sales"] == []


def test_without_files_there_are_no_rows(tmp_path: Path) -> None:
    assert all(rows == [] for rows in tables_of(tmp_path).values())
