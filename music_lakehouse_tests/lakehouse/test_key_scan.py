from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
import pytest

from music_lakehouse.lakehouse.database import DatabaseError
from music_lakehouse.lakehouse.key_scan import compare_keys, scan_keys
from music_lakehouse.lakehouse.landing import DELETED, EXTRACTED_AT, Landing
from music_lakehouse.lakehouse.sql_source import extract
from music_lakehouse_tests.lakehouse.sources import USERS, Source, known, landed, names, newest

pytestmark = pytest.mark.thorough

MON, TUE, WED = "2024-01-01 12:00:00", "2024-01-02 12:00:00", "2024-01-03 12:00:00"
NOON = datetime(2024, 1, 1, 12)


def compared(known: pa.Table, present: pa.Table, *, watermark: str | None = "at") -> tuple[list[Any], list[Any]]:
    found = compare_keys(known, present, key="id", watermark=watermark)
    return found.deleted.to_pylist(), found.outdated.to_pylist()


def test_keys_that_are_gone_are_deleted_and_those_unknown_or_of_another_time_are_outdated() -> None:
    known = pa.table({"id": [1, 2, 3], "at": [NOON, NOON, NOON]})
    present = pa.table({"id": [2, 3, 4], "at": [MON, "2023-12-31 12:00:00", MON]})

    assert compared(known, present) == ([1], [3, 4])


def test_times_are_compared_whatever_their_type() -> None:
    zoned = pa.array([NOON] * 4, pa.timestamp("us", tz="UTC"))
    known = pa.table({"id": [1, 2, 3, 4], "at": zoned})
    present = pa.table(
        {
            "id": ["1", "2", "3", "4"],
            "at": [
                "2024-01-01T12:00:00",
                "2024-01-01 14:00:00+02:00",
                "2024-01-01 12:00:00.000",
                "2024-01-01 12:00:00.001",
            ],
        }
    )

    assert compared(known, present) == ([], ["4"])


def test_a_time_that_is_none_is_no_time() -> None:
    known = pa.table({"id": [1, 2, 3], "at": pa.array([None, None, NOON], pa.timestamp("us"))})
    present = pa.table({"id": [1, 2, 3], "at": ["never", None, None]})

    assert compared(known, present) == ([], [3])


def test_without_a_watermark_only_keys_are_compared_and_a_missing_key_is_none() -> None:
    known = pa.table({"id": [1, 2, None]})
    present = pa.table({"id": [2, None, 3]})

    assert compared(known, present, watermark=None) == ([1], [3])


def test_nothing_known_and_nothing_there_differ_in_nothing() -> None:
    empty = pa.table({"id": pa.array([], pa.int64()), "at": pa.array([], pa.string())})

    assert compared(empty, empty) == ([], [])


def test_a_deleted_row_lands_as_its_key_and_the_time_of_its_discovery(source: Source, landing: Landing) -> None:
    source.put((1, "Ann", MON), (2, "Bob", TUE))
    extract(source.database, USERS, landing)
    before = newest(landing, "user_id")
    source.run('DELETE FROM "DimUser" WHERE user_id = 1')
    at = datetime(2100, 1, 1, tzinfo=timezone.utc)
    scanned = scan_keys(source.database, USERS, landing, known(before, USERS), now=at)

    assert (scanned.keys, scanned.deleted, scanned.outdated) == (1, 1, 0)
    [row] = list(landed(landing))[-1]
    assert (row["user_id"], row["user_name"], row["updated_at"]) == (1, None, None)
    assert (row[DELETED], row[EXTRACTED_AT]) == (True, at)
    assert newest(landing, "user_id").keys() == {2}


def test_a_row_that_comes_back_lands_again(source: Source, landing: Landing) -> None:
    source.put((1, "Ann", MON), (2, "Bob", TUE))
    extract(source.database, USERS, landing)
    before = newest(landing, "user_id")
    source.run('DELETE FROM "DimUser" WHERE user_id = 1')
    scan_keys(source.database, USERS, landing, known(before, USERS))
    source.put((1, "Ann", MON))
    extract(source.database, USERS, landing)

    assert newest(landing, "user_id") == source.rows(USERS)


def test_a_clock_that_went_back_is_caught(source: Source, landing: Landing) -> None:
    source.put((1, "Ann", MON), (2, "Bob", WED))
    extract(source.database, USERS, landing)
    source.put((2, "Bobby", "2023-01-01 00:00:00"))
    assert extract(source.database, USERS, landing).landed == 0
    scan_keys(source.database, USERS, landing, known(newest(landing, "user_id"), USERS))

    assert names(landing) == [["Ann", "Bob"], ["Bobby"]]
    assert scan_keys(source.database, USERS, landing, known(newest(landing, "user_id"), USERS)).files == 0


def test_a_scan_moves_nothing_of_what_the_next_extraction_finds(source: Source, landing: Landing) -> None:
    source.put((1, "Ann", MON))
    extract(source.database, USERS, landing)
    before = landing.position()
    source.put((2, "Bob", WED), (3, "Cid", TUE))
    scan_keys(source.database, USERS, landing, known({}, USERS))
    after = landing.position()

    assert after == before
    assert extract(source.database, USERS, landing).landed == 0
    assert newest(landing, "user_id") == source.rows(USERS)


def test_a_scan_before_the_first_extraction_takes_nothing_from_it(source: Source, landing: Landing) -> None:
    source.put((1, "Ann", MON), (2, "Bob", WED))
    rows = source.rows(USERS)
    source.put((3, "Cid", TUE))
    scan_keys(source.database, USERS, landing, known(rows, USERS))
    extract(source.database, USERS, landing)

    assert names(landing) == [["Cid"], ["Ann", "Bob"]]


def test_an_empty_table_closes_rows_only_where_that_is_meant(source: Source, landing: Landing) -> None:
    source.put((1, "Ann", MON))
    rows = known(source.rows(USERS), USERS)
    source.run('DELETE FROM "DimUser"')
    with pytest.raises(DatabaseError, match="DimUser: the table is empty while 1 of its rows are known") as caught:
        scan_keys(source.database, USERS, landing, rows)

    assert not caught.value.retriable
    assert landing.files() == []
    assert scan_keys(source.database, USERS, landing, rows, allow_empty=True).deleted == 1


def test_many_outdated_rows_are_fetched(source: Source, landing: Landing) -> None:
    source.put(*((n, f"user {n}", MON) for n in range(1, 1202)))

    assert scan_keys(source.database, USERS, landing, known({}, USERS)).outdated == 1201
    assert newest(landing, "user_id") == source.rows(USERS)
