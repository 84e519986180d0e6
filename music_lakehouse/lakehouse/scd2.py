"""Slowly changing dimensions of type 2: from evidence of what held when, in any order, to versions without gap or
overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


def versions_query(
    *,
    key: Sequence[str],
    at: str,
    order: Sequence[str],
    tracked: Sequence[str],
    carried: Mapping[str, str],
    start: str,
    end: str,
    kept: Sequence[str] = (),
) -> str:
    """A query, in words that any SQL engine understands: one row a version of a key, the stretch of time in which none
    of the tracked columns changed.

    In, as `{evidence}`: one row an evidence, in any order, repeats allowed: the key, the time `at`, the tracked
    columns, and `order`, which ranks evidence of one time (ascending, null first; then by the tracked columns), of
    which the last holds. A null in a `carried` column means unknown and is filled with the last known value before it,
    or with the given one where there is none.
    Out: key, `start` (inclusive), `end` (exclusive, null while the version holds), tracked, and `kept`: columns of the
    evidence with which the version began (of equal evidence of one time, the first). Neighbours differ in at least one
    tracked column; each version ends where the next starts. The result depends on the set of evidence alone.
    """
    columns = [*dict.fromkeys((*key, at, *order, *tracked, *kept))]
    keys = ", ".join(f"e.{name}" for name in key)
    rank = ", ".join(f"e.{name} NULLS FIRST" for name in (at, *order, *tracked))
    by_rank = f"PARTITION BY {keys} ORDER BY e._rank"
    so_far = f"({by_rank} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    as_before = " AND ".join(
        ("row_number() OVER w > 1", *(f"lag(e.{name}) OVER w IS NOT DISTINCT FROM e.{name}" for name in tracked))
    )
    # The last of those before that is known. Of "last_value … IGNORE NULLS" each engine has a form of its own.
    known = {
        name: f"coalesce(max_by(e.{name}, CASE WHEN e.{name} IS NOT NULL THEN e._rank END) OVER {so_far}, '{missing}')"
        for name, missing in carried.items()
    }
    shown = [f"{known[name]} AS {name}" if name in known else f"e.{name}" for name in columns]

    def named(*names: str) -> str:
        return ", ".join(f"e.{name}" for name in names)

    def new_in(rows: str) -> str:
        """Those that aren't as the one before."""
        return f"""
            SELECT {named(*columns)}, e._rank FROM (
                SELECT e.*, {as_before} AS _same FROM {rows} AS e WINDOW w AS ({by_rank})
            ) AS e WHERE NOT e._same
        """

    # What repeats the evidence before it would otherwise stand for it where both are of one time.
    evidence = f"({new_in('ranked')})" if kept else "ranked"
    return f"""
        WITH ranked AS (
            SELECT {named(*columns)}, row_number() OVER (PARTITION BY {keys} ORDER BY {rank}) AS _rank
            FROM {{evidence}} AS e
        ), filled AS (
            SELECT {", ".join(shown)}, e._rank, lead(e.{at}) OVER w AS _next
            FROM {evidence} AS e WINDOW w AS ({by_rank})
        ), last_of_a_time AS (
            SELECT e.* FROM filled AS e WHERE e._next IS DISTINCT FROM e.{at}
        )
        SELECT {keys}, e.{at} AS {start}, lead(e.{at}) OVER ({by_rank}) AS {end}, {named(*tracked, *kept)}
        FROM ({new_in("last_of_a_time")}) AS e
    """


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
