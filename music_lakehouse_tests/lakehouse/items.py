"""A small table for the building blocks' tests."""

from __future__ import annotations

from datetime import date
from typing import Any

from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.lake import Lake, LakePaths
from music_lakehouse.lakehouse.tables import Column, Table

ITEMS = Table(
    layer="silver",
    name="items",
    description="One row an item; 'quoted' and \\ escaped.",
    columns=(
        Column("id", "BIGINT", "the item's number"),
        Column("place", "STRING", "it's where it is", pii=True),
        Column("day", "DATE", "the day"),
        Column("price", "DOUBLE", "what it costs"),
    ),
    key=("id", "place"),
    partition_by=("day",),
)
MONDAY, TUESDAY = date(2024, 1, 1), date(2024, 1, 2)

Item = tuple[int | None, str | None, date | None, float | None]


def items(spark: SparkSession, *rows: Item) -> DataFrame:
    return spark.createDataFrame(list(rows), ITEMS.ddl)


def content(lake: Lake, table: Table = ITEMS) -> set[tuple[Any, ...]]:
    """The table's rows as delta-rs reads them."""
    found = delta.open_table(lake.path(table))
    assert found is not None
    rows = [tuple(row.values()) for row in found.to_pyarrow_table().select(table.column_names).to_pylist()]
    assert len(rows) == len(set(rows))
    return set(rows)


def version(lake: Lake, table: Table = ITEMS) -> int:
    state = lake.state(table)
    assert state is not None
    return state.version


def seen_by_readers(lake: LakePaths, since: int, table: Table = ITEMS) -> list[int]:
    """How many rows a reader finds in the table's version `since`, and in each behind it."""
    state = lake.state(table)
    assert state is not None
    return [DeltaTable(lake.path(table), version=number).count() for number in range(since, state.version + 1)]
