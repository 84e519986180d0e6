"""What held when: the rows of one key, in order, as versions without repeats."""

from __future__ import annotations

from collections.abc import Iterable

from music_lakehouse_tests.oracle.customers.files import Record

Key = tuple[int, ...]


def timelines(rows: Iterable[Record], key_columns: tuple[str, ...]) -> dict[Key, list[Record]]:
    """For each key the rows that changed something, oldest first; each holds from its file's `date_added` until that of
    the next. The rows come in the order in which they are applied."""
    found: dict[Key, list[Record]] = {}
    for record in rows:
        key = tuple(record.row[column] for column in key_columns)
        _apply(found.setdefault(key, []), record)
    return found


def _apply(versions: list[Record], record: Record) -> None:
    if versions and versions[-1].row == record.row:
        return
    # Of what one moment brought, the last holds: no version has zero length.
    if versions and versions[-1].file.date_added == record.file.date_added:
        versions.pop()
        if versions and versions[-1].row == record.row:
            return
    versions.append(record)
