"""Compaction and vacuum: rows stay, readers and followers notice nothing, and only what is old and unneeded goes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import DataFrame

from music_lakehouse.defs.maintenance.upkeep import RETENTION, Upkeep, keep_up, steps_behind
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.changes import FEED_RETENTION, Changes, find_changes
from music_lakehouse.lakehouse.lake import CHANGE_TYPE, Lake, LakePaths
from music_lakehouse.lakehouse.positions import record_source_position
from music_lakehouse.lakehouse.steps import Step, run_step
from music_lakehouse.lakehouse.streaming import drain
from music_lakehouse.lakehouse.tables import Column, Table
from music_lakehouse.lakehouse.upsert import Written, make_equal
from music_lakehouse.lakehouse.vacuum import stored_files
from music_lakehouse_tests.lakehouse.items import ITEMS, MONDAY, TUESDAY, content, items, version

NO_RETENTION = {"delta.deletedFileRetentionDuration": "interval 0 hours"}
LONG_AGO = (RETENTION + timedelta(hours=2)).total_seconds()
LATELY = (FEED_RETENTION + timedelta(hours=1)).total_seconds()


def kept_up(lake: LakePaths, table: Table = ITEMS, *, retention: timedelta = RETENTION) -> Upkeep:
    upkeep = keep_up(lake.path(table), retention=retention)
    assert upkeep is not None
    return upkeep


def append(path: Path | str, *numbers: int, **more: object) -> None:
    rows = pa.table({"day": ["a" if n % 2 else "b" for n in numbers], "n": list(numbers)})
    write_deltalake(path, rows, mode="append", partition_by=["day"], **more)  # type: ignore[call-overload]


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A table with a change feed: eight rows of two partitions in eight files."""
    table = tmp_path / "lake" / "gold" / "numbers"
    for number in range(8):
        append(table, number, configuration={"delta.enableChangeDataFeed": "true"})
    return table


def numbers(path: Path) -> list[int]:
    found: list[int] = DeltaTable(path).to_pyarrow_table()["n"].to_pylist()
    return sorted(found)


def test_small_files_are_made_few_and_a_second_time_nothing_is_written(path: Path) -> None:
    upkeep = keep_up(str(path))

    assert upkeep is not None
    assert (upkeep.before.files, upkeep.before.stored_files) == (8, 8)
    assert (upkeep.after.files, upkeep.after.stored_files) == (2, 10), "the old ones stay for those who read them"
    assert upkeep.after.size < upkeep.before.size < upkeep.after.stored_size
    assert upkeep.versions == 1
    assert numbers(path) == list(range(8))
    assert DeltaTable(path).history(1)[0]["operation"] == "OPTIMIZE"
    assert delta.is_append(DeltaTable(path).history(1)[0])

    again = keep_up(str(path))
    assert again == Upkeep(upkeep.after, upkeep.after, 0)


@pytest.mark.thorough
def test_a_table_in_an_object_store_is_kept_up_as_one_on_disk(bucket: str) -> None:
    uri = f"{bucket}/lake/gold/numbers"
    for number in range(4):
        append(uri, number, storage_options=delta.storage_options())

    upkeep = keep_up(uri.replace("s3://", "s3a://"))

    assert upkeep is not None
    assert (upkeep.before.files, upkeep.before.stored_files) == (4, 4)
    assert (upkeep.after.files, upkeep.after.stored_files) == (2, 6)
    assert keep_up(uri) == Upkeep(upkeep.after, upkeep.after, 0)


def test_only_the_partition_that_grew_is_compacted_again(path: Path) -> None:
    keep_up(str(path))
    old = set(DeltaTable(path).file_uris())
    append(path, 9)
    keep_up(str(path))

    assert len(old & set(DeltaTable(path).file_uris())) == 1
    assert numbers(path) == [*range(8), 9]


def test_what_is_unneeded_goes_once_it_is_older_than_the_retention(path: Path) -> None:
    DeltaTable(path).update(updates={"n": "n + 100"}, predicate="n = 1")
    [feed] = path.glob("_change_data/**/*.parquet")
    never_committed = path / "day=a" / "part-00000-never-committed.parquet"
    never_committed.write_bytes(b"half a file")
    removed = next(file for file in sorted(path.glob("day=a/*.parquet")) if str(file) not in current(path))

    # Younger than the retention, or older than the change feeds' but not by as much as a commit may take.
    for file in (feed, never_committed):
        age(file, LATELY)
    keep_up(str(path))
    assert feed.exists()
    assert never_committed.exists()
    assert removed.exists(), "it was removed today, whatever its own age"

    for file in path.rglob("*.parquet"):
        age(file, LONG_AGO)
    upkeep = keep_up(str(path))
    assert upkeep is not None
    assert not feed.exists()
    assert not never_committed.exists()
    assert removed.exists()
    assert upkeep.before.stored_files - upkeep.after.stored_files == 2
    assert upkeep.versions == 2
    assert [entry["operation"] for entry in DeltaTable(path).history(2)] == ["VACUUM END", "VACUUM START"]
    assert all(delta.rows_of(entry) == 0 for entry in DeltaTable(path).history(2))
    assert numbers(path) == [0, *range(2, 8), 101]


