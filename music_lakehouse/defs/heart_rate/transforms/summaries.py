"""Heart rates by hour and by person.

A sum of doubles depends on the order in which they are added, and so would what is rounded up from it. But a double
between 16 and 512 is a whole multiple of 2^-48, and heart rates are: as numbers of that unit they are whole, at most
8.4e16, and as DECIMAL(38,0) the sum of 10^21 of them is exact, whatever the order and however they were grouped.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.heart_rate.tables import HEART_RATE_BY_PATIENT, HEART_RATE_HOURLY
from music_lakehouse.defs.heart_rate.transforms.recordings import named

UNITS = 2**48
"""Units of `heartrate_units` in one beat a minute."""

HOURS = "SELECT mrn, sum(heartrate_units) AS units, CAST(sum(count) AS BIGINT) AS count FROM {hours} GROUP BY mrn"
"""Rows of heart_rate_hourly by person: the sum of the heart rates, in units, and how many they are."""


def hour_of(recordings: DataFrame) -> DataFrame:
    """The rows of silver with `hour`, the one (UTC) in which each was recorded."""
    return recordings.withColumn("hour", F.date_trunc("hour", "datetime"))


def hourly(recordings: DataFrame) -> DataFrame:
    """Rows of heart_rate_hourly from rows of silver."""
    # A power of two times a double is exact, and so is then the whole number.
    units = (F.col("heartrate") * F.lit(float(UNITS))).cast("bigint").cast("decimal(38,0)")
    sums = (
        hour_of(recordings)
        .groupBy("mrn", "hour")
        .agg(
            F.min("heartrate").alias("min_heartrate"),
            F.max("heartrate").alias("max_heartrate"),
            F.count("*").alias("count"),
            F.sum(units).cast("decimal(38,0)").alias("heartrate_units"),
        )
    )
    mean = F.col("heartrate_units").cast("double") / (F.col("count") * F.lit(float(UNITS)))
    return sums.withColumn("avg_heartrate", mean).select(*HEART_RATE_HOURLY.column_names)


def by_patient(totals: DataFrame, people: DataFrame) -> DataFrame:
    """Rows of heart_rate_by_patient, by falling average, then name and mrn, from a row a person with `units` and
    `count`, and from rows of dim_patients."""
    parts = f"(CAST(count AS DECIMAL(19,0)) * CAST({UNITS} AS DECIMAL(15,0)))"
    mean = F.expr(f"(CAST(units AS DECIMAL(38,0)) + {parts} - 1) DIV {parts}")
    return named(totals.withColumn("avg_heartrate", mean), people).select(*HEART_RATE_BY_PATIENT.column_names)


def net_changes(feed: DataFrame) -> DataFrame:
    """`mrn` and `hour` of the hours whose recordings changed, each once, from silver's change feed: another name is no
    change of them."""
    came = F.when(F.col("_change_type").isin("insert", "update_postimage"), 1).otherwise(-1)
    recorded = feed.groupBy("source_filename", "row_number", "mrn", "datetime", "heartrate").agg(F.sum(came).alias("n"))
    return hour_of(recorded.where("n <> 0")).select("mrn", "hour").distinct()
