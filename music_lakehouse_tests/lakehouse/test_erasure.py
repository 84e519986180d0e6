from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from music_lakehouse.defs.listening.tables import RAW
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.erasure import Traces, remove_messages, search
from music_lakehouse.lakehouse.kafka import Topic
from music_lakehouse.lakehouse.kafka_positions import (
    MESSAGE,
    erased_behind,
    find_losses,
    move_on,
    read_up_to,
    record_erased,
    record_read_up_to,
    settle,
)
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.positions import move_positions, read_positions, record_source_position
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.vacuum import forget_history, stored_files
from music_lakehouse_tests.lakehouse.items import ITEMS

pytestmark = pytest.mark.thorough

NOW = datetime(2024, 1, 1, tzinfo=timezone.utc)
TABLE = RAW["listen_events"]
TOPIC = Topic("listens", "id-1", {0: (0, 100), 1: (0, 100)})
PATTERN = r"userId[^0-9A-Za-z.+-]{1,40}12(?:[^0-9]|$)"


@pytest.fixture(params=["disk", "object store"])
def lake(tmp_path: Path, request: pytest.FixtureRequest) -> LakePaths:
    on_disk = request.param == "disk"
    return LakePaths(str(tmp_path) if on_disk else f"{request.getfixturevalue('bucket')}/lake")


def append(lake: LakePaths, *offsets: int, user: int = 5, table: Table = TABLE) -> None:
    """Messages of the user, a commit of them, of partition 0."""
    rows = [
        {
            "value": f'{{"userId": {user}, "n": {offset}}}',
            "kafka_timestamp": NOW,
            "kafka_topic": "listens",
            "kafka_topic_id": "id-1",
            "kafka_partition": 0,
            "kafka_offset": offset,
        }
        for offset in offsets
    ]
    if lake.open(table) is None:
        DeltaTable.create(
            delta.native_uri(lake.path(table)),
            table.arrow_schema,
            configuration=table.all_properties,
            storage_options=delta.storage_options(),
            raise_if_key_not_exists=False,
        )
    found = lake.open(table)
    assert found is not None
    write_deltalake(found, delta.uncommented(pa.Table.from_pylist(rows, schema=table.arrow_schema)), mode="append")


def keys(*offsets: int) -> pa.Table:
    schema = pa.schema([TABLE.arrow_schema.field(name).remove_metadata() for name in MESSAGE])
    return pa.Table.from_pylist([dict(zip(MESSAGE, ("id-1", 0, offset), strict=True)) for offset in offsets], schema)


def held(lake: LakePaths, table: Table = TABLE) -> list[int]:
    found = lake.open(table)
    assert found is not None
    return sorted(found.to_pyarrow_table()["kafka_offset"].to_pylist())


def version(lake: LakePaths) -> int:
    state = lake.state(TABLE)
    assert state is not None
    return state.version


def test_messages_are_removed_in_one_commit_and_other_files_stay_as_they_are(lake: LakePaths) -> None:
    append(lake, 1, 2, 3)
    append(lake, 50_000, 50_001)
    found = lake.open(TABLE)
    assert found is not None
    before = set(found.file_uris())

    assert remove_messages(lake, TABLE, keys(2, 3, 99)) == 2

    assert held(lake) == [1, 50_000, 50_001]
    assert version(lake) == 3
    found.update_incremental()
    assert len(before & set(found.file_uris())) == 1


def test_where_nothing_is_to_be_removed_nothing_is_written(lake: LakePaths) -> None:
    append(lake, 1)
    assert remove_messages(lake, TABLE, keys()) == 0
    assert remove_messages(lake, TABLE, keys(99)) == 0
    assert remove_messages(lake, TABLE, keys(90_000)) == 0
    assert remove_messages(lake, replace(TABLE, name="nowhere"), keys(1)) == 0
    assert version(lake) == 1


def test_a_table_whose_history_is_forgotten_has_its_rows_and_nothing_else(lake: LakePaths) -> None:
    append(lake, 1, 2)
    append(lake, 3, user=12)
    remove_messages(lake, TABLE, keys(3))
    assert search(lake.root, Traces({}, [PATTERN])).found, "old files and the change feed have it"
    state = lake.state(TABLE)

    kept = forget_history(lake.path(TABLE))

    assert state is not None
    assert kept == state.version + 2, "what was removed is said in two commits"
    assert held(lake) == [1, 2]
    assert search(lake.root, Traces({}, [PATTERN])).found == []
    assert len(stored_files(lake.path(TABLE))) == 1
    assert forget_history(lake.path(TABLE)) == kept, "again it does nothing"
    append(lake, 4)
    assert held(lake) == [1, 2, 4]


