from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from music_lakehouse.lakehouse.csv_rows import csv_rows
from music_lakehouse.lakehouse.file_ingest import (
    FILE_COLUMNS,
    FILE_KEY,
    FileSource,
    Ingested,
    UnreadableFileError,
    ingest_files,
    waiting_files,
)
from music_lakehouse.lakehouse.file_ledger import FILES, LOADED, REPEATED, UNREADABLE, read_files, record_files
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.parquet_rows import parquet_rows
from music_lakehouse.lakehouse.tables import Column, Table

SHOPS = Table(
    layer="bronze",
    name="shops_raw",
    description="One row a line of a file.",
    columns=(Column("id", "STRING", "the shop"), Column("city", "STRING", "where it is"), *FILE_COLUMNS),
    key=FILE_KEY,
)
SOURCE = FileSource(SHOPS, "shops", "*.csv", partial(csv_rows, columns=("id", "city")))
NOON = datetime(2024, 3, 1, 12, tzinfo=timezone.utc)


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake without Spark: taking files needs none."""
    return Lake(str(tmp_path / "lake"), cast(SparkSession, None))


def land(root: Path, name: str, hours: float, content: str) -> Path:
    path = root / "shops" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    seconds = (NOON + timedelta(hours=hours)).timestamp()
    os.utime(path, (seconds, seconds))
    return path


def taken(lake: Lake) -> list[tuple[Any, ...]]:
    """The table's rows in the order in which they are applied."""
    found = lake.open(SHOPS)
    rows = [] if found is None else found.to_pyarrow_table().to_pylist()
    rows.sort(key=lambda row: (row["date_added"], row["source_filename"], row["row_number"]))
    return [(row["source_filename"].removeprefix("shops/"), row["id"], row["city"]) for row in rows]


def version(lake: Lake) -> int:
    state = lake.state(SHOPS)
    return -1 if state is None else state.version


def test_files_are_taken_once_in_the_order_in_which_they_landed(lake: Lake, tmp_path: Path) -> None:
    land(tmp_path, "b.csv", 1, "id,city\n1,Oslo\n2,Rome\n")
    land(tmp_path, "c.csv", 0, "id,city\n3,Bern\n")
    land(tmp_path, "a.csv", 1, "id,city\n4,Kyiv\nbroken\n")
    land(tmp_path, ".d.csv", 1, "id,city\n5,Nice\n")
    land(tmp_path, "e.csv.tmp", 1, "id,city\n6,Lyon\n")

    report = ingest_files(lake, SOURCE, tmp_path)

    assert report.loaded == ["shops/c.csv", "shops/a.csv", "shops/b.csv"]
    assert (report.rows, report.rescued) == (5, 1)
    expected = [
        ("c.csv", "3", "Bern"),
        ("a.csv", "4", "Kyiv"),
        ("a.csv", None, None),
        ("b.csv", "1", "Oslo"),
        ("b.csv", "2", "Rome"),
    ]
    assert taken(lake) == expected
    before = version(lake)
    assert ingest_files(lake, SOURCE, tmp_path).loaded == []
    assert version(lake) == before
    land(tmp_path, "f.csv", 2, "id,city\n7,Graz\n")
    assert [file.name for file in waiting_files(lake, SOURCE, tmp_path)] == ["shops/f.csv"]
    assert ingest_files(lake, SOURCE, tmp_path).loaded == ["shops/f.csv"]
    assert taken(lake) == [*expected, ("f.csv", "7", "Graz")]
    assert waiting_files(lake, SOURCE, tmp_path) == []


def test_without_a_directory_there_is_an_empty_table(lake: Lake, tmp_path: Path) -> None:
    assert ingest_files(lake, SOURCE, tmp_path) == Ingested()
    assert taken(lake) == []