def test_files_that_a_version_removed_go_once_and_their_checksums_with_them(path: Path) -> None:
    DeltaTable(path).alter.set_table_properties(NO_RETENTION)
    checksums = [file.with_name(f".{file.name}.crc") for file in path.rglob("*.parquet")]
    for checksum in checksums:
        checksum.touch()

    upkeep = keep_up(str(path), retention=timedelta(0))
    assert upkeep is not None
    assert (upkeep.after.files, upkeep.after.stored_files) == (2, 2)
    assert upkeep.versions == 3
    assert not any(checksum.exists() for checksum in checksums)
    assert numbers(path) == list(range(8))

    again = keep_up(str(path), retention=timedelta(0))
    assert again is not None
    assert again.versions == 0, "the log still names the files as removed, but they are gone"


def test_a_table_that_asks_for_a_longer_retention_has_it(path: Path) -> None:
    DeltaTable(path).alter.set_table_properties({"delta.deletedFileRetentionDuration": "interval 30 days"})
    with pytest.raises(Exception, match="retention"):
        keep_up(str(path))


def test_where_there_is_no_table_there_is_nothing_to_keep_up(tmp_path: Path) -> None:
    assert keep_up(str(tmp_path / "gold" / "none")) is None
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_not_compacted_before_its_followers_took_all_of_its_rows(path: Path) -> None:
    lake = LakePaths(str(path.parents[1]))
    tables = ["gold.numbers", "gold.copy"]
    state = delta.state_of(DeltaTable(path))
    assert steps_behind(lake, tables) == {}, "nobody follows it"
    record_source_position(lake, "gold.copy", "gold.numbers", state)
    assert steps_behind(lake, tables) == {}
    append(path, 8)
    assert steps_behind(lake, tables) == {"gold.numbers": ("gold.copy",)}
    assert steps_behind(lake, ["gold.numbers"]) == {}, "a step whose table is gone begins anew"

    upkeep = keep_up(str(path), waits_for=("gold.copy",))
    assert upkeep is not None
    assert (upkeep.versions, upkeep.waits_for) == (0, ("gold.copy",))

    record_source_position(lake, "gold.copy", "gold.numbers", delta.state_of(DeltaTable(path)))
    keep_up(str(path))
    assert steps_behind(lake, tables) == {}, "a compaction has no rows to take"
    record_source_position(lake, "gold.copy", "gold.numbers", replace(state, table_id="of a table before"))
    assert steps_behind(lake, tables) == {}


EVERY_TYPE = Table(
    layer="bronze",
    name="every_type",
    description="A column of each type.",
    columns=(
        Column("id", "BIGINT", "a number"),
        Column("day", "DATE", "a partition"),
        Column("part", "INT", "an int"),
        Column("text", "STRING", "a text"),
        Column("bytes", "BINARY", "bytes"),
        Column("share", "DOUBLE", "a double"),
        Column("good", "BOOLEAN", "a boolean"),
        Column("at", "TIMESTAMP", "a time"),
        Column("reasons", "ARRAY<STRING>", "texts"),
    ),
    key=("id",),
    partition_by=("day",),
)
FOREVER = datetime(9999, 12, 31, tzinfo=timezone.utc)


@pytest.mark.spark
def test_rows_of_every_type_are_the_same_for_spark(lake: Lake) -> None:
    lake.create(EVERY_TYPE)
    rows = [
        (1, MONDAY, 7, 'a "text" ü', b"\xff\x00", 0.1, True, datetime(2024, 1, 1, 12, 0, 0, 123456), ["a", None, ""]),
        (2, MONDAY, None, None, None, None, None, None, None),
        (3, None, -1, "", b"", float("nan"), False, FOREVER.replace(tzinfo=None), []),
        (4, None, 2, "x" * 40, b"x", float("inf"), True, datetime(1969, 12, 31), ["b"]),
    ]
    for row in rows:
        lake.append(lake.spark.createDataFrame([row], EVERY_TYPE.ddl), EVERY_TYPE)
    before = sorted(map(str, lake.read(EVERY_TYPE).collect()))
    assert len(before) == 4

    # Its commit is one that writes a checkpoint, so that Spark reads that too.
    delta_table = lake.open(EVERY_TYPE)
    assert delta_table is not None
    delta_table.alter.set_table_properties({"delta.checkpointInterval": "1"})
    assert kept_up(lake, EVERY_TYPE).after.files == 2
    assert list(Path(lake.path(EVERY_TYPE), "_delta_log").glob("*.checkpoint.parquet"))
    assert sorted(map(str, lake.read(EVERY_TYPE).collect())) == before
    assert [
        row.id for row in lake.read(EVERY_TYPE).where("share = 0.1 AND at > '2024-01-01' AND id < 2").collect()
    ] == [1]
    copy = Path(lake.root) / "bronze" / "copy"
    os.rename(lake.path(EVERY_TYPE), copy)
    fresh = lake.spark.read.format("delta").load(str(copy)).select(*EVERY_TYPE.column_names)
    assert sorted(map(str, fresh.collect())) == before, "nor from a log that Spark doesn't know yet"


