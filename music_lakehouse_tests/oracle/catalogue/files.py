"""The landed rows, in the order in which the database held them, and what becomes of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from music_lakehouse_tests.oracle.catalogue.schema import Source
from music_lakehouse_tests.oracle.values import Row


@dataclass(frozen=True)
class Record:
    """A landed row, typed, and all the reasons for which it is refused; of a deleted one only the key is there."""

    file: str
    number: int
    row: Row
    deleted: bool
    extracted_at: datetime
    reasons: list[str]


def records(landing_root: Path, source: Source) -> list[Record]:
    """All landed rows of the table, load by load and as they were read."""
    directory = landing_root / "catalogue" / source.name
    found = [record for file in directory.glob("[!.]*.parquet") for record in _of_file(file, source)]
    return sorted(found, key=lambda record: (record.extracted_at, record.file, record.number))


def _of_file(file: Path, source: Source) -> Iterator[Record]:
    for number, landed in enumerate(pq.read_table(file).to_pylist(), 1):
        row = typed(landed, source)
        deleted = landed["_deleted"]
        yield Record(
            f"catalogue/{source.name}/{file.name}",
            number,
            row,
            deleted,
            landed["_extracted_at"],
            reasons(row, source, deleted=deleted),
        )


def typed(sent: Row, source: Source) -> Row:
    """The source's columns in their types; what doesn't fit, or isn't there, is None."""
    values: dict[str, Any] = {name: sent.get(name) for name in source.columns}
    return {name: None if value is None else source.columns[name](value) for name, value in values.items()}


def reasons(row: Row, source: Source, *, deleted: bool = False) -> list[str]:
    """The rules that a row breaks; a deleted one needs its key only."""
    needed = (source.key,) if deleted else (source.key, *source.required)
    broken = [f"{name}_missing" for name in needed if row[name] is None]
    if not deleted:
        broken += [f"{name}_not_positive" for name in source.positive if row[name] is None or row[name] <= 0]
    return broken
