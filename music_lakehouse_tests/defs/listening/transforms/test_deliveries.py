from __future__ import annotations

import pytest
from pyspark.sql import DataFrame, SparkSession

from music_lakehouse.defs.listening.transforms.deliveries import (
    first_deliveries,
    first_of_repeated,
    repeated_events,
)
from music_lakehouse_tests.defs.listening.transforms.frames import frame, values

pytestmark = pytest.mark.spark

COLUMNS = ["event_id", "bronze_id", "title", "level"]
ROWS = [
    ("e1", "b2", "first", "free"),
    ("e1", "b3", "second", "paid"),
    ("e2", "b1", None, "free"),
    ("e2", "b0", "no title came later", None),
    ("e3", "b4", "once", "free"),
]


@pytest.fixture
def deliveries(spark: SparkSession) -> DataFrame:
    schema = ", ".join(f"{name} STRING" for name in COLUMNS)
    return frame(spark, schema, [dict(zip(COLUMNS, row, strict=True)) for row in ROWS])


def test_of_several_deliveries_the_one_with_the_smallest_id_is_the_event(deliveries: DataFrame) -> None:
    assert values(first_deliveries(deliveries), COLUMNS, "event_id") == [ROWS[0], ROWS[3], ROWS[4]]


def test_some_columns_count_whichever_came_first(deliveries: DataFrame) -> None:
    found = values(first_deliveries(deliveries, greatest=["level"]), COLUMNS, "event_id")
    assert found == [("e1", "b2", "first", "paid"), ("e2", "b0", "no title came later", "free"), ROWS[4]]


def test_where_few_events_are_repeated_the_others_are_left_as_they_are(deliveries: DataFrame) -> None:
    repeated = repeated_events(deliveries)
    assert repeated.count() == 2
    for greatest in ([], ["level"]):
        found = first_of_repeated(deliveries, repeated, greatest=greatest)
        expected = first_deliveries(deliveries, greatest=greatest)
        assert values(found, COLUMNS, "event_id") == values(expected, COLUMNS, "event_id")
    unrepeated = deliveries.where("event_id = 'e3'")
    assert values(first_of_repeated(unrepeated, repeated_events(unrepeated)), COLUMNS) == [ROWS[4]]


def test_events_that_share_a_hash_stay_two(deliveries: DataFrame) -> None:
    everything = deliveries.selectExpr("xxhash64(event_id) AS _event").distinct()
    found = first_of_repeated(deliveries, everything)
    assert values(found, COLUMNS, "event_id") == values(first_deliveries(deliveries), COLUMNS, "event_id")
