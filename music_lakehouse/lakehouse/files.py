"""Small files of text as tables: whatever can be read of them."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

# A title may be long; csv's own limit of 128 KiB a field would end the reading.
csv.field_size_limit(16 * 1024 * 1024)


@dataclass(frozen=True)
class CsvFile:
    """A CSV file's rows as text, under the columns that were asked for.

    `digest` changes with the file's content; it is None where there is no file. `problems` say what could not be read;
    `is_whole` is whether the file is there and has all the columns.
    """

    rows: pa.Table
    digest: str | None
    problems: list[str] = field(default_factory=list)
    is_whole: bool = False


def file_digest(path: Path) -> str | None:
    """What changes with the file's content, and is None where there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def read_csv(path: Path, columns: Sequence[str]) -> CsvFile:
    """Read the columns from a UTF-8 CSV file with a header, with a byte order mark or without, in any order and case.

    A missing file is an empty one, a column that it lacks is null, a row with too few fields lacks the last ones,
    fields beyond the header are ignored, bytes that are not UTF-8 become U+FFFD: each is named in `problems`.
    """
    if not path.is_file():
        return CsvFile(_table(columns, []), None, [f"{path} is not there"])
    content = path.read_bytes()
    # Without NUL, which Python 3.10's csv refuses.
    text = content.decode("utf-8-sig", errors="replace").replace("\0", "")
    lines = (line for line in csv.reader(io.StringIO(text, newline="")) if line)
    header = [name.strip().lower() for name in next(lines, [])]
    problems = [f"{path} has no column {name}" for name in columns if name.lower() not in header]
    places = [header.index(name.lower()) if name.lower() in header else None for name in columns]
    rows, ragged = [], 0
    for line in lines:
        ragged += len(line) != len(header)
        rows.append([line[place] if place is not None and place < len(line) else None for place in places])
    if ragged:
        problems.append(f"{path} has {ragged} rows with more or fewer fields than its header")
    if "�" in text:
        problems.append(f"{path} has bytes that are not UTF-8")
    if not rows:
        problems.append(f"{path} has no rows")
    return CsvFile(_table(columns, rows), hashlib.sha256(content).hexdigest(), problems, is_whole=None not in places)


def _table(columns: Sequence[str], rows: list[list[str | None]]) -> pa.Table:
    by_column: list[Sequence[str | None]] = list(zip(*rows, strict=True)) if rows else [[] for _ in columns]
    return pa.table({name: pa.array(values, pa.string()) for name, values in zip(columns, by_column, strict=True)})
