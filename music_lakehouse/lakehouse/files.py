"""Small files of text as tables: whatever can be read of them."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

# A title may be long, and behind a quote that is never closed the rest of the file is one; csv's own limit of 128 KiB a
# field would end the reading.
csv.field_size_limit(2**31 - 1)

_UNREADABLE = "unreadable"
_MOST_LINES_NAMED = 5


@dataclass(frozen=True)
class CsvFile:
    """A CSV file's rows as text, under the columns that were asked for.

    `digest` is what `file_digest` says. `problems` say what could not be read; `is_whole` is whether the file is there
    and has all the columns.
    """

    rows: pa.Table
    digest: str | None
    problems: list[str] = field(default_factory=list)
    is_whole: bool = False

    @property
    def is_unreadable(self) -> bool:
        """Whether there is a file, or may be one, of which nobody knows what it holds."""
        return self.digest == _UNREADABLE


def file_digest(path: Path) -> str | None:
    """What changes with the file's content, one text for all files that can't be read; None where there is no file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
    except OSError:
        return _UNREADABLE


def read_csv(path: Path, columns: Sequence[str]) -> CsvFile:
    """Read the columns from a UTF-8 CSV file with a header, with a byte order mark or without, in any order and case.

    A missing file is an empty one, as is one that the system doesn't let us read; a column that it lacks is null, a row
    with too few fields lacks the last ones, fields beyond the header are ignored, a quote that is never closed ends
    with its line, bytes that are not UTF-8 become U+FFFD: each is named in `problems`.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return CsvFile(_table(columns, []), None, [f"{path} is not there"])
    except OSError as error:
        problem = f"{path} cannot be read ({error.strerror}): let this user read it; what was loaded last is kept"
        return CsvFile(_table(columns, []), _UNREADABLE, [problem])
    # Without NUL, which Python 3.10's csv refuses.
    text = content.decode("utf-8-sig", errors="replace").replace("\0", "")
    misquoted: list[int] = []
    records = filter(None, _records(io.StringIO(text, newline="").readlines(), misquoted))
    header = [name.strip().lower() for name in next(records, [])]
    problems = [f"{path} has no column {name}" for name in columns if name.lower() not in header]
    places = [header.index(name.lower()) if name.lower() in header else None for name in columns]
    rows, ragged = [], 0
    for record in records:
        ragged += len(record) != len(header)
        rows.append([record[place] if place is not None and place < len(record) else None for place in places])
    if ragged:
        problems.append(f"{path} has {ragged} rows with more or fewer fields than its header")
    if misquoted:
        lines = ", ".join(map(str, misquoted[:_MOST_LINES_NAMED])) + ", ..." * (len(misquoted) > _MOST_LINES_NAMED)
        problems.append(f"{path} has quotes that are not closed, or closed before the field ends, in line {lines}")
    if "�" in text:
        problems.append(f"{path} has bytes that are not UTF-8")
    if not rows:
        problems.append(f"{path} has no rows")
    return CsvFile(_table(columns, rows), hashlib.sha256(content).hexdigest(), problems, is_whole=None not in places)


def _records(lines: Sequence[str], misquoted: list[int]) -> Iterator[list[str]]:
    """The fields of each record. Of one whose quotes are not as they should be only the first line is read, as far as
    its fields can be told, so that a quote which is never closed hides none of the lines behind it; the number of that
    line, from 1, is added to `misquoted`."""
    done = 0
    while done < len(lines):
        begun = done
        reader = csv.reader(map(lines.__getitem__, range(begun, len(lines))), strict=True)
        try:
            for record in reader:
                done = begun + reader.line_num
                yield record
        except csv.Error:
            yield next(csv.reader([lines[done].rstrip("\r\n")]))
            done += 1
            misquoted.append(done)


def _table(columns: Sequence[str], rows: list[list[str | None]]) -> pa.Table:
    by_column: list[Sequence[str | None]] = list(zip(*rows, strict=True)) if rows else [[] for _ in columns]
    return pa.table({name: pa.array(values, pa.string()) for name, values in zip(columns, by_column, strict=True)})
