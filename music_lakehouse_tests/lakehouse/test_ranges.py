from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.ranges import Range
from music_lakehouse.lakehouse.upsert import Written, make_equal
from music_lakehouse_tests.lakehouse.items import ITEMS, MONDAY, content, items


def test_a_range_is_a_predicate_in_the_quotes_that_are_asked_for() -> None:
    keys = Range("id", -1, 5)
    assert keys.predicate() == "`id` >= -1 AND `id` <= 5"
    assert keys.on("key").predicate("t", quote='"') == 't."key" >= -1 AND t."key" <= 5'


@pytest.mark.spark
def test_a_range_goes_from_the_least_to_the_greatest_value(spark: SparkSession) -> None:
    assert Range.of(items(spark, (3, "a", None, None), (None, "b", None, None), (1, "c", None, None)), "id") == Range(
        "id", 1, 3
    )
    assert Range.of(items(spark), "id") is None


@pytest.mark.spark
@pytest.mark.parametrize("few", [True, False])
def test_the_difference_is_written_within_a_range(lake: Lake, few: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    make_equal(lake, ITEMS, items(lake.spark, *((n, "a", MONDAY, 1.0) for n in range(9))))
    if not few:
        monkeypatch.setattr("music_lakehouse.lakehouse.upsert.MOST_ROWS_AT_ONCE", 0)
        monkeypatch.setattr("music_lakehouse.lakehouse.upsert.MOST_ROWS_COMMITTED_HERE", 0)
    desired = items(lake.spark, (3, "a", MONDAY, 2.0), (4, "b", MONDAY, 1.0))
    written = make_equal(lake, ITEMS, desired, within=Range("id", 3, 4), delete=True)
    assert written == Written(inserted=1, updated=1, deleted=1)
    others = {(n, "a", MONDAY, 1.0) for n in range(9) if n not in (3, 4)}
    assert content(lake) == {*others, (3, "a", MONDAY, 2.0), (4, "b", MONDAY, 1.0)}
