"""Comparing a lake with the oracle, cell by cell."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from music_lakehouse_tests.oracle.lake import read_lake, read_table
from music_lakehouse_tests.oracle.messages import Message, messages_from_kafka, messages_from_raw
from music_lakehouse_tests.oracle.tables import TABLE_KEYS, tables_of
from music_lakehouse_tests.oracle.values import Row

__all__ = ["assert_lake_equals_oracle", "differences", "messages_from_kafka", "messages_from_raw", "read_lake"]

MOST_MESSAGES = 20


def differences(
    expected_rows: Sequence[Row],
    actual_rows: Sequence[Row],
    key_columns: Sequence[str],
    *,
    float_tolerance: float = 1e-9,
) -> list[str]:
    """What the actual rows have otherwise than the expected ones, a line each: a missing column, a key that is there
    too often, not at all or unexpectedly, or a cell; empty where they are equal, after 20 lines the rest is counted.

    Columns that the expected rows lack aren't compared. Doubles may differ by the tolerance times their size, or by
    the tolerance itself where they are below 1; nothing else may differ, neither None from a value.
    """
    if not expected_rows:
        return _capped([f"{_named(row, key_columns)}: not expected" for row in actual_rows])
    columns = list(expected_rows[0])
    absent = [column for column in columns if actual_rows and column not in actual_rows[0]]
    found = [f"column {column}: missing" for column in absent]
    if any(column in key_columns for column in absent):
        return found
    compared = [column for column in columns if column not in absent]
    expected, actual = _by_key(expected_rows, key_columns), _by_key(actual_rows, key_columns)
    for key, rows in expected.items():
        name, others = _named(rows[0], key_columns), actual.get(key, [])
        if len(rows) != len(others):
            found.append(f"{name}: expected {len(rows)} rows, got {len(others)}" if others else f"{name}: missing")
            continue
        for row, other in zip(rows, others, strict=True):
            found += [
                f"{name}: {column}: expected {row[column]!r}, got {other[column]!r}"
                for column in compared
                if not _equal(row[column], other[column], float_tolerance)
            ]
    found += [f"{_named(rows[0], key_columns)}: not expected" for key, rows in actual.items() if key not in expected]
    return _capped(found)


def assert_lake_equals_oracle(
    root: str | Path,
    messages: Iterable[Message],
    reference_root: str | Path,
    tables: Collection[str] | None = None,
) -> None:
    """Fails, with all the differences, unless the lake's tables (`layer.table`; None: every one that the oracle knows)
    equal those which the oracle makes of the messages and the reference files."""
    reference = Path(reference_root)
    expected = tables_of(messages, reference / "songs.csv", reference / "state_codes.csv")
    report = []
    for name in expected if tables is None else tables:
        wanted, got = (_comparable(name, rows) for rows in (expected[name], read_table(root, name)))
        found = differences(wanted, got, TABLE_KEYS[name])
        if found:
            report.append("\n  ".join([f"{name}: {len(got)} rows, the oracle has {len(wanted)}", *found]))
    assert not report, f"{root} differs from the oracle\n" + "\n".join(report)


def _comparable(name: str, rows: list[Row]) -> list[Row]:
    """Rows with what the contract leaves open reduced to what it fixes: the names of the fields that were rescued, and
    that there are reasons."""
    if name == "bronze.quarantine":
        return [{**row, "reasons": bool(row["reasons"])} for row in rows]
    if name.startswith("bronze."):
        return [{**row, "_rescued_data": _rescued_fields(row["_rescued_data"])} for row in rows]
    return rows


def _rescued_fields(rescued: str | None) -> list[str]:
    return sorted(field for field, value in json.loads(rescued or "{}").items() if value not in (None, ""))


def _by_key(rows: Sequence[Row], key_columns: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    grouped: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        grouped.setdefault(tuple(row[column] for column in key_columns), []).append(row)
    return grouped


def _named(row: Row, key_columns: Sequence[str]) -> str:
    return ", ".join(f"{column}={row.get(column)}" for column in key_columns)


def _equal(expected: Any, actual: Any, tolerance: float) -> bool:
    if isinstance(expected, float) and isinstance(actual, (int, float)):
        return math.isclose(expected, actual, rel_tol=tolerance, abs_tol=tolerance)
    return bool(expected == actual)


def _capped(found: list[str]) -> list[str]:
    rest = len(found) - MOST_MESSAGES
    return [*found[:MOST_MESSAGES], f"... and {rest} more"] if rest > 0 else found
