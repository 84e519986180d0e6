"""What held when: the rows of one key as they landed, as versions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from music_lakehouse_tests.oracle.catalogue.files import Record
from music_lakehouse_tests.oracle.values import EPOCH, Row, key

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Stretch:
    """From when on the row held; None: the key was deleted."""

    start: datetime
    row: Row | None


def timeline(landed: Iterable[Record]) -> list[Stretch]:
    """The stretches of one key, from its valid rows in the order in which they landed. What the database says later
    takes the place of all that it said of that time and after."""
    told: list[Stretch] = []
    last: datetime | None = None
    for record in landed:
        if record.deleted:
            start = record.extracted_at if last is None else max(record.extracted_at, last + MICROSECOND)
            stretch = Stretch(start, None)
        else:
            last = record.row["updated_at"]
            stretch = Stretch(last, record.row)
        while told and told[-1].start >= stretch.start:
            told.pop()
        told.append(stretch)
    return told


def versions(landed: Iterable[Record], key_column: str) -> list[Row]:
    """The versions of one key: stretches in which nothing changed but `updated_at`."""
    changes: list[Stretch] = []
    for stretch in timeline(landed):
        if not changes or _shown(changes[-1].row) != _shown(stretch.row):
            changes.append(stretch)
    ends = [following.start for following in changes[1:]]
    found = []
    for number, change in enumerate(changes):
        if change.row is None:
            continue
        end = ends[number] if number < len(ends) else None
        shown = {name: value for name, value in change.row.items() if name != "updated_at"}
        found.append(
            {
                "version_key": key(change.row[key_column], (change.start - EPOCH) // MICROSECOND),
                **shown,
                "start_at": change.start,
                "end_at": end,
                "is_current": end is None,
                "is_deleted": end is not None and changes[number + 1].row is None,
            }
        )
    return found


def _shown(row: Row | None) -> Row | None:
    return None if row is None else {name: value for name, value in row.items() if name != "updated_at"}
