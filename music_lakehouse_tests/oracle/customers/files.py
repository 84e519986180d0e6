"""The landed files, their rows, and what becomes of each row."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from music_lakehouse_tests.oracle.coercion import UnfitValueError
from music_lakehouse_tests.oracle.customers.schema import Source
from music_lakehouse_tests.oracle.values import EPOCH, Row

DatesAdded = Mapping[str, datetime]
"""When each file was loaded, by its name; the modification time for files that it lacks."""


@dataclass(frozen=True)
class LandedFile:
    """A file whose content wasn't loaded before under another name."""

    path: Path
    date_added: datetime


@dataclass(frozen=True)
class Record:
    """A row of a file, as its text, typed, and all the reasons for which it is refused (none: silver has it)."""

    file: LandedFile
    content: str
    row: Row
    reasons: list[str]


def landed_files(directory: Path, dates_added: DatesAdded) -> tuple[list[LandedFile], list[Path]]:
    """The CSV files that are loaded, in order of modification time, then name; and those whose content was loaded
    before, which are not."""
    loaded: dict[str, LandedFile] = {}
    repeated = []
    for path in sorted(directory.glob("*.csv"), key=lambda path: (path.stat().st_mtime_ns, path.name)):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest in loaded:
            repeated.append(path)
            continue
        modified = EPOCH + timedelta(microseconds=path.stat().st_mtime_ns // 1000)
        loaded[digest] = LandedFile(path, dates_added.get(path.name, modified))
    return list(loaded.values()), repeated


def records(file: LandedFile, source: Source) -> Iterator[Record]:
    """The rows of a file in its order: a first line with the names of the columns, in any order and case, then fields
    between commas, in double quotes where they hold a comma, a quote (doubled) or the end of a line.

    Blank lines are no rows; columns that the source doesn't know are passed over. A row is `malformed` where it hasn't
    as many fields as the header, or its last quote is never closed; `<column>_missing` where a required value is empty,
    or the file hasn't the column at all; `<column>_unfit` where a value can't be read as its column's type.
    """
    lines = _logical_lines(file.path.read_bytes().decode("utf-8-sig", errors="replace"))
    header = [name.strip().lower() for name in _fields(next(lines, ""))]
    for content in lines:
        fields = _fields(content)
        if _is_open(content) or len(fields) != len(header):
            yield Record(file, content, {}, ["malformed"])
        else:
            yield _typed(file, content, dict(zip(header, fields, strict=True)), source)


def _typed(file: LandedFile, content: str, sent: dict[str, str], source: Source) -> Record:
    row: Row = {}
    reasons = []
    for column, coerce in source.columns.items():
        row[column] = None
        value = sent.get(column)
        if not value:
            if value is None or column in source.required:
                reasons.append(f"{column}_missing")
            continue
        try:
            row[column] = coerce(value)
        except UnfitValueError:
            reasons.append(f"{column}_unfit")
    return Record(file, content, row, reasons)


def _logical_lines(text: str) -> Iterator[str]:
    """The text cut at line ends outside of quotes, without blank lines."""
    pending = ""
    for line in text.split("\n"):
        pending = f"{pending}\n{line}" if pending else line
        if not _is_open(pending):
            if pending.strip():
                yield pending
            pending = ""
    if pending:
        yield pending


def _is_open(text: str) -> bool:
    """Whether the text ends inside of quotes."""
    return text.count('"') % 2 == 1


def _fields(line: str) -> list[str]:
    return next(csv.reader([line]), [])
