"""Where rows of a source land as Parquet files, which also say how far the source was read.

A directory of its own for each table. A file is written under a hidden name and appears by renaming; its name begins
with the time of its load, so that names sort as the loads went. Its footer has the position after it: data and position
appear together, and neither can be without the other. A directory that is gone is a table that was never read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

DELETED, EXTRACTED_AT, RESCUED = "_deleted", "_extracted_at", "_rescued_data"
MARKS = pa.schema(
    [(RESCUED, pa.string()), (DELETED, pa.bool_()), (EXTRACTED_AT, pa.timestamp("us", tz="UTC"))],
)
"""The columns of landed rows beside the source's own: values that did not fit their column's type (JSON); whether the
row was seen to be gone at the source (then only its key is filled); and when its load began, later for later loads."""

ROWS_A_FILE = 250_000
_POSITION = b"music_lakehouse.position"
_NAME = "%Y%m%dT%H%M%S%fZ"
_TEMPORARY = ".tmp"


@dataclass(frozen=True)
class Position:
    """How far a table was read.

    `source` is the database; `high_watermark` the newest watermark seen (UTC, without zone), None where there is none;
    `full_since` the name of the first file of the last load that took no notice of earlier ones; `loose` are the files
    since then with rows that the high watermark doesn't bound: they have none, or one in the far future.
    """

    source: str
    high_watermark: datetime | None
    full_since: str
    loose: tuple[str, ...] = ()

    def raised(self, seen: datetime | None) -> Position:
        """The position after a watermark was seen. It never goes back."""
        known = [moment for moment in (self.high_watermark, seen) if moment is not None]
        return replace(self, high_watermark=max(known, default=None))


class Landing:
    """The directory of one table's files. One process at a time may land."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def files(self) -> list[Path]:
        """The landed files, oldest first."""
        return sorted(self.directory.glob("[0-9]*Z-*.parquet"))

    def position(self) -> Position | None:
        """How far the table was read; None where nothing has landed."""
        files = self.files()
        return _position(files[-1]) if files else None

    def columns(self) -> pa.Schema | None:
        """The source's columns with the types in which they landed, lost ones too; None where nothing has landed."""
        files = self.files()
        if not files:
            return None
        return pa.schema([field for field in pq.read_schema(files[-1]) if field.name not in MARKS.names])

    def files_since(self, low: datetime | None) -> Iterator[Path]:
        """The files since the last full load in which a row may have a watermark not below `low`, or none, newest
        first; with None, all of them."""
        position = self.position()
        files = [] if position is None else [file for file in self.files() if file.name >= position.full_since]
        while files:
            reached = None if low is None else _position(files[-1]).high_watermark
            if low is not None and reached is not None and reached < low:
                break
            yield files.pop()
        for file in reversed(files):
            if position is not None and file.name in position.loose:
                yield file

    def next_load(self, now: datetime) -> datetime:
        """The time of a load that begins now: later than that of any before, also where the clock went back."""
        files = self.files()
        if not files:
            return now
        last = datetime.strptime(load_of(files[-1]), _NAME).replace(tzinfo=timezone.utc)
        return max(now, last + timedelta(microseconds=1))


def load_of(file: Path) -> str:
    """What the files of one load have in common: the load's time, as their names begin."""
    return file.name.split("-")[0]


def _position(file: Path) -> Position:
    fields = json.loads(pq.read_metadata(file).metadata[_POSITION])
    high = fields["high_watermark"]
    moment = None if high is None else datetime.fromisoformat(high)
    return Position(fields["source"], moment, fields["full_since"], tuple(fields["loose"]))


class Load:
    """Rows of one load on their way into files; within `with`, and complete where that ends without an error.

    `position` is where the load begins, None for a load that takes no notice of earlier ones. Each file appears when it
    is full: after a kill in the middle, the files that are there hold the rows up to their position. `rows` counts what
    was added.
    """

    def __init__(
        self,
        landing: Landing,
        columns: pa.Schema,
        *,
        source: str,
        position: Position | None,
        now: datetime,
        rows_a_file: int = ROWS_A_FILE,
    ) -> None:
        self.rows = 0
        self.files: list[Path] = []
        self.started_at = landing.next_load(now)
        self._landing = landing
        self._rows_a_file = rows_a_file
        self._schema = pa.schema([*columns, *MARKS])
        self._position = position or Position(source, None, self._name(0))
        self._writer: pq.ParquetWriter | None = None
        self._rows_in_file = 0
        self._loose_in_file = False

    @property
    def high_watermark(self) -> datetime | None:
        """The newest watermark seen by now, in this load or before."""
        return self._position.high_watermark

    def __enter__(self) -> Load:
        self._landing.directory.mkdir(parents=True, exist_ok=True)
        for left in self._landing.directory.glob(f".*{_TEMPORARY}"):
            # Of a load that was killed.
            left.unlink()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is None:
            return
        if kind is None:
            self._finish_file()
        else:
            self._writer.close()
            self._temporary.unlink()

    def add(self, rows: pa.Table, *, seen: datetime | None = None, loose: bool = False) -> None:
        """Land the rows, which may lack columns; `seen` is the newest watermark up to which the source was read, and
        `loose` says that some of the rows have none, or one beyond what is ever said to be seen."""
        self._position = self._position.raised(seen)
        if rows.num_rows == 0:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._temporary, self._schema, compression="zstd")
        self._writer.write_table(self._complete(rows))
        self._rows_in_file += rows.num_rows
        self.rows += rows.num_rows
        self._loose_in_file |= loose
        if self._rows_in_file >= self._rows_a_file:
            self._finish_file()

    def _complete(self, rows: pa.Table) -> pa.Table:
        marks = {
            DELETED: pa.repeat(False, rows.num_rows),
            EXTRACTED_AT: pa.repeat(pa.scalar(self.started_at, MARKS.field(EXTRACTED_AT).type), rows.num_rows),
        }
        columns = {**marks, **{name: rows[name] for name in rows.column_names}}
        nulls = {field.name: pa.nulls(rows.num_rows, field.type) for field in self._schema if field.name not in columns}
        return pa.table({**columns, **nulls}).select(self._schema.names).cast(self._schema)

    def _finish_file(self) -> None:
        assert self._writer is not None
        file = self._landing.directory / self._name(len(self.files))
        if self._loose_in_file:
            self._position = replace(self._position, loose=(*self._position.loose, file.name))
        self._writer.add_key_value_metadata({_POSITION: json.dumps(asdict(self._position), default=str)})
        self._writer.close()
        with self._temporary.open("rb") as written:
            # Before it has its name, so that a machine that stops leaves no file that is half there.
            os.fsync(written.fileno())
        self._temporary.rename(file)
        self.files.append(file)
        self._writer, self._rows_in_file, self._loose_in_file = None, 0, False

    @property
    def _temporary(self) -> Path:
        return self._landing.directory / f".{self._name(len(self.files))}{_TEMPORARY}"

    def _name(self, number: int) -> str:
        return f"{self.started_at.strftime(_NAME)}-{number:05d}.parquet"
