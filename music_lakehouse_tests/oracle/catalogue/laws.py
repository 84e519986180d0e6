"""What has to hold over the dimensions of any lake, as a function that names what breaks it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from music_lakehouse_tests.oracle.values import Row

_OF_THE_VERSION = ("start_at", "end_at", "is_current", "is_deleted")


def versions_are_whole(rows: list[Row], noun: str) -> list[str]:
    """The versions of a key have a length and don't overlap; a gap, and two neighbours that show the same, are where
    the key was deleted only; the last one alone is current and open, or none is, where the key is deleted."""
    name = f"{noun}_version_key"
    counted = Counter(row[name] for row in rows)
    broken = [f"{name} {key} stands for {count} versions" for key, count in counted.items() if count > 1]
    by_key: dict[int, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["start_at"]):
        by_key.setdefault(row[f"{noun}_id"], []).append(row)
    for key, versions in by_key.items():
        for row in versions:
            if row["end_at"] is not None and row["end_at"] <= row["start_at"]:
                broken.append(f"{noun} {key} has a version without length at {row['start_at']}")
            if row["is_current"] != (row["end_at"] is None):
                broken.append(f"{noun} {key} has a version that is current and ended, or neither, at {row['start_at']}")
        for row, following in pairwise(versions):
            same = _shown(row, name) == _shown(following, name)
            if row["end_at"] is None or row["end_at"] > following["start_at"]:
                broken.append(f"{noun} {key} has an overlap before {following['start_at']}")
            elif not row["is_deleted"] and (row["end_at"] != following["start_at"] or same):
                broken.append(f"{noun} {key} has a gap or changes nothing before {following['start_at']}")
        if versions[-1]["is_current"] == versions[-1]["is_deleted"]:
            broken.append(f"the last version of {noun} {key} is neither current nor deleted, or both")
    return broken


def _shown(row: Row, name: str) -> Row:
    return {column: value for column, value in row.items() if column not in (name, *_OF_THE_VERSION)}
