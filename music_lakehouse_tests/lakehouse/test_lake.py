from __future__ import annotations

import json
from datetime import date, datetime, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from music_lakehouse.defs.listening.catalog import TABLES
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.days import Days, days_of
from music_lakehouse.lakehouse.lake import Lake, LakePaths, Rows
from music_lakehouse.lakehouse.query import fetched
from music_lakehouse_tests.lakehouse.items import ITEMS, MONDAY, TUESDAY, content, items

SPARK_TYPES = {
    "STRING": "string",
    "BIGINT": "long",
    "INT": "integer",
    "DOUBLE": "double",
    "BOOLEAN": "boolean",
    "BINARY": "binary",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "ARRAY<STRING>": {"type": "array", "elementType": "string", "containsNull": True},
}


def test_a_table_lies_under_its_layer() -> None:
    paths = LakePaths("s3a://bucket/lake")
    assert paths.path(ITEMS) == "s3a://bucket/lake/silver/items"
    assert paths.checkpoint("raw.x/1") == "s3a://bucket/lake/_checkpoints/raw.x/1"
    assert delta.native_uri(paths.path(ITEMS)) == "s3://bucket/lake/silver/items"
    assert ITEMS.full_name == "silver.items"


def test_where_there_is_no_table_there_is_nothing(tmp_path: Path) -> None:
    paths = LakePaths(str(tmp_path))
    assert (paths.state(ITEMS), paths.rows(ITEMS)) == (None, 0)
    assert delta.greatest(paths.open(ITEMS), "id") is None
    assert not delta.may_overlap(paths.open(ITEMS), "id", [(0, 9)])


def test_days_are_ranges_of_whole_days() -> None:
    days = Days.of(
        "day", [date(2024, 2, 28), date(2024, 3, 1), date(2024, 2, 29), date(2023, 12, 31), date(2024, 3, 1)]
    )
    assert days.ranges == ((date(2023, 12, 31), date(2023, 12, 31)), (date(2024, 2, 28), date(2024, 3, 1)))
    assert days.on("t").predicate("x") == (
        "(x.`t` >= '2023-12-31' AND x.`t` < '2024-01-01') OR (x.`t` >= '2024-02-28' AND x.`t` < '2024-03-02')"
    )
    assert Days.of("day", []).predicate() == "false"


@pytest.mark.spark
def test_days_of_rows_are_utc_days(lake: Lake) -> None:
    def at(day: int, hour: int) -> datetime:
        return datetime(2024, 1, day, hour, 59, 59, tzinfo=timezone.utc)

    rows = lake.spark.createDataFrame(
        [(at(1, 23), at(3, 0)), (at(5, 0), at(4, 0)), (None, at(9, 0)), (at(7, 1), None)],
        "start TIMESTAMP, end TIMESTAMP",
    )
    for each in (rows, fetched(rows)):
        assert sorted(days_of(each, "start")) == [date(2024, 1, n) for n in (1, 5, 7)]
        assert sorted(days_of(each, "start", until="end")) == [date(2024, 1, n) for n in (1, 2, 3, 5, 7)]
    found = rows.where(Days.of("start", [date(2024, 1, 1), date(2024, 1, 7)]).predicate()).count()
    assert found == 2


@pytest.mark.spark
def test_a_table_is_created_once_with_what_it_declares(lake: Lake) -> None:
    assert lake.read(ITEMS).columns == ITEMS.column_names
    assert lake.create(ITEMS)
    assert not lake.create(ITEMS)
    assert not Lake(lake.root, lake.spark).create(ITEMS)
    table = DeltaTable(lake.path(ITEMS))
    assert table.metadata().description == ITEMS.description
    assert table.metadata().partition_columns == ["day"]
    assert table.metadata().configuration == {
        "delta.enableChangeDataFeed": "true",
        "delta.checkpointInterval": "50",
        "delta.logRetentionDuration": "interval 8 days",
        "delta.dataSkippingStatsColumns": "id",
        "contains_pii": "true",
    }
    assert [field["metadata"]["comment"] for field in json.loads(table.schema().to_json())["fields"]] == [
        column.comment for column in ITEMS.columns
    ]


@pytest.mark.spark
def test_rows_are_appended_in_the_declared_form_and_read_at_any_version(lake: Lake) -> None:
    lake.create(ITEMS)
    other_order = items(lake.spark, (1, "a", MONDAY, 1.0)).selectExpr("price", "'x' AS more", "day", "id", "place")
    lake.append(
        other_order.selectExpr("CAST(price AS INT) AS price", "more", "day", "CAST(id AS INT) id", "place"), ITEMS
    )
    lake.append(items(lake.spark, (2, "b", TUESDAY, 2.0)), ITEMS)
    assert content(lake) == {(1, "a", MONDAY, 1.0), (2, "b", TUESDAY, 2.0)}
    assert lake.rows(ITEMS) == 2
    assert [row.id for row in lake.read(ITEMS, version=1).collect()] == [1]
    assert delta.greatest(lake.open(ITEMS), "id") == 2
    assert delta.greatest(lake.open(ITEMS), "day") == TUESDAY
    assert delta.may_overlap(lake.open(ITEMS), "id", [(5, 9), (2, 2)])
    assert not delta.may_overlap(lake.open(ITEMS), "id", [(-1, 0), (3, 9)])


@pytest.mark.spark
def test_what_a_run_keeps_for_its_steps_is_bounded_and_the_least_used_goes(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pa.table({"id": range(1000)})
    monkeypatch.setattr("music_lakehouse.lakehouse.lake.MOST_BYTES_KEPT", 2 * rows.nbytes)
    found: list[str] = []

    def ask(name: str, answer: Rows = rows) -> Rows:
        def find() -> Rows:
            found.append(name)
            return answer

        return lake.once(name, find)

    assert ask("frame", lake.spark.range(1)) is ask("frame"), "frames are not here, and stay"
    assert ask("a") is ask("a")
    ask("b")
    ask("a")
    ask("c")
    assert found == ["frame", "a", "b", "c"]
    ask("a")
    ask("frame")
    assert found == ["frame", "a", "b", "c"], "b was used least recently"
    ask("b")
    assert found == ["frame", "a", "b", "c", "b"]
    ask("long", pa.table({"id": range(9000)}))
    ask("long")
    assert found[-1] == "long", "the last is kept, however long it is"


@pytest.mark.spark
def test_every_table_has_exactly_the_declared_columns_and_types(lake: Lake) -> None:
    for table in TABLES.values():
        lake.create(table)
        found = DeltaTable(lake.path(table))
        fields = [(field["name"], field["type"]) for field in json.loads(found.schema().to_json())["fields"]]
        assert fields == [(column.name, SPARK_TYPES[column.type]) for column in table.columns], table.full_name
        assert found.metadata().partition_columns == list(table.partition_by)
