"""Slowly changing dimensions of type 2: from evidence of what held when, in any order, to versions without gap or
overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F


def versions(
    evidence: DataFrame,
    *,
    key: Sequence[str],
    at: str,
    order: Sequence[str],
    tracked: Sequence[str],
    carried: Mapping[str, str],
    start: str,
    end: str,
    kept: Sequence[str] = (),
) -> DataFrame:
    """One row a version of a key: the stretch of time in which none of the tracked columns changed.

    In: one row an evidence, in any order, repeats allowed: the key, the time `at`, the tracked columns, and `order`,
    which ranks evidence of one time (ascending, null first; then by the tracked columns), of which the last holds. A
    null in a `carried` column means unknown and is filled with the last known value before it, or with the given one
    where there is none.
    Out: key, `start` (inclusive), `end` (exclusive, null while the version holds), tracked, and `kept`: columns of the
    evidence with which the version began (of equal evidence of one time, the first). Neighbours differ in at least one
    tracked column; each version ends where the next starts. The result depends on the set of evidence alone.
    """
    ranked = Window.partitionBy(*key).orderBy(at, *order, *tracked)
    if kept:
        # What repeats the evidence before it would otherwise stand for it where both are of one time.
        repeats = _equal_to_previous(tracked, ranked)
        evidence = evidence.withColumn("_repeats", repeats).where(~F.col("_repeats"))
    so_far = ranked.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    filled = evidence.select(
        *key,
        at,
        *(name for name in dict.fromkeys((*order, *kept)) if name not in tracked),
        *(
            F.coalesce(F.last(name, ignorenulls=True).over(so_far), F.lit(carried[name])).alias(name)
            if name in carried
            else F.col(name)
            for name in tracked
        ),
        F.lead(at).over(ranked).alias("_next"),
    )
    last_of_a_time = filled.where(~F.col("_next").eqNullSafe(F.col(at))).drop("_next")
    by_time = Window.partitionBy(*key).orderBy(at)
    changes = last_of_a_time.withColumn("_same", _equal_to_previous(tracked, by_time)).where(~F.col("_same"))
    return changes.select(*key, F.col(at).alias(start), F.lead(at).over(by_time).alias(end), *tracked, *kept)


def changed_stretches(changed: DataFrame, versions: DataFrame, *, key: str, start: str, end: str) -> DataFrame:
    """Where the change feed of a dimension says that another version may hold, or none: the key, `since` (null: always)
    and `until` (exclusive, null: for ever). `versions` are those that are there now.

    A version that came or went tells of its own time, the first one of all time before it too; one whose end moved
    tells of the time between its ends.
    """
    first = versions.groupBy(key).agg(F.min(start).alias("_first"))
    is_first = F.col("_first").isNull() | (F.col(start) <= F.col("_first"))
    came_or_went = changed.where("_change_type IN ('insert', 'delete')").join(first, key, "left")
    own = came_or_went.select(key, F.when(~is_first, F.col(start)).alias("since"), F.col(end).alias("until"))
    moved = (
        changed.where("_change_type LIKE 'update%'")
        .groupBy(key, start)
        .agg(F.min(end).alias("since"), F.max(end).alias("_last"), F.count_if(F.col(end).isNull()).alias("_open"))
        .withColumn("until", F.when(F.col("_open") == 0, F.col("_last")))
        .where(F.col("since").isNotNull() & ~F.col("since").eqNullSafe(F.col("until")))
    )
    return own.unionByName(moved.select(key, "since", "until")).distinct()


def holding(versions: DataFrame, *, key: str, start: str, end: str) -> DataFrame:
    """The versions with `since` and `until` (exclusive): between them each holds, the first one also at all times
    before it; null is without end."""
    first = F.min(start).over(Window.partitionBy(key)) == F.col(start)
    return versions.withColumn("since", F.when(~first, F.col(start))).withColumn("until", F.col(end))


def holds_at(moment: str) -> Column:
    """Whether the moment lies between `since` and `until`."""
    after = F.col("since").isNull() | (F.col(moment) >= F.col("since"))
    return after & (F.col("until").isNull() | (F.col(moment) < F.col("until")))


def _equal_to_previous(tracked: Sequence[str], window: WindowSpec) -> Column:
    # A struct is never null itself, so that the first row of a key, which has no previous one, differs.
    values = F.struct(*tracked)
    return F.lag(values).over(window).eqNullSafe(values)
