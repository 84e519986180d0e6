from __future__ import annotations

from random import Random

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.lakehouse.scd2 import versions

pytestmark = [pytest.mark.spark, pytest.mark.slow]

EVIDENCE = "shop STRING, till INT, at INT, rank INT, price DOUBLE, owner STRING"


def told(spark: SparkSession, rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    found = versions(
        spark.createDataFrame(rows, EVIDENCE),
        key=["shop", "till"],
        at="at",
        order=["rank"],
        tracked=["price", "owner"],
        carried={"owner": "nobody"},
        start="since",
        end="until",
    )
    assert found.columns == ["shop", "till", "since", "until", "price", "owner"]
    return sorted((tuple(row) for row in found.collect()), key=str)


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
    found = versions(
        spark.createDataFrame(evidence, EVIDENCE),
        key=["shop", "till"],
        at="at",
        order=["rank"],
        tracked=["price"],
        carried={},
        start="since",
        end="until",
        kept=["owner"],
    )
    assert sorted(tuple(row) for row in found.collect()) == [
        ("a", 1, 10, 40, 1.0, "first"),
        ("a", 1, 40, None, 2.0, "changed"),
    ]