def test_a_content_that_was_loaded_under_another_name_is_recorded_and_not_loaded(lake: Lake, tmp_path: Path) -> None:
    land(tmp_path, "a.csv", 1, "id,city\n1,Oslo\n")
    land(tmp_path, "b.csv", 2, "id,city\n1,Oslo\n")
    report = ingest_files(lake, SOURCE, tmp_path)
    land(tmp_path, "c.csv", 3, "id,city\n1,Oslo\n")
    later = ingest_files(lake, SOURCE, tmp_path)

    assert (report.loaded, report.repeated, later.repeated) == (["shops/a.csv"], ["shops/b.csv"], ["shops/c.csv"])
    assert taken(lake) == [("a.csv", "1", "Oslo")]
    known = read_files(lake, SHOPS)
    assert {name: (file.state, file.same_as) for name, file in known.items()} == {
        "shops/a.csv": (LOADED, None),
        "shops/b.csv": (REPEATED, "shops/a.csv"),
        "shops/c.csv": (REPEATED, "shops/a.csv"),
    }


def test_where_a_source_repeats_a_content_is_taken_under_each_name(lake: Lake, tmp_path: Path) -> None:
    repeating = replace(SOURCE, repeats=True)
    for name in ("a.csv", "b.csv"):
        land(tmp_path, name, 1, "id,city\n1,Oslo\n")
    assert ingest_files(lake, repeating, tmp_path).loaded == ["shops/a.csv", "shops/b.csv"]
    assert taken(lake) == [("a.csv", "1", "Oslo"), ("b.csv", "1", "Oslo")]
    assert ingest_files(lake, repeating, tmp_path).rows == 0


def test_a_file_that_changed_after_it_was_read_is_reported_until_it_is_as_it_was(lake: Lake, tmp_path: Path) -> None:
    land(tmp_path, "a.csv", 1, "id,city\n1,Oslo\n")
    ingest_files(lake, SOURCE, tmp_path)

    land(tmp_path, "a.csv", 1, "id,city\n1,Oslo\n2,Rome\n")
    for _ in range(2):
        assert ingest_files(lake, SOURCE, tmp_path).changed == ["shops/a.csv"]
        assert taken(lake) == [("a.csv", "1", "Oslo")]
    assert "another name" in (read_files(lake, SHOPS)["shops/a.csv"].problem or "")
    land(tmp_path, "a.csv", 3, "id,city\n1,Oslo\n")
    assert ingest_files(lake, SOURCE, tmp_path).changed == [], "touched, with its old content"
    assert read_files(lake, SHOPS)["shops/a.csv"].problem is None
    assert taken(lake) == [("a.csv", "1", "Oslo")]


def test_a_file_that_cannot_be_read_is_recorded_and_the_others_are_taken(lake: Lake, tmp_path: Path) -> None:
    def read(content: bytes) -> pa.Table:
        if b"secret" in content:
            raise UnreadableFileError("it is secret")
        return SOURCE.read(content)

    source = FileSource(SHOPS, "shops", "*.csv", read)
    land(tmp_path, "a.csv", 1, "secret")
    land(tmp_path, "b.csv", 2, "id,city\n1,Oslo\n")
    (tmp_path / "shops" / "c.csv").symlink_to(tmp_path / "nowhere")
    (tmp_path / "shops" / "d.csv").mkdir()
    for _ in range(2):
        assert ingest_files(lake, source, tmp_path).unreadable == ["shops/a.csv"]
    record = read_files(lake, SHOPS)["shops/a.csv"]
    assert (record.state, record.problem) == (UNREADABLE, "it is secret")
    records = lake.open(FILES)
    assert records is not None
    assert records.count() == 2, "said once"
    assert waiting_files(lake, source, tmp_path) == []
    land(tmp_path, "a.csv", 3, "id,city\n2,Rome\n")
    assert ingest_files(lake, source, tmp_path).loaded == ["shops/a.csv"]
    assert taken(lake) == [("b.csv", "1", "Oslo"), ("a.csv", "2", "Rome")]


