"""Reference files as tables that are always equal to the file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame

from music_lakehouse.lakehouse.delta import TableState
from music_lakehouse.lakehouse.files import file_digest, read_csv
from music_lakehouse.lakehouse.lake import Lake, LakePaths
from music_lakehouse.lakehouse.positions import (
    begins_anew,
    forget_positions,
    read_source_position,
    record_source_position,
)
from music_lakehouse.lakehouse.tables import Column, Table
from music_lakehouse.lakehouse.upsert import Written, make_equal

LINE = "_line"


@dataclass(frozen=True)
class Reference:
    """A table that follows a CSV file: its columns, and the pure function from its rows as text to the table's rows.

    The function is given the columns and `_line`, a row's place in the file. With `keeps`, a file that is gone or lacks
    a column leaves the table as it was, rather than as an empty file would.
    """

    table: Table
    file_name: str
    columns: Sequence[Column]
    transform: Callable[[DataFrame], DataFrame]
    keeps: bool = False


@dataclass(frozen=True)
class ReferenceReport:
    """What one load did; `problems` say what could not be read of the file, `anew` whether the table was to be written
    anew as a whole."""

    written: Written
    problems: list[str]
    anew: bool
    seconds: float


def load_reference(lake: Lake, reference: Reference, directory: Path) -> ReferenceReport:
    """Make the table equal to the file, where the file is not the one that was loaded last. A missing file is empty,
    unless the reference keeps; one that can't be read leaves the table as it was."""
    started = time.monotonic()
    if lake.create(reference.table):
        forget_positions(lake, reference.table.full_name)
    file = read_csv(directory / reference.file_name, [column.name for column in reference.columns])
    position = _position(file.digest)
    written = Written()
    anew = begins_anew(lake, reference.table.full_name)
    if anew or read_source_position(lake, reference.table.full_name, reference.file_name) != position:
        taken = file.is_whole or not (reference.keeps or file.is_unreadable)
        if taken:
            rows = file.rows.append_column(LINE, pa.array(range(1, file.rows.num_rows + 1), pa.int64()))
            lines = lake.frame(rows)
            with lake.replacing(reference.table) if anew else nullcontext():
                written = make_equal(lake, reference.table, reference.transform(lines), delete=True)
        if taken or not anew:
            record_source_position(lake, reference.table.full_name, reference.file_name, position)
    return ReferenceReport(written, file.problems, anew, time.monotonic() - started)


def is_outdated(lake: LakePaths, reference: Reference, directory: Path) -> bool:
    """Whether the file is another one than was loaded last. A file that never was there is none. Reads no more than
    the file and the lake's positions."""
    digest = file_digest(directory / reference.file_name)
    loaded = read_source_position(lake, reference.table.full_name, reference.file_name)
    return digest is not None if loaded is None else loaded != _position(digest)


def _position(digest: str | None) -> TableState:
    return TableState(digest or "missing", 0)
