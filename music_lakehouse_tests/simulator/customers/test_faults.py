from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from music_lakehouse.simulator.customers.faults import (
    FAULTS,
    NO_DATES,
    NO_NUMBERS,
    Faults,
    drop_column,
    empty,
    truncate,
)
from music_lakehouse.simulator.customers.tpch import COLUMNS

ROWS = {
    "customer": "7,Anna,Main Street 1,3,13-100,711.56,BUILDING,regular deposits",
    "orders": "1,7,O,100.00,1996-02-28,1-URGENT,Clerk#1,0,regular deposits",
    "lineitem": "1,2,3,1,5,50.00,0.05,0.02,N,O,1996-03-10,1996-03-11,1996-03-12,NONE,RAIL,regular deposits",
}


def faulty(table: str, fault: str, seed: int = 1) -> list[str]:
    row = ROWS[table].split(",")
    return FAULTS[fault].change(row, table, COLUMNS[table], Random(seed))


def differing(table: str, row: list[str]) -> dict[str, str]:
    """The values that aren't the clean row's, by column."""
    clean = zip(COLUMNS[table], ROWS[table].split(","), row, strict=True)
    return {column: after for column, before, after in clean if before != after}


@pytest.mark.parametrize("table", COLUMNS)
def test_keys_are_missing_or_no_numbers(table: str) -> None:
    key = COLUMNS[table][0]
    assert differing(table, faulty(table, "missing_key")) == {key: ""}
    [(column, value)] = differing(table, faulty(table, "bad_key")).items()
    assert (column, value in NO_NUMBERS) == (key, True)


@pytest.mark.parametrize("table", COLUMNS)
def test_every_number_of_use_may_be_none(table: str) -> None:
    rows = [differing(table, faulty(table, "bad_number", seed)) for seed in range(100)]
    assert {value for row in rows for value in row.values()} == set(NO_NUMBERS)
    assert all(len(row) == 1 for row in rows)
    expected = {"customer": 2, "orders": 3, "lineitem": 5}
    assert len({column for row in rows for column in row}) == expected[table]


@pytest.mark.parametrize("table", ["orders", "lineitem"])
def test_dates_may_be_none(table: str) -> None:
    [(column, value)] = differing(table, faulty(table, "bad_date")).items()
    assert column.endswith("date")
    assert value in NO_DATES


@pytest.mark.parametrize("table", COLUMNS)
@pytest.mark.parametrize(("fault", "held"), [("quotes", '"'), ("newlines", "\n")])
def test_comments_with_quotes_and_newlines_survive_a_csv_file(
    table: str, fault: str, held: str, tmp_path: Path
) -> None:
    row = faulty(table, fault)
    assert list(differing(table, row)) == [COLUMNS[table][-1]]
    assert held in row[-1]
    with (tmp_path / "file.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(row)
    with (tmp_path / "file.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [row]


@pytest.mark.parametrize("table", COLUMNS)
def test_rows_have_too_few_fields_or_too_many(table: str) -> None:
    assert {len(faulty(table, "too_few_fields", seed)) for seed in range(200)} == set(range(1, len(COLUMNS[table])))
    assert len(faulty(table, "too_many_fields")) == len(COLUMNS[table]) + 1


def test_the_share_of_faulty_rows_is_as_asked_and_each_has_one(seed: int) -> None:
    print(f"seed {seed}")
    clean = ROWS["orders"].split(",")
    faults = Faults(0.1, "orders", COLUMNS["orders"], Random(seed))
    rows = [faults.applied(clean) for _ in range(5000)]
    assert 400 < sum(row != clean for row in rows) < 600
    assert Counter(len(row) for row in rows).keys() > {9, 10}
    assert all(Faults(0, "orders", COLUMNS["orders"], Random(seed)).applied(clean) == clean for _ in range(100))


def test_a_truncated_file_is_cut_in_its_second_half(tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    file = tmp_path / "file.csv"
    for number in range(50):
        file.write_text("0123456789" * 10)
        truncate(file, Random(f"{seed} {number}"))
        assert 50 <= file.stat().st_size < 100
        assert file.read_text() == ("0123456789" * 10)[: file.stat().st_size]


def test_a_column_is_dropped_from_header_and_rows(tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text('c_comment,c_mktsegment,c_custkey\n"a, ""b""\nc",BUILDING,7\n')
    drop_column(file, "customer")
    assert file.read_text() == 'c_comment,c_custkey\n"a, ""b""\nc",7\n'
    assert list(tmp_path.iterdir()) == [file]


def test_an_empty_file_has_no_byte(tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text("c_custkey\n7\n")
    empty(file)
    assert file.read_bytes() == b""
