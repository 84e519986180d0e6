from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.lakehouse.moments import Moments

pytestmark = pytest.mark.spark

NOON = datetime(2024, 3, 1, 12, 0, 0, 123456, timezone.utc)


def test_moments_are_those_of_the_rows_to_the_microsecond(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(NOON + timedelta(microseconds=n),) for n in (3, 0, 2)], "at TIMESTAMP")
    found = Moments.of(rows, "at")
    assert found == Moments("at", NOON, NOON + timedelta(microseconds=3))
    assert Moments.of(rows.limit(0), "at") is None
    inner = Moments("at", NOON + timedelta(microseconds=1), NOON + timedelta(microseconds=2))
    assert rows.where(inner.predicate()).count() == 1
    assert rows.alias("t").where(Moments("at", NOON, NOON).predicate("t")).count() == 1
