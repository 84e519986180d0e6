"""Comparing a lake with the oracle, cell by cell."""

from __future__ import annotations

import json
import math
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from music_lakehouse_tests.oracle.lake import read_lake, rows_of_table
from music_lakehouse_tests.oracle.messages import Message, messages_from_kafka, messages_from_raw
from music_lakehouse_tests.oracle.tables import TABLE_KEYS, tables_of
from music_lakehouse_tests.oracle.values import Row

__all__ = ["assert_lake_equals_oracle", "differences", "messages_from_kafka", "messages_from_raw", "read_lake"]

MOST_MESSAGES = 20
Key: TypeAlias = tuple[Any, ...]


def differences(
    expected_rows: Sequence[Row],
    actual_rows: Iterable[Row],
    key_columns: Sequence[str],
    *,
    float_tolerance: float = 1e-9,
) -> list[str]:
    """What the actual rows have otherwise than the expected ones, a line each: a missing column, a key that is there
    too often, not at all or unexpectedly, or a cell; empty where they are equal, after 20 lines the rest is counted.

    Columns that the expected rows lack aren't compared. Doubles may differ by the tolerance times their size, or by
    the tolerance itself where they are below 1; nothing else may differ, neither None from a value. Actual rows are
    looked at one by one and let go.
    """
    actual = iter(actual_rows)
    if not expected_rows:
        return _capped([f"{_named(row, key_columns)}: not expected" for row in actual])
    first = next(actual, None)
    columns = list(expected_rows[0])
    absent = [column for column in columns if first is not None and column not in first]
    found = [f"column {column}: missing" for column in absent]
    if any(column in key_columns for column in absent):
        deque(actual, maxlen=0)
        return found
    compared = [column for column in columns if column not in absent]
    expected = _by_key(expected_rows, key_columns)
    seen: Counter[Key] = Counter()
    wrong: dict[Key, list[str]] = {}
    unexpected: dict[Key, str] = {}
    for row in actual if first is None else chain([first], actual):
        key = _key(row, key_columns)
        wanted = expected.get(key, [])
        if not wanted:
            unexpected.setdefault(key, f"{_named(row, key_columns)}: not expected")
        elif seen[key] < len(wanted):
            other = wanted[seen[key]]
            cells = [column for column in compared if not _equal(other[column], row[column], float_tolerance)]
            if cells:
                name = _named(other, key_columns)
                wrong.setdefault(key, []).extend(
                    f"{name}: {column}: expected {other[column]!r}, got {row[column]!r}" for column in cells
                )
        seen[key] += 1
    for key, rows in expected.items():
        if seen[key] != len(rows):
            often = f"expected {len(rows)} rows, got {seen[key]}" if seen[key] else "missing"
            found.append(f"{_named(rows[0], key_columns)}: {often}")
        else:
            found += wrong.get(key, [])
    return _capped([*found, *unexpected.values()])


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
    for name in list(expected) if tables is None else tables:
        # Let go once it is compared: of millions of messages they fill the memory.
        wanted = [_comparable(name, row) for row in expected.pop(name)]
        got = _Counted(_comparable(name, row) for row in rows_of_table(root, name))
        found = differences(wanted, got, TABLE_KEYS[name])
        if found:
            report.append("\n  ".join([f"{name}: {got.count} rows, the oracle has {len(wanted)}", *found]))
    assert not report, f"{root} differs from the oracle\n" + "\n".join(report)


class _Counted:
    """Rows that are counted as they come."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.count = 0
        self._rows = rows

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.count += 1
            yield row


def _comparable(name: str, row: Row) -> Row:
    """A row with what the contract leaves open reduced to what it fixes: the names of the fields that were rescued, and
    that there are reasons."""
    if name == "bronze.quarantine":
        return {**row, "reasons": bool(row["reasons"])}
    if name.startswith("bronze.") and row["_rescued_data"] is not None:
        return {**row, "_rescued_data": _rescued_fields(row["_rescued_data"])}
    return row


def _rescued_fields(rescued: str) -> list[str] | None:
    fields = sorted(field for field, value in json.loads(rescued).items() if value not in (None, ""))
    return fields or None


def _by_key(rows: Sequence[Row], key_columns: Sequence[str]) -> dict[Key, list[Row]]:
    grouped: dict[Key, list[Row]] = {}
    for row in rows:
        grouped.setdefault(_key(row, key_columns), []).append(row)
    return grouped


def _key(row: Row, key_columns: Sequence[str]) -> Key:
    return tuple(row[column] for column in key_columns)


def _named(row: Row, key_columns: Sequence[str]) -> str:
    return ", ".join(f"{column}={row.get(column)}" for column in key_columns)


def _equal(expected: Any, actual: Any, tolerance: float) -> bool:
    if isinstance(expected, float) and isinstance(actual, (int, float)):
        return math.isclose(expected, actual, rel_tol=tolerance, abs_tol=tolerance)
    return bool(expected == actual)


def _capped(found: list[str]) -> list[str]:
    rest = len(found) - MOST_MESSAGES
    return [*found[:MOST_MESSAGES], f"... and {rest} more"] if rest > 0 else found
