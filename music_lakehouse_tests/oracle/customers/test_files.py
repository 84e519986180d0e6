from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from music_lakehouse_tests.oracle.coercion import UnfitValueError
from music_lakehouse_tests.oracle.customers.examples import HEADERS, at, customer, item, land, land_content, order
from music_lakehouse_tests.oracle.customers.files import landed_files, records
from music_lakehouse_tests.oracle.customers.schema import SOURCES, day, money


def refusals(root: Path, table: str = "customer") -> list[list[str]]:
    """The reasons of each row of the files, in order."""
    files, _ = landed_files(root / "customers" / table, {})
    return [record.reasons for file in files for record in records(file, SOURCES[table])]


def column(root: Path, name: str, table: str = "customer") -> list[object]:
    files, _ = landed_files(root / "customers" / table, {})
    return [record.row[name] for file in files for record in records(file, SOURCES[table])]


def test_files_are_in_the_order_of_their_times_then_their_names(tmp_path: Path) -> None:
    for name, hours in (("c", 1), ("b", 2), ("a", 2)):
        land(tmp_path, "customer", f"{name}.csv", hours, customer(name))
    files, _ = landed_files(tmp_path / "customers" / "customer", {"a.csv": at(9)})
    assert [(file.path.name, file.date_added) for file in files] == [
        ("c.csv", at(1)),
        ("a.csv", at(9)),
        ("b.csv", at(2)),
    ]


def test_content_that_was_loaded_before_under_another_name_is_not_loaded_again(tmp_path: Path) -> None:
    for name, hours, key in (("z", 1, 1), ("y", 2, 2), ("x", 3, 1)):
        land(tmp_path, "customer", f"{name}.csv", hours, customer(key))
    files, repeated = landed_files(tmp_path / "customers" / "customer", {})
    assert [file.path.name for file in files] == ["z.csv", "y.csv"]
    assert [path.name for path in repeated] == ["x.csv"]


def test_rows_are_typed_and_what_is_empty_is_missing(tmp_path: Path) -> None:
    land(tmp_path, "customer", "a.csv", 0, customer(7, address="", balance=" -0.5 "))
    [file], _ = landed_files(tmp_path / "customers" / "customer", {})
    [record] = records(file, SOURCES["customer"])
    assert record.reasons == []
    assert record.row == {
        "c_custkey": 7,
        "c_name": "Customer#7",
        "c_address": None,
        "c_nationkey": 3,
        "c_phone": "13-100",
        "c_acctbal": Decimal("-0.50"),
        "c_mktsegment": "BUILDING",
        "c_comment": "quiet",
    }


def test_columns_may_stand_in_another_order_and_case_and_others_beside_them(tmp_path: Path) -> None:
    header = "new,C_Comment,c_mktsegment,c_acctbal,c_phone,c_nationkey,c_address,c_name, c_custkey "
    land(tmp_path, "customer", "a.csv", 0, "x,quiet,BUILDING,1.5,13,3,Main Street,Anna,7", header=f"\ufeff{header}")
    assert refusals(tmp_path) == [[]]
    assert column(tmp_path, "c_custkey") == [7]
    assert column(tmp_path, "c_comment") == ["quiet"]


def test_commas_quotes_and_newlines_may_stand_in_quotes(tmp_path: Path) -> None:
    addresses = ('"1, ""Main"" Street"', '"two\n\nlines, ""\r\nthree"', "back\\slash")
    land(tmp_path, "customer", "a.csv", 0, *(customer(key, address=text) for key, text in enumerate(addresses)))
    assert refusals(tmp_path) == [[], [], []]
    assert column(tmp_path, "c_address") == ['1, "Main" Street', 'two\n\nlines, "\r\nthree', "back\\slash"]


def test_lines_may_end_as_on_windows_or_not_at_all_and_blank_ones_are_no_rows(tmp_path: Path) -> None:
    text = f"{HEADERS['customer']}\r\n\r\n{customer(1)}\r\n   \r\n{customer(2)}"
    land_content(tmp_path, "customer", "a.csv", 0, text)
    assert refusals(tmp_path) == [[], []]
    assert column(tmp_path, "c_comment") == ["quiet", "quiet"]


@pytest.mark.parametrize("content", ["", "\n\n", HEADERS["customer"], f"{HEADERS['customer']}\n"])
def test_a_file_without_rows_has_none(content: str, tmp_path: Path) -> None:
    land_content(tmp_path, "customer", "a.csv", 0, content)
    assert refusals(tmp_path) == []


def test_a_row_that_is_cut_or_too_long_is_malformed_and_the_others_are_not(tmp_path: Path) -> None:
    land(
        tmp_path, "customer", "a.csv", 0, customer(1), f"{customer(2)},surplus", "3,Anna", customer(4), customer(5)[:-9]
    )
    assert refusals(tmp_path) == [[], ["malformed"], ["malformed"], [], ["malformed"]]


def test_a_quote_that_is_never_closed_makes_what_follows_malformed(tmp_path: Path) -> None:
    text = f"{HEADERS['customer']}\n{customer(1)}\n" + customer(2, address='"cut')
    land_content(tmp_path, "customer", "a.csv", 0, text)
    assert refusals(tmp_path) == [[], ["malformed"]]


def test_a_column_that_the_file_lacks_is_missing_in_every_row(tmp_path: Path) -> None:
    header = HEADERS["customer"].removesuffix(",c_comment")
    lines = (customer(key).removesuffix(",quiet") for key in (1, ""))
    land(tmp_path, "customer", "a.csv", 0, *lines, header=header)
    assert refusals(tmp_path) == [["c_comment_missing"], ["c_custkey_missing", "c_comment_missing"]]


def test_a_row_is_refused_for_every_value_that_is_missing_or_does_not_fit(tmp_path: Path) -> None:
    land(tmp_path, "customer", "a.csv", 0, customer("x", balance="n/a"), customer("", balance="1.505"))
    land(tmp_path, "orders", "a.csv", 0, order("", "", ""), order(1, "1.5", "1996-02-30"), order(2, 3, priority=""))
    land(tmp_path, "lineitem", "a.csv", 0, item("", ""), item(1, price="12.50x", discount=""))
    assert refusals(tmp_path) == [["c_custkey_unfit", "c_acctbal_unfit"], ["c_custkey_missing", "c_acctbal_unfit"]]
    assert refusals(tmp_path, "orders") == [
        ["o_orderkey_missing", "o_custkey_missing", "o_orderdate_missing"],
        ["o_custkey_unfit", "o_orderdate_unfit"],
        [],
    ]
    assert refusals(tmp_path, "lineitem") == [
        ["l_orderkey_missing", "l_linenumber_missing"],
        ["l_extendedprice_unfit", "l_discount_missing"],
    ]


@pytest.mark.parametrize("value", ["0.001", "1e13", "10000000000000", "nan", "1_0", "", "٣"])
def test_what_is_no_amount_of_fifteen_digits_does_not_fit(value: str) -> None:
    with pytest.raises(UnfitValueError):
        money(value)


def test_amounts_have_two_digits_behind_the_point() -> None:
    assert str(money("9999999999999.99")) == "9999999999999.99"
    assert str(money("-5")) == "-5.00"
    assert str(money("0.100")) == "0.10"


@pytest.mark.parametrize("value", ["1996-1-2", "19960102", "1996-02-30", "02/01/1996", "1996-01-02T00:00"])
def test_what_is_no_iso_date_does_not_fit(value: str) -> None:
    with pytest.raises(UnfitValueError):
        day(value)
