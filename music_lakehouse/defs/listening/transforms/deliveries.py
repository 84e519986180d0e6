"""Events that were delivered more than once."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

_HASH = "_event"


def first_deliveries(deliveries: DataFrame, *, greatest: Sequence[str] = ()) -> DataFrame:
    """One row an event_id: of several deliveries the one with the smallest bronze_id, but in the columns `greatest` the
    greatest value that any of them has."""
    others = [name for name in deliveries.columns if name not in ("event_id", "bronze_id", *greatest)]
    events = deliveries.groupBy("event_id").agg(
        F.min(F.struct("bronze_id", *others)).alias("first"), *(F.max(name).alias(name) for name in greatest)
    )
    return events.select("event_id", "first.*", *greatest).select(*deliveries.columns)


def repeated_events(deliveries: DataFrame) -> DataFrame:
    """One row an event that may have been delivered more than once, by a hash: two events may share one."""
    # Of numbers Spark keeps a table in memory, where it would sort rows for anything else.
    return deliveries.groupBy(F.xxhash64("event_id").alias(_HASH)).count().where("count > 1").select(_HASH)


def first_of_repeated(deliveries: DataFrame, repeated: DataFrame, *, greatest: Sequence[str] = ()) -> DataFrame:
    """What `first_deliveries` gives, where `repeated_events` are few: of all others there is one delivery."""
    hashed, few = deliveries.withColumn(_HASH, F.xxhash64("event_id")), F.broadcast(repeated)
    once = hashed.join(few, _HASH, "left_anti").drop(_HASH)
    several = hashed.join(few, _HASH, "left_semi").drop(_HASH)
    return once.unionByName(first_deliveries(several, greatest=greatest))
