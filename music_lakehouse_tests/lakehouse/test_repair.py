from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.file_ledger import LOADED, FileRecord, read_files, record_files
from music_lakehouse.lakehouse.kafka_positions import KAFKA_POSITIONS
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.positions import (
    POSITIONS,
    Stretch,
    begin_anew,
    begins_anew,
    downstream_of,
    read_positions,
    record_source_position,
)
from music_lakehouse.lakehouse.records import append_records, read_records
from music_lakehouse.lakehouse.repair import RepairError, compute_again, restore, write_anew
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse_tests.lakehouse.items import ITEMS, MONDAY

NOW = datetime(2024, 1, 1, tzinfo=timezone.utc)
STATE = delta.TableState("id", 1)
READS = (("silver.b", "silver.items"), ("gold.c", "silver.b"), ("gold.d", "silver.items"), ("gold.e", "silver.other"))


@pytest.fixture
def lake(tmp_path: Path) -> LakePaths:
    """A lake in which steps have read one another's tables."""
    found = LakePaths(str(tmp_path))
    for step, source in READS:
        record_source_position(found, step, source, STATE)
    return found


def hold(lake: LakePaths, *ids: int, table: Table = ITEMS) -> None:
    """Make the table hold these items alone, as its next version."""
    days: Sequence[date] = [MONDAY] * len(ids)
    rows = {"id": list(ids), "place": ["a"] * len(ids), "day": days, "price": [1.0] * len(ids)}
    write_deltalake(lake.path(table), pa.table(rows, schema=table.arrow_schema), mode="overwrite")


def held(lake: LakePaths, table: Table = ITEMS) -> list[int]:
    return sorted(DeltaTable(lake.path(table)).to_pyarrow_table()["id"].to_pylist())


def told(lake: LakePaths) -> set[str]:
    """The steps that begin anew."""
    return {step for step in ("silver.items", *(step for step, _ in READS)) if begins_anew(lake, step)}


def test_downstream_is_what_has_read_a_table_or_what_was_made_of_it(lake: LakePaths) -> None:
    assert downstream_of(lake, ["silver.items"]) == ["gold.d", "silver.b", "gold.c"]
    assert downstream_of(lake, ["silver.items", "silver.b"]) == ["gold.d", "gold.c"]
    assert downstream_of(lake, ["gold.c"]) == []


def test_a_step_begins_anew_until_it_has_recorded_what_it_took(lake: LakePaths) -> None:
    begin_anew(lake, "silver.b")
    begin_anew(lake, "silver.b")

    assert begins_anew(lake, "silver.b")
    assert not begins_anew(lake, "gold.c")
    assert read_positions(lake, "silver.b") == {"silver.items": STATE}
    assert downstream_of(lake, ["silver.items"]) == ["gold.d", "silver.b", "gold.c"], "they are still known"

    record_source_position(lake, "silver.b", "silver.items", STATE)

    assert not begins_anew(lake, "silver.b")


def test_written_anew_are_the_tables_that_are_named_and_what_is_downstream(lake: LakePaths) -> None:
    assert write_anew(lake, ["silver.b", "silver.b"]) == ["silver.b", "gold.c"]
    assert told(lake) == {"silver.b", "gold.c"}


def test_a_table_that_follows_no_other_cant_be_written_anew(lake: LakePaths) -> None:
    with pytest.raises(RepairError, match=r"silver\.items is not made of other tables"):
        write_anew(lake, ["silver.b", "silver.items"])
    assert told(lake) == set(), "nor are the others then"


def test_a_table_is_put_back_to_a_version_in_one_commit(lake: LakePaths) -> None:
    hold(lake, 1, 2)
    hold(lake, 3)
    hold(lake, 4)

    done = restore(lake, ITEMS, 0)

    assert (done.before, done.restored, done.version) == (2, 0, 3)
    assert held(lake) == [1, 2]
    assert done.anew == ["gold.d", "silver.b", "gold.c"], "itself it follows no other"
    assert told(lake) == {"gold.d", "silver.b", "gold.c"}


def test_a_table_that_follows_others_is_itself_written_anew_by_the_next_run(lake: LakePaths) -> None:
    hold(lake, 1)
    hold(lake, 2)
    record_source_position(lake, "silver.items", "bronze.items", STATE)

    assert restore(lake, ITEMS, 0).anew == ["silver.items", "gold.d", "silver.b", "gold.c"]


def test_a_table_that_others_write_too_makes_these_begin_anew(lake: LakePaths) -> None:
    hold(lake, 1)
    hold(lake, 2)

    done = restore(lake, ITEMS, 0, kept_with=["gold.e", "gold.never_ran"])

    assert done.anew == ["gold.e", "gold.d", "silver.b", "gold.c"]