def test_a_file_that_grows_while_it_is_read_is_left_for_the_next_run(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = land(tmp_path, "a.csv", 1, "id,city\n1,Oslo\n")
    read_bytes = Path.read_bytes

    def and_write(self: Path) -> bytes:
        content = read_bytes(self)
        with path.open("a") as file:
            file.write("2,Rome\n")
        return content

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", and_write)
        assert ingest_files(lake, SOURCE, tmp_path).unfinished == ["shops/a.csv"]
    assert taken(lake) == []
    assert ingest_files(lake, SOURCE, tmp_path).loaded == ["shops/a.csv"]
    assert len(taken(lake)) == 2


@pytest.mark.parametrize("most_files", [1, 2, 9])
@pytest.mark.parametrize("at", range(7))
def test_killed_anywhere_and_run_again_each_file_is_there_once(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_files: int, at: int
) -> None:
    source = FileSource(SHOPS, "shops", "*.csv", SOURCE.read, most_files=most_files)
    for number in range(4):
        land(tmp_path, f"{number}.csv", number, f"id,city\n{number % 3},Oslo\n")
    steps = iter(range(99))

    def killing(function: Any, *, after: bool) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            if not after and next(steps) == at:
                raise Killed
            result = function(*arguments, **more)
            if after and next(steps) == at:
                raise Killed
            return result

        return call

    with monkeypatch.context() as patched:
        patched.setattr(Lake, "append_few", killing(Lake.append_few, after=True))
        patched.setattr("music_lakehouse.lakehouse.file_ingest.record_files", killing(record_files, after=False))
        try:
            ingest_files(lake, source, tmp_path)
        except Killed:
            print("killed")
    again = Lake(lake.root, lake.spark)
    ingest_files(again, source, tmp_path)
    assert taken(again) == [(f"{number}.csv", str(number), "Oslo") for number in range(3)]
    assert {file.state for file in read_files(again, SHOPS).values()} == {LOADED, REPEATED}
    assert all(file.digest for file in read_files(again, SHOPS).values())
    before = version(again)
    assert ingest_files(again, source, tmp_path) == Ingested()
    assert version(again) == before


def test_a_lost_ledger_is_told_again_by_the_rows(lake: Lake, tmp_path: Path) -> None:
    gone = land(tmp_path, "a.csv", 1, "id,city\n1,Oslo\n")
    land(tmp_path, "b.csv", 2, "id,city\n2,Rome\n3,Bern\n")
    changed = land(tmp_path, "c.csv", 3, "id,city\n4,Kyiv\n")
    ingest_files(lake, SOURCE, tmp_path)
    DeltaTable(lake.path(FILES)).delete()
    gone.unlink()
    changed.touch()
    land(tmp_path, "d.csv", 4, "id,city\n2,Rome\n3,Bern\n")

    report = ingest_files(Lake(lake.root, lake.spark), SOURCE, tmp_path)

    assert (report.loaded, report.repeated, report.changed) == ([], ["shops/d.csv"], ["shops/c.csv"])
    assert len(taken(lake)) == 4


def land_parquet(root: Path, name: str, hours: float, rows: dict[str, list[Any]]) -> None:
    content = pa.BufferOutputStream()
    pq.write_table(pa.table(rows), content)
    path = land(root, name, hours, "")
    path.write_bytes(content.getvalue())
    os.utime(path, ((NOON + timedelta(hours=hours)).timestamp(),) * 2)


def test_columns_may_come_go_and_change_their_types(lake: Lake, tmp_path: Path) -> None:
    table = Table(
        "bronze",
        "items_raw",
        "One row an item.",
        (Column("id", "BIGINT", "the item"), Column("price", "DOUBLE", "its price"), *FILE_COLUMNS),
        FILE_KEY,
    )
    source = FileSource(table, "shops", "*.parquet", parquet_rows, evolves=True)
    land_parquet(tmp_path, "a.parquet", 0, {"id": [1], "price": [1.5]})
    assert ingest_files(lake, source, tmp_path).new_columns == []
    land_parquet(tmp_path, "b.parquet", 1, {"id": [2], "price": [2.5], "colour": ["red"]})
    land_parquet(tmp_path, "c.parquet", 2, {"id": ["3", "four"], "colour": ["blue", None]})
    report = ingest_files(lake, source, tmp_path)
    assert (report.rows, report.rescued, report.new_columns) == (3, 1, ["colour"])
    found = lake.open(table)
    assert found is not None
    rows = found.to_pyarrow_table(columns=["id", "price", "colour", "_rescued_data"]).to_pylist()
    assert sorted((tuple(row.values()) for row in rows), key=str) == [
        (1, 1.5, None, None),
        (2, 2.5, "red", None),
        (3, None, "blue", None),
        (None, None, None, '{"id": "four"}'),
    ]
    assert ingest_files(Lake(lake.root, lake.spark), source, tmp_path) == Ingested()


def test_a_column_that_was_added_keeps_the_type_in_which_it_came_first(lake: Lake, tmp_path: Path) -> None:
    table = Table("bronze", "items_raw", "One row an item.", (Column("id", "BIGINT", ""), *FILE_COLUMNS), FILE_KEY)
    source = FileSource(table, "shops", "*.parquet", parquet_rows, evolves=True)
    land_parquet(tmp_path, "a.parquet", 0, {"id": [1], "size": [7]})
    land_parquet(tmp_path, "b.parquet", 1, {"id": [2], "size": ["8"]})
    ingest_files(lake, source, tmp_path)
    land_parquet(tmp_path, "c.parquet", 2, {"id": [3], "size": ["large"], "sold": [datetime(2024, 3, 1)]})
    land_parquet(tmp_path, "d.parquet", 3, {"id": [4], "size": [9]})
    land(tmp_path, "e.parquet", 4, "no Parquet")

    report = ingest_files(Lake(lake.root, lake.spark), source, tmp_path)

    assert (report.rescued, report.new_columns, report.unreadable) == (1, ["sold"], ["shops/e.parquet"])
    assert "no whole Parquet file" in (read_files(lake, table)["shops/e.parquet"].problem or "")
    found = lake.open(table)
    assert found is not None
    rows = found.to_pyarrow_table(columns=["id", "size", "sold", "_rescued_data"]).to_pylist()
    assert sorted(tuple(row.values()) for row in rows) == [
        (1, 7, None, None),
        (2, 8, None, None),
        (3, None, datetime(2024, 3, 1, tzinfo=timezone.utc), '{"size": "large"}'),
        (4, 9, None, None),
    ]


@pytest.mark.slow
def test_a_file_of_a_million_rows_is_taken(lake: Lake, tmp_path: Path) -> None:
    land(tmp_path, "a.csv", 0, "id,city\n" + "".join(f'{number},"Oslo, {number}"\n' for number in range(1_000_000)))
    report = ingest_files(lake, SOURCE, tmp_path)
    print(f"{report.rows} rows in {report.seconds:.1f} s")
    assert (report.rows, report.rescued, lake.rows(SHOPS)) == (1_000_000, 0, 1_000_000)


def test_a_table_that_is_made_anew_takes_all_files_again(lake: Lake, tmp_path: Path) -> None:
    land(tmp_path, "a.csv", 1, "id,city\n1,Oslo\n")
    ingest_files(lake, SOURCE, tmp_path)
    Path(lake.path(SHOPS)).rename(tmp_path / "away")
    again = Lake(lake.root, lake.spark)
    assert [file.name for file in waiting_files(again, SOURCE, tmp_path)] == ["shops/a.csv"]
    assert ingest_files(again, SOURCE, tmp_path).loaded == ["shops/a.csv"]
    assert taken(again) == [("a.csv", "1", "Oslo")]
