from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pyarrow as pa
import pyarrow.parquet as pq

from music_lakehouse.lakehouse.landing import DELETED, EXTRACTED_AT, Landing, Load, Position

COLUMNS = pa.schema([("id", pa.int64()), ("name", pa.string())])
NOW = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)
NOON, EVENING = datetime(2024, 1, 1, 12), datetime(2024, 1, 1, 18)


def rows(*ids: int) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.int64())})


def load(landing: Landing, *, now: datetime = NOW, full: bool = False, rows_a_file: int = 100) -> Load:
    position = None if full else landing.position()
    return Load(landing, COLUMNS, source="here", position=position, now=now, rows_a_file=rows_a_file)


def test_a_directory_that_is_not_there_has_nothing(landing: Landing) -> None:
    assert (landing.files(), landing.position(), landing.columns(), list(landing.files_since(None))) == (
        *([], None, None),
        [],
    )


def test_rows_land_with_their_marks_and_the_position_after_them(landing: Landing) -> None:
    with load(landing) as loading:
        loading.add(rows(1, 2), seen=NOON)
        loading.add(rows(3), seen=EVENING)
    [file] = landing.files()

    assert file.name == "20240101T120000000000Z-00000.parquet"
    assert landing.position() == Position("here", EVENING, file.name)
    assert landing.columns() == COLUMNS
    assert pq.read_table(file).drop_columns(["_rescued_data"]).to_pylist() == [
        {"id": number, "name": None, DELETED: False, EXTRACTED_AT: NOW} for number in (1, 2, 3)
    ]


def test_files_appear_one_by_one_each_with_what_was_seen_by_then(landing: Landing) -> None:
    with load(landing, rows_a_file=2) as loading:
        loading.add(rows(1, 2), seen=NOON)
        assert len(landing.files()) == 1
        loading.add(rows(3), seen=EVENING)
        assert len(landing.files()) == 1
        between = landing.position()

    assert between is not None
    assert between.high_watermark == NOON
    assert len(landing.files()) == 2


def test_a_load_that_fails_leaves_its_whole_files_and_nothing_else(landing: Landing) -> None:
    with suppress(pa.ArrowInvalid), load(landing, rows_a_file=2) as loading:
        loading.add(rows(1, 2), seen=NOON)
        loading.add(rows(3), seen=EVENING)
        loading.add(pa.table({"id": ["no number"]}))

    assert list(landing.directory.iterdir()) == landing.files()
    assert [pq.read_metadata(file).num_rows for file in landing.files()] == [2]


def test_a_load_of_nothing_leaves_nothing(landing: Landing) -> None:
    with load(landing) as loading:
        loading.add(rows(), seen=NOON)

    assert landing.files() == []


def test_later_loads_sort_later_also_where_the_clock_went_back(landing: Landing) -> None:
    times = []
    for hours in (0, -5, -5, 1):
        with load(landing, now=NOW + timedelta(hours=hours)) as loading:
            loading.add(rows(hours))
        times.append(loading.started_at)

    assert times == sorted(set(times))
    assert [pq.read_table(file)["id"][0].as_py() for file in landing.files()] == [0, -5, -5, 1]


def test_a_position_never_goes_back(landing: Landing) -> None:
    for seen in (EVENING, NOON, None):
        with load(landing) as loading:
            loading.add(rows(1), seen=seen)

    position = landing.position()
    assert position is not None
    assert position.high_watermark == EVENING


def test_the_files_since_a_time_are_those_that_may_hold_it_after_the_last_full_load(landing: Landing) -> None:
    for day, (full, loose) in enumerate([(True, False), (True, False), (False, True), (False, False), (False, False)]):
        with load(landing, full=full, now=NOW + timedelta(days=day)) as loading:
            loading.add(rows(day), seen=NOON + timedelta(days=day), loose=loose)

    def days(low: datetime | None) -> list[int]:
        return [pq.read_table(file)["id"][0].as_py() for file in landing.files_since(low)]

    assert days(None) == [4, 3, 2, 1]
    assert days(NOON + timedelta(days=4)) == [4, 2]
    assert days(EVENING + timedelta(days=2)) == [4, 3, 2]