def test_a_table_is_put_back_to_what_it_was_at_a_time(lake: LakePaths) -> None:
    hold(lake, 1)
    hold(lake, 2)
    log = DeltaTable(lake.path(ITEMS)).history()
    first, second = (datetime.fromtimestamp(log[n]["timestamp"] / 1000, timezone.utc) for n in (1, 0))

    with pytest.raises(RepairError, match="had no version at"):
        restore(lake, ITEMS, first - timedelta(seconds=1))
    between = restore(lake, ITEMS, max(first, second - timedelta(milliseconds=1)))
    assert between.restored == (0 if second > first else 1)
    with pytest.raises(RepairError, match="is at version 2 already"):
        restore(lake, ITEMS, datetime.now(timezone.utc) + timedelta(hours=1))


def test_what_isnt_there_cant_be_restored(lake: LakePaths) -> None:
    with pytest.raises(RepairError, match=r"there is no table silver\.items yet"):
        restore(lake, ITEMS, 0)
    hold(lake, 1)
    with pytest.raises(RepairError, match=r"silver\.items has no version 7: its log has 0 to 0"):
        restore(lake, ITEMS, 7)
    assert told(lake) == set()


def test_a_version_whose_files_are_gone_is_refused_and_the_table_stays(lake: LakePaths) -> None:
    hold(lake, 1)
    for file in DeltaTable(lake.path(ITEMS)).file_uris():
        Path(file).unlink()
    hold(lake, 2)

    with pytest.raises(RepairError, match="whose files table_maintenance may have removed"):
        restore(lake, ITEMS, 0)
    assert held(lake) == [2]


def test_what_was_read_into_a_restored_table_is_forgotten(lake: LakePaths, tmp_path: Path) -> None:
    other = replace(ITEMS, name="others")
    for table in (ITEMS, other):
        hold(lake, 1, table=table)
        hold(lake, 2, table=table)
        state = lake.state(table)
        assert state is not None
        (tmp_path / "_checkpoints" / table.full_name / "query").mkdir(parents=True)
        record_files(lake, table, [FileRecord("a.csv", LOADED, 1, 1, NOW, "digest")])
        position = {
            "kafka_topic": "topic",
            "kafka_topic_id": table.name,
            "kafka_partition": 0,
            "next_offset": 5,
            "raw_table_id": state.table_id,
            "raw_version": 0,
            "recorded_at": NOW,
        }
        append_records(lake, KAFKA_POSITIONS, [position])

    restore(lake, ITEMS, 0)

    assert [path.name for path in (tmp_path / "_checkpoints").iterdir()] == [other.full_name]
    assert (read_files(lake, ITEMS), len(read_files(lake, other))) == ({}, 1)
    assert [row["kafka_topic_id"] for row in read_records(lake, KAFKA_POSITIONS)] == [other.name]


def test_the_marks_are_rows_of_positions(lake: LakePaths) -> None:
    begin_anew(lake, "gold.c")
    marks = [(row["step"], row["source"]) for row in read_records(lake, POSITIONS, partition="gold.c")]
    assert sorted(marks) == [("gold.c", "*"), ("gold.c", "silver.b")]


def test_a_stretch_of_time_is_told_to_a_table_and_what_is_downstream(lake: LakePaths) -> None:
    stretch = Stretch(NOW, NOW + timedelta(hours=1))

    assert compute_again(lake, ["silver.b"], stretch) == ["silver.b", "gold.c"]
    assert compute_again(lake, ["silver.b"], stretch) == ["silver.b", "gold.c"]

    def stretches(step: str) -> list[Stretch]:
        rows = read_records(lake, POSITIONS, partition=step)
        return [Stretch.parse(row["source"][1:]) for row in rows if row["source"].startswith("*")]

    assert (stretches("silver.b"), stretches("gold.c"), stretches("gold.d")) == ([stretch], [stretch], [])
    assert read_positions(lake, "silver.b") == {"silver.items": STATE}, "where it was isn't forgotten"
    assert told(lake) == set(), "nothing is written as a whole"
    record_source_position(lake, "silver.b", "silver.items", STATE)
    assert stretches("silver.b") == [], "what was done is done"


def test_a_stretch_of_time_ends_before_its_end() -> None:
    moments = Stretch(NOW, NOW + timedelta(hours=1)).of("at")
    assert (moments.first, moments.last) == (NOW, NOW + timedelta(hours=1) - timedelta(microseconds=1))
