"""Checks that many tables share."""

from __future__ import annotations

from collections.abc import Sequence

from music_lakehouse.lakehouse.checks import Check
from music_lakehouse.lakehouse.tables import Table


def row_count(full_name: str) -> str:
    """How many rows another table has, by its log, as an SQL expression."""
    return f"(SELECT rows FROM row_counts WHERE name = '{full_name}')"


def newest_time(full_name: str) -> str:
    """The greatest `timestamp` of a table, by its log, as an SQL expression; null where it is empty."""
    return f"(SELECT newest FROM newest_times WHERE name = '{full_name}')"


def same_keys(key: str, expected: str, found: str) -> str:
    """A query for what a check evaluates over everything: each `key` (columns, by commas) that the query `expected`
    gives is there as often as the query `found` gives it."""
    return f"""
        SELECT coalesce(sum(expected), 0) AS rows, count(*) FILTER (WHERE expected <> found) AS failed,
               coalesce(sum(greatest(expected - found, 0)), 0) AS missing,
               coalesce(sum(greatest(found - expected, 0)), 0) AS unexpected
        FROM (
            SELECT {key}, count(*) FILTER (WHERE is_expected) AS expected,
                   count(*) FILTER (WHERE NOT is_expected) AS found
            FROM (SELECT {key}, true AS is_expected FROM ({expected}) UNION ALL SELECT {key}, false FROM ({found}))
            GROUP BY {key}
        )
    """


def of_each_row(name: str, description: str, broken: str, *, threshold: float = 0.0, error: bool = True) -> Check:
    """A check of each touched row by itself: `broken` says when it fails."""
    sql = f"SELECT count(*) AS rows, count(*) FILTER (WHERE {broken}) AS failed FROM touched"
    return Check(name, description, sql, threshold, error)


def of_all_rows(name: str, description: str, broken: str, *, threshold: float, error: bool = True) -> Check:
    """A check of how many of all rows are broken, where any were touched: for what these alone say little of."""
    counts = f"SELECT count(*) AS rows, count(*) FILTER (WHERE {broken}) AS failed FROM"
    return Check(name, description, f"{counts} current WHERE EXISTS (FROM touched)", threshold, error)


def key_is_unique(table: Table) -> list[Check]:
    """No two rows have the same key."""
    columns = ", ".join(f'"{name}"' for name in table.key)
    # A key that is missing is another check's.
    is_there = " AND ".join(f'"{name}" IS NOT NULL' for name in table.key)

    def twice(rows: str) -> str:
        return (
            f"SELECT (SELECT count(*) FROM touched) AS rows, count(*) AS failed FROM "
            f"(SELECT {columns} FROM {rows} GROUP BY ALL HAVING count(*) > 1)"
        )

    return [
        Check(
            "key_unique",
            f"no two rows have the same {columns}",
            twice(f"current SEMI JOIN touched USING ({columns})"),
            whole=twice(f"current WHERE {is_there}"),
        )
    ]


def key_is_there(table: Table) -> list[Check]:
    """No part of a key is missing."""
    return [of_each_row("key_not_null", "the key is there", " OR ".join(f'"{name}" IS NULL' for name in table.key))]


def quarantine_checks(table: Table) -> list[Check]:
    """Each refused row is there once, with its reasons."""
    return [
        *key_is_there(table),
        *key_is_unique(table),
        of_each_row("has_a_reason", "every row names the rules that it breaks", "len(reasons) = 0 OR reasons IS NULL"),
    ]


def scd2_checks(
    noun: str,
    *,
    key: str,
    start: str,
    end: str,
    is_current: str,
    shown: Sequence[str],
    open_end: str = "NULL",
    is_deleted: str = "false",
    law: str = "",
) -> list[Check]:
    """The laws of a slowly changing dimension of type 2, for the keys that were touched.

    `noun` is what a key stands for, `is_current` the predicate of the version that holds, `open_end` its `end` in SQL,
    `shown` the columns in which neighbours differ; `law` is put before the descriptions. Where keys may be deleted,
    `is_deleted` is the predicate of a version that ended so: none follows, or a later one that may show the same.
    """
    touched = f"current SEMI JOIN touched USING ({key})"
    values = ", ".join(shown)
    unless = " unless it was deleted" if is_deleted != "false" else ""
    return [
        Check(
            "one_current_row",
            f"{law}every {noun} has exactly one current row{unless and ', none where it was deleted'}",
            f"""
            SELECT count(*) AS rows, count(*) FILTER (WHERE current_rows <> CAST(NOT deleted AS INT)) AS failed FROM (
                SELECT {key}, count(*) FILTER (WHERE {is_current}) AS current_rows,
                       arg_max({is_deleted}, {start}) AS deleted
                FROM {touched} GROUP BY {key}
            )
            """,
        ),
        Check(
            "no_gap_no_overlap",
            f"{law}each version of a {noun} ends where the next one starts{unless}",
            f"""
            SELECT count(*) AS rows, count(*) FILTER (
                WHERE {end} <= {start} OR CASE WHEN {is_deleted} THEN {end} IS NULL OR {end} > next_start
                ELSE {end} IS DISTINCT FROM coalesce(next_start, {open_end}) END
            ) AS failed FROM (
                SELECT *, lead({start}) OVER (PARTITION BY {key} ORDER BY {start}) AS next_start FROM {touched}
            )
            """,
        ),
        Check(
            "neighbours_differ",
            f"{law}two neighbouring versions of a {noun} never show the same{unless}",
            f"""
            SELECT count(*) AS rows, count(*) FILTER (WHERE shown = previous AND NOT deleted) AS failed FROM (
                SELECT ({values}) AS shown, lag(({values})) OVER by_time AS previous,
                       lag({is_deleted}) OVER by_time AS deleted
                FROM {touched} WINDOW by_time AS (PARTITION BY {key} ORDER BY {start})
            )
            """,
        ),
        of_each_row(
            "current_is_open",
            f"{law}a version is current exactly while it has no end",
            f"({is_current}) IS DISTINCT FROM ({end} IS NOT DISTINCT FROM {open_end})",
        ),
    ]
