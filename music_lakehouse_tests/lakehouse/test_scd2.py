from __future__ import annotations

from random import Random
from typing import Any

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.lakehouse.lake import selected
from music_lakehouse.lakehouse.query import connected
from music_lakehouse.lakehouse.scd2 import changed_stretches, holding, holds_at, versions_query

pytestmark = [pytest.mark.spark, pytest.mark.slow]

EVIDENCE = "shop STRING, till INT, at INT, rank INT, price DOUBLE, owner STRING"


HOW: dict[str, Any] = {
    "key": ["shop", "till"],
    "at": "at",
    "order": ["rank"],
    "tracked": ["price", "owner"],
    "carried": {"owner": "nobody"},
    "start": "since",
    "end": "until",
}


def told(spark: SparkSession, rows: list[tuple[object, ...]], **how: Any) -> list[tuple[object, ...]]:
    """The versions that the evidence tells, by Spark and by DuckDB."""
    evidence = spark.createDataFrame(rows, EVIDENCE)
    query = versions_query(**(HOW | how))
    found = selected(query, evidence=evidence)
    with connected() as connection:
        connection.register("evidence", evidence.toArrow())
        here = connection.sql(query.format(evidence="evidence")).to_arrow_table()
    assert found.columns == here.column_names
    by_spark = sorted((tuple(row) for row in found.collect()), key=str)
    assert by_spark == sorted((tuple(row.values()) for row in here.to_pylist()), key=str)
    return by_spark


def test_versions_follow_the_evidence_whatever_its_order_and_however_often_it_comes(spark: SparkSession) -> None:
    evidence: list[tuple[object, ...]] = [
        ("a", 1, 10, 0, 1.0, None),  # nobody is known yet
        ("a", 1, 20, 0, 1.0, "Eve"),
        ("a", 1, 30, 0, 1.0, None),  # the last one known: nothing changes
        ("a", 1, 40, 1, 2.0, "Eve"),  # of one time the last rank holds
        ("a", 1, 40, 2, 3.0, None),
        ("a", 1, 40, None, 9.0, "Bob"),  # without a rank it is the first, but names the owner after it
        ("a", 1, 50, 0, None, "Eve"),  # a price is not carried: it may be missing
        ("a", 1, 60, 0, 3.0, "Eve"),
        ("a", 2, 15, 0, 1.0, "Eve"),  # another till
        (None, 2, 15, 0, 1.0, "Eve"),  # a key may be null
    ]
    expected = [
        ("a", 1, 10, 20, 1.0, "nobody"),
        ("a", 1, 20, 40, 1.0, "Eve"),
        ("a", 1, 40, 50, 3.0, "Eve"),
        ("a", 1, 50, 60, None, "Eve"),
        ("a", 1, 60, None, 3.0, "Eve"),
        ("a", 2, 15, None, 1.0, "Eve"),
        (None, 2, 15, None, 1.0, "Eve"),
    ]
    rng = Random(1)
    for rows in (evidence, rng.sample(evidence * 2, 2 * len(evidence))):
        assert told(spark, rows) == sorted(expected, key=str)


def test_without_evidence_there_is_no_version(spark: SparkSession) -> None:
    assert told(spark, []) == []


def test_what_is_kept_is_of_the_evidence_with_which_a_version_began(spark: SparkSession) -> None:
    evidence: list[tuple[object, ...]] = [
        ("a", 1, 10, 0, 1.0, "first"),
        ("a", 1, 10, 1, 1.0, "again"),  # of one time, but nothing new
        ("a", 1, 20, 0, 1.0, "later"),
        ("a", 1, 30, 0, 2.0, "for a moment"),
        ("a", 1, 30, 1, 1.0, "and back"),
        ("a", 1, 40, 0, 3.0, "for a moment"),
        ("a", 1, 40, 1, 2.0, "changed"),
        ("a", 1, 40, 2, 2.0, "again"),
    ]
    found = told(spark, evidence, tracked=["price"], carried={}, kept=["owner"])
    assert found == [("a", 1, 10, 40, 1.0, "first"), ("a", 1, 40, None, 2.0, "changed")]


def test_any_evidence_tells_the_same_whichever_engine_is_asked_and_in_whichever_order(
    spark: SparkSession, seed: int
) -> None:
    rng = Random(seed)
    evidence: list[tuple[object, ...]] = [
        (
            rng.choice(["a", "b", None]),
            rng.randrange(3),
            rng.randrange(20),
            rng.choice([0, 1, None]),
            rng.choice([1.0, 2.0, None]),
            rng.choice(["Eve", "Bob", None]),
        )
        for _ in range(200)
    ]

    found = told(spark, evidence)

    assert len(found) > 20
    assert found == told(spark, rng.sample(evidence * 2, 2 * len(evidence)))
    # With what is kept, of evidence that is equal in all else the choice must be the same too.
    how: dict[str, Any] = {"tracked": ["price"], "carried": {}, "order": ["rank", "owner"], "kept": ["owner"]}
    assert told(spark, evidence, **how) == told(spark, rng.sample(evidence, len(evidence)), **how)


VERSIONS = "shop STRING, since_day INT, until_day INT"
FIRST, SECOND = ("a", 1, 5), ("a", 5, None)


def stretches(
    spark: SparkSession, now: list[tuple[object, ...]], changed: list[tuple[object, ...]]
) -> list[tuple[object, ...]]:
    found = changed_stretches(
        spark.createDataFrame(changed, f"{VERSIONS}, _change_type STRING"),
        spark.createDataFrame(now, VERSIONS),
        key="shop",
        start="since_day",
        end="until_day",
    )
    assert found.columns == ["shop", "since", "until"]
    return sorted((tuple(row) for row in found.collect()), key=str)


def test_a_version_that_came_or_went_tells_of_its_own_time_and_the_first_one_of_all_before(spark: SparkSession) -> None:
    assert stretches(spark, [FIRST], [(*FIRST, "insert")]) == [("a", None, 5)]
    assert stretches(spark, [FIRST, SECOND], [(*SECOND, "insert")]) == [("a", 5, None)]
    assert stretches(spark, [SECOND], [(*FIRST, "delete")]) == [("a", None, 5)]
    assert stretches(spark, [], [(*SECOND, "delete")]) == [("a", None, None)]


def test_a_version_whose_end_moved_tells_of_the_time_between_its_ends(spark: SparkSession) -> None:
    ended: list[tuple[object, ...]] = [("a", 1, None, "update_preimage"), ("a", 1, 5, "update_postimage")]
    assert stretches(spark, [FIRST], ended) == [("a", 5, None)]
    assert stretches(spark, [FIRST], [("a", 1, 9, "update_preimage"), ("a", 1, 5, "update_postimage")]) == [("a", 5, 9)]
    assert stretches(spark, [FIRST], [(*FIRST, "update_preimage"), (*FIRST, "update_postimage")]) == []
    assert stretches(spark, [SECOND], [(*SECOND, "update_preimage"), (*SECOND, "update_postimage")]) == []


def test_a_version_holds_from_its_start_to_before_its_end_and_the_first_one_at_all_times_before(
    spark: SparkSession,
) -> None:
    rows = spark.createDataFrame([("a", 1, 5), ("a", 7, None)], VERSIONS)
    held = holding(rows, key="shop", start="since_day", end="until_day")
    days = spark.createDataFrame([(day,) for day in (-9, 1, 4, 5, 7, 99)], "day INT")
    found = days.join(held, holds_at("day"), "left").select("day", "since_day").collect()
    assert sorted(map(tuple, found)) == [(-9, 1), (1, 1), (4, 1), (5, None), (7, 7), (99, 7)]
