from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from music_lakehouse.defs.customers.landed import CUSTOMER
from music_lakehouse.defs.customers.transforms.history import (
    customer_versions,
    latest,
    latest_where_few_repeat,
    repeated_keys,
)
from music_lakehouse.defs.customers.transforms.rows import with_hash

pytestmark = pytest.mark.spark

NOON = datetime(2024, 3, 1, 12)


def landed(spark: SparkSession, *rows: tuple[int, float, str, int, str]) -> DataFrame:
    """Valid rows of (customer, hours after noon, file, row number, address)."""
    given = spark.createDataFrame(
        [(key, NOON + timedelta(hours=hours), file, number, address) for key, hours, file, number, address in rows],
        "c_custkey BIGINT, date_added TIMESTAMP, source_filename STRING, row_number BIGINT, c_address STRING",
    )
    others = [c for c in CUSTOMER.columns if c.name not in given.columns]
    return with_hash(given.select("*", *(F.lit(None).cast(c.type).alias(c.name) for c in others)), CUSTOMER)


ROWS = (
    (1, 0, "a", 1, "Main"),
    (1, 5, "b", 1, "Main"),  # nothing new
    (1, 6, "c", 1, "Side"),
    (1, 6, "c", 2, "Hill"),  # of one moment the last holds
    (1, 6, "d", 1, "Hill"),  # and the first that said so is named
    (1, 7, "e", 1, "Side"),
    (1, 7, "e", 2, "Hill"),  # back again at the same moment: nothing new
    (1, 9, "f", 1, "Main"),  # back to what was before
    (2, 9, "f", 2, "Main"),
)


def hours(moment: datetime | None) -> float | None:
    return None if moment is None else (moment - NOON) / timedelta(hours=1)


def test_versions_follow_the_rows_whatever_their_order_and_however_often_they_come(spark: SparkSession) -> None:
    expected = [
        (1, 0, 6, "Main", False),
        (1, 6, 9, "Hill", False),
        (1, 9, None, "Main", True),
        (2, 9, None, "Main", True),
    ]
    numbers = set()
    for rows in (ROWS, Random(1).sample(ROWS * 2, 2 * len(ROWS))):
        found = customer_versions(landed(spark, *rows)).collect()
        shown = [
            (v["c_custkey"], hours(v["start_date"]), hours(v["end_date"]), v["c_address"], v["is_current"])
            for v in found
        ]
        assert sorted(shown, key=str) == sorted(expected, key=str)
        numbers |= {(v["dim_customer_id"], v["c_custkey"], v["start_date"]) for v in found}
    assert len(numbers) == len({number for number, _, _ in numbers}) == 4, "a version has one number, and its own"
    assert all(0 < number < 2**63 for number, _, _ in numbers)


def test_the_latest_state_names_the_file_that_brought_it(spark: SparkSession) -> None:
    def states(*rows: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        found = latest(landed(spark, *rows), CUSTOMER).collect()
        return [(s["c_custkey"], s["c_address"], s["source_filename"], hours(s["date_added"])) for s in found]

    assert sorted(states(*ROWS)) == [(1, "Main", "f", 9), (2, "Main", "f", 9)]
    assert states(*ROWS[:7]) == [(1, "Hill", "c", 6)]
    assert states(*ROWS[:2]) == [(1, "Main", "a", 0)]


def test_where_few_keys_repeat_the_latest_states_are_the_same(spark: SparkSession) -> None:
    rows = landed(spark, *ROWS)
    repeated = repeated_keys(rows, CUSTOMER)
    assert [row["c_custkey"] for row in repeated.collect()] == [1]
    of_few = latest_where_few_repeat(rows, CUSTOMER, repeated)
    assert sorted(of_few.collect()) == sorted(latest(rows, CUSTOMER).collect())
