from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from music_lakehouse_tests.oracle.compare import (
    assert_lake_equals_oracle,
    differences,
    messages_from_raw,
    read_lake,
)
from music_lakehouse_tests.oracle.examples import NOWHERE, at, random_messages
from music_lakehouse_tests.oracle.lake import read_table
from music_lakehouse_tests.oracle.tables import tables_of
from music_lakehouse_tests.oracle.values import Row, Tables

MESSAGES = random_messages(1, 300)


def write(root: Path, tables: Tables) -> None:
    for name, rows in tables.items():
        write_deltalake(str(root.joinpath(*name.split("."))), pa.Table.from_pylist(rows), mode="overwrite")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lake")
    write(root, tables_of(MESSAGES, NOWHERE, NOWHERE))
    return root


def test_a_lake_that_holds_the_oracles_tables_equals_it(lake: Path) -> None:
    assert_lake_equals_oracle(lake, MESSAGES, NOWHERE)


def test_a_lake_is_read_back_as_it_was_written(lake: Path) -> None:
    expected = tables_of(MESSAGES, NOWHERE, NOWHERE)
    actual = read_lake(lake)
    assert actual.keys() == expected.keys()
    assert actual["silver.dim_users"] == expected["silver.dim_users"]


def test_messages_come_back_from_the_raw_tables(lake: Path) -> None:
    assert sorted(messages_from_raw(lake)) == sorted(MESSAGES)


def test_a_lake_with_a_wrong_cell_and_a_lost_message_fails_by_name(lake: Path) -> None:
    users = read_table(lake, "silver.dim_users")
    users[0]["level"] = "gold"
    damaged = {"silver.dim_users": users, "bronze.quarantine": read_table(lake, "bronze.quarantine")[1:]}
    try:
        write(lake, damaged)
        with pytest.raises(AssertionError) as failure:
            assert_lake_equals_oracle(lake, MESSAGES, NOWHERE)
        assert f"userKey={users[0]['userKey']}: level: expected" in str(failure.value)
        assert "bronze.quarantine" in str(failure.value)
        assert_lake_equals_oracle(lake, MESSAGES, NOWHERE, ["gold.fact_streams"])
    finally:
        write(lake, tables_of(MESSAGES, NOWHERE, NOWHERE))


def test_a_table_that_is_not_there_is_missing_every_row(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"silver\.dim_songs: 0 rows.*\n +songKey=\w+: missing"):
        assert_lake_equals_oracle(tmp_path, MESSAGES, NOWHERE, ["silver.dim_songs"])


def test_differences_name_the_key_the_column_and_both_values() -> None:
    expected: list[Row] = [{"id": 1, "name": "a", "when": at(0)}, {"id": 2, "name": None, "when": None}]
    actual: list[Row] = [{"id": 1, "name": "b", "when": at(1)}, {"id": 3, "name": None, "when": None}]
    assert differences(expected, actual, ["id"]) == [
        "id=1: name: expected 'a', got 'b'",
        f"id=1: when: expected {at(0)!r}, got {at(1)!r}",
        "id=2: missing",
        "id=3: not expected",
    ]


def test_nothing_is_equal_to_missing_and_doubles_are_nearly_equal() -> None:
    assert differences([{"id": 1, "x": 1e6}], [{"id": 1, "x": 1e6 + 1e-4, "extra": 1}], ["id"]) == []
    assert differences([{"id": 1, "x": 1.0}], [{"id": 1, "x": 1.0 + 1e-6}], ["id"]) != []
    assert differences([{"id": 1, "x": 1.0}], [{"id": 1, "x": 1.0 + 1e-6}], ["id"], float_tolerance=1e-3) == []
    pairs: list[tuple[Row, Row]] = [
        ({"id": 1, "x": None}, {"id": 1, "x": 0}),
        ({"id": 1, "x": ""}, {"id": 1, "x": None}),
        ({"id": 1, "x": 0.0}, {"id": 1, "x": None}),
        ({"id": 1, "x": float("nan")}, {"id": 1, "x": 0.0}),
    ]
    for expected, actual in pairs:
        assert len(differences([expected], [actual], ["id"])) == 1


def test_a_key_that_comes_too_often_and_a_missing_column_are_told() -> None:
    row: Row = {"id": None, "x": 1}
    assert differences([row], [row, row], ["id"]) == ["id=None: expected 1 rows, got 2"]
    assert differences([row], [{"id": None}], ["id"]) == ["column x: missing"]
    assert differences([row], [{"x": 1}], ["id"]) == ["column id: missing"]


def test_only_the_first_twenty_differences_are_told() -> None:
    found = differences([{"id": number} for number in range(50)], [], ["id"])
    assert (len(found), found[-1]) == (21, "... and 30 more")
    assert len(differences([], [{"id": number} for number in range(20)], ["id"])) == 20