def test_batches_that_a_stream_wrote_are_known_without_the_history(lake: LakePaths) -> None:
    append(lake, 1)
    found = lake.open(TABLE)
    assert found is not None
    batch = CommitProperties(app_transactions=[Transaction("the query", 41)])
    rows = pa.Table.from_pylist([{"kafka_offset": 2}], schema=TABLE.arrow_schema)
    write_deltalake(found, delta.uncommented(rows), mode="append", commit_properties=batch)
    append(lake, 3)

    forget_history(lake.path(TABLE))

    anew = LakePaths(lake.root).open(TABLE)
    assert anew is not None
    assert anew.transaction_version("the query") == 41


def test_a_table_that_isnt_there_has_no_history(lake: LakePaths) -> None:
    assert forget_history(lake.path(TABLE)) is None


def test_the_search_looks_into_columns_texts_bytes_and_logs(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    rows = {
        "silver/ids": pa.table({"userId": [12]}),
        "silver/texts": pa.table({"value": ['{"userId":"12"}']}),
        "silver/bytes": pa.table({"value_bytes": pa.array([b'\xff{"userId": 12'], pa.binary())}),
        "silver/keys": pa.table({"userKey": ["abc"]}),
        "silver/names": pa.table({"firstName": ["Ann"], "lastName": ["Berg"], "registration": [7]}),
        "silver/structs": pa.table({"it": [{"userId": 12}]}),
        "silver/others": pa.table({"userId": [120], "value": ['{"userId":1212}']}),
        "silver/namesakes": pa.table({"firstName": ["Ann"], "lastName": ["Berg"], "registration": [8]}),
    }
    for name, table in rows.items():
        write_deltalake(root / name, table)
    (root / "_checkpoints").mkdir()
    (root / "_checkpoints" / "0").write_text('{"userId": 12}')
    together = [{"firstName": "Ann", "lastName": "Berg", "registration": 7}]

    found = search(str(root), Traces({"userId": [12], "userKey": ["abc"]}, [PATTERN], together))

    told = {(each.where, each.what) for each in found.found if "_delta_log" not in each.where}
    assert told == {
        ("silver/ids", "userId"),
        ("silver/texts", "text in value"),
        ("silver/bytes", "bytes in value_bytes"),
        ("silver/keys", "userKey"),
        ("silver/names", "firstName and lastName and registration"),
        ("silver/structs", "text in it"),
        ("_checkpoints/0", "text"),
    }
    logs = {each.where.split("/_delta_log")[0] for each in found.found if "_delta_log" in each.where}
    assert logs == {"silver/ids", "silver/texts", "silver/structs"}, "the least and greatest values are in the log"


def test_reading_goes_on_where_it_was_though_rows_and_log_are_gone(lake: LakePaths) -> None:
    append(lake, 1, 2)
    record_read_up_to(lake, TABLE, TOPIC, {0: 2, 1: 40})
    append(lake, 9)
    settle(lake, TABLE)
    before = version(lake)
    record_erased(lake, [{**row, "kafka_topic": "listens"} for row in keys(9).to_pylist()])
    record_erased(lake, [{**row, "kafka_topic": "listens"} for row in keys(9).to_pylist()])
    remove_messages(lake, TABLE, keys(9))
    move_on(lake, TABLE, before)
    before = version(lake)
    forget_history(lake.path(TABLE))
    move_on(lake, TABLE, before)

    assert read_up_to(lake, TABLE, TOPIC) == {0: 10, 1: 40}
    assert find_losses(lake, TABLE, TOPIC) == []
    assert erased_behind(lake, TOPIC, {0: 3}) == [(0, 9)], "for a query that would read it"
    assert erased_behind(lake, TOPIC, {0: 10}) == []
    append(lake, 10)
    assert read_up_to(lake, TABLE, TOPIC) == {0: 11, 1: 40}


def test_reading_goes_on_where_it_was_though_nobody_said_that_the_log_is_gone(lake: LakePaths) -> None:
    append(lake, 1, 2)
    record_read_up_to(lake, TABLE, TOPIC, {0: 3, 1: 40})
    append(lake, 9)
    append(lake, 7)
    forget_history(lake.path(TABLE))

    assert read_up_to(lake, TABLE, TOPIC) == {0: 10, 1: 40}
    settle(lake, TABLE)
    append(lake, 10)
    assert read_up_to(lake, TABLE, TOPIC) == {0: 11, 1: 40}


def test_steps_that_had_taken_a_table_go_on_behind_its_forgotten_history(lake: LakePaths) -> None:
    append(lake, 1)
    state = lake.state(TABLE)
    assert state is not None
    behind = delta.TableState(state.table_id, state.version - 1)
    record_source_position(lake, "silver.a", TABLE.full_name, state)
    record_source_position(lake, "silver.a", ITEMS.full_name, state)
    record_source_position(lake, "silver.b", TABLE.full_name, behind)

    move_positions(lake, TABLE, state, 7)

    moved = delta.TableState(state.table_id, 7)
    assert read_positions(lake, "silver.a") == {TABLE.full_name: moved, ITEMS.full_name: state}
    assert read_positions(lake, "silver.b") == {TABLE.full_name: behind}, "it begins anew"
