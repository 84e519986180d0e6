from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from music_lakehouse.lakehouse import records
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.query import query
from music_lakehouse.lakehouse.records import append_records, read_records, replace_records
from music_lakehouse.lakehouse.tables import Column, Table

pytestmark = pytest.mark.thorough

NOTES = Table(
    layer="metrics",
    name="notes",
    description="",
    columns=(
        Column("topic", "STRING", ""),
        Column("n", "BIGINT", ""),
        Column("part", "INT", ""),
        Column("share", "DOUBLE", ""),
        Column("good", "BOOLEAN", ""),
        Column("at", "TIMESTAMP", ""),
    ),
    key=("topic", "n"),
    partition_by=("topic",),
)
NOW = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def lake(tmp_path: Path) -> LakePaths:
    return LakePaths(str(tmp_path))


def note(topic: str, n: int | None) -> dict[str, object]:
    return {"topic": topic, "n": n, "part": 1, "share": 0.5, "good": True, "at": NOW}


def test_records_come_back_as_they_were_written(lake: LakePaths) -> None:
    assert read_records(lake, NOTES) == []
    append_records(lake, NOTES, [note("a", 1), note("a", None)])
    append_records(lake, NOTES, [note("b", 2)])
    append_records(lake, NOTES, [])
    found = sorted(read_records(lake, NOTES), key=str)
    assert found == sorted([note("a", 1), note("a", None), note("b", 2)], key=str)
    state = lake.state(NOTES)
    assert state is not None
    assert state.version == 1


def test_a_partition_is_replaced_without_touching_the_others(lake: LakePaths) -> None:
    replace_records(lake, NOTES, [note("it's", 1)], partition="it's")
    replace_records(lake, NOTES, [note("b", 2)], partition="b")
    replace_records(lake, NOTES, [note("it's", 3), note("it's", 4)], partition="it's")
    assert sorted(row["n"] for row in read_records(lake, NOTES, partition="it's")) == [3, 4]
    replace_records(lake, NOTES, [], partition="it's")
    assert read_records(lake, NOTES, partition="it's") == []
    assert read_records(lake, NOTES) == [note("b", 2)]


def test_a_table_whose_comments_are_worded_otherwise_by_now_takes_more_records(lake: LakePaths) -> None:
    append_records(lake, NOTES, [note("a", 1)])
    reworded = replace(NOTES, columns=tuple(replace(column, comment="worded otherwise") for column in NOTES.columns))

    append_records(lake, reworded, [note("a", 2)])
    replace_records(lake, reworded, [note("a", 3)], partition="a")

    assert read_records(lake, NOTES) == [note("a", 3)]


@pytest.mark.slow
def test_the_log_has_an_hour_and_all_rows_are_there(lake: LakePaths) -> None:
    for n in range(110):
        append_records(lake, NOTES, [note("a", n)])
    log = Path(lake.path(NOTES), "_delta_log")
    for file in log.iterdir():
        os.utime(file, (time.time() - 7200,) * 2)
    reading = lake.open(NOTES)
    for n in range(110, 210):
        append_records(lake, NOTES, [note("a", n)])

    assert len(list(log.glob("*.json"))) < 130
    assert sorted(row["n"] for row in read_records(lake, NOTES)) == list(range(210))
    assert reading is not None
    reading.update_incremental()
    assert reading.count() == 210, "who opened it long ago comes to the newest version too"


def test_a_table_that_is_there_stays_partitioned_as_it_is(lake: LakePaths) -> None:
    append_records(lake, replace(NOTES, partition_by=()), [note("a", 1)])
    append_records(lake, NOTES, [note("b", 2)])

    assert query(lake, "SELECT n, topic FROM {notes} ORDER BY n", notes=NOTES).to_pylist() == [
        {"n": 1, "topic": "a"},
        {"n": 2, "topic": "b"},
    ]


def test_small_files_are_made_one_and_what_is_large_is_not_written_again(
    lake: LakePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_records(lake, NOTES, [note("a", n) for n in range(5000)])
    (large,) = Path(lake.path(NOTES)).glob("*/*.parquet")
    monkeypatch.setattr(records, "VERSIONS_A_FILE", 5)
    monkeypatch.setattr(records, "FILE_BYTES", large.stat().st_size - 1)
    for n in range(5):
        append_records(lake, NOTES, [note("a", n)])

    notes = lake.open(NOTES)
    assert notes is not None
    files = [Path(file).name for file in notes.file_uris()]
    assert (len(files), large.name in files, notes.count()) == (2, True, 5005)