def streamed(lake: Lake) -> Callable[[], list[int]]:
    """A stream of the items; each call tells the ids that it brought since the last."""
    seen: list[int] = []

    def take(batch: DataFrame, _batch_id: int) -> None:
        seen.extend(row.id for row in batch.collect())

    def run() -> list[int]:
        seen.clear()
        stream = lake.spark.readStream.format("delta").option("maxFilesPerTrigger", 1).load(lake.path(ITEMS))
        drain(stream.writeStream.foreachBatch(take).option("checkpointLocation", lake.checkpoint("test")))
        return sorted(seen)

    return run


@pytest.mark.spark
def test_a_stream_passes_over_upkeep(lake: Lake) -> None:
    lake.create(ITEMS)
    found = lake.open(ITEMS)
    assert found is not None
    found.alter.set_table_properties(NO_RETENTION)
    stream = streamed(lake)
    for number in range(4):
        lake.append(items(lake.spark, (number, "a", MONDAY, 1.0)), ITEMS)
    assert stream() == [0, 1, 2, 3]

    # Everything that is old is gone: what streams or follows can't be reading it again.
    upkeep = kept_up(lake, retention=timedelta(0))
    assert (upkeep.after.files, upkeep.after.stored_files) == (1, 1)
    assert stream() == []
    lake.append(items(lake.spark, (4, "a", TUESDAY, 1.0)), ITEMS)
    assert stream() == [4]

    assert kept_up(lake).versions == 0, "each day has one file"
    assert content(lake) == {(n, "a", TUESDAY if n == 4 else MONDAY, 1.0) for n in range(5)}


@pytest.mark.spark
def test_a_change_feed_across_upkeep_has_every_change_once(lake: Lake) -> None:
    lake.create(ITEMS)
    start = version(lake)
    make_equal(lake, ITEMS, items(lake.spark, (1, "a", MONDAY, 1.0), (2, "a", MONDAY, 1.0)))
    make_equal(lake, ITEMS, items(lake.spark, (2, "a", MONDAY, 2.0), (3, "a", MONDAY, 3.0)))
    lake.append(items(lake.spark, (4, "a", MONDAY, 4.0)), ITEMS)
    assert kept_up(lake).versions == 1
    make_equal(lake, ITEMS, items(lake.spark, (4, "a", MONDAY, 5.0)))

    feed = (
        lake.spark.read.format("delta")
        .option("readChangeFeed", "true")
        .option("startingVersion", start + 1)
        .load(lake.path(ITEMS))
    )
    assert sorted((row.id, row.price, row[CHANGE_TYPE]) for row in feed.collect()) == [
        (1, 1.0, "insert"),
        (2, 1.0, "insert"),
        (2, 1.0, "update_preimage"),
        (2, 2.0, "update_postimage"),
        (3, 3.0, "insert"),
        (4, 4.0, "insert"),
        (4, 4.0, "update_preimage"),
        (4, 5.0, "update_postimage"),
    ]


@pytest.mark.spark
def test_a_step_that_follows_the_table_sees_no_change_and_goes_on(lake: Lake) -> None:
    copy = replace(ITEMS, name="copy")
    taken: list[list[int]] = []

    def update(lake: Lake, found: Changes) -> Written:
        change = found.get(ITEMS)
        assert change is not None
        taken.append(sorted(row.id for row in change.rows.collect()))
        assert not change.full or len(taken) == 1
        return make_equal(lake, copy, lake.read(ITEMS), delete=True)

    step = Step(copy, (ITEMS,), update)
    lake.create(ITEMS)
    for number in range(3):
        lake.append(items(lake.spark, (number, "a", MONDAY, 1.0)), ITEMS)
    assert run_step(lake, step).written == Written(inserted=3)
    before = version(lake, copy)
    assert kept_up(lake).versions == 1

    change = find_changes(lake, copy.full_name, [ITEMS]).get(ITEMS)
    assert change is not None
    assert change.append_only
    assert change.count == 0
    assert run_step(lake, step).written == Written()
    assert version(lake, copy) == before
    lake.append(items(lake.spark, (3, "a", MONDAY, 1.0)), ITEMS)
    assert run_step(lake, step).written == Written(inserted=1)
    assert taken == [[0, 1, 2], [3]], "a compaction has nothing to tell"


@pytest.mark.spark
def test_whoever_reads_an_older_version_can_go_on(lake: Lake) -> None:
    lake.create(ITEMS)
    for number in range(3):
        lake.append(items(lake.spark, (number, "a", MONDAY, 1.0)), ITEMS)
    reading = lake.read(ITEMS)
    old = lake.read(ITEMS, version=version(lake) - 1)
    assert kept_up(lake).versions == 1

    assert reading.count() == 3
    assert old.count() == 2
    assert len(stored_files(lake.path(ITEMS))) == 4


def current(path: Path) -> list[str]:
    return DeltaTable(path).file_uris()
