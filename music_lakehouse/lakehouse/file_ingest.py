"""Landed files into a bronze table: each file once, in the order in which they landed.

Why not Spark's streaming file source: it knows files by path and time, so that a content delivered under two names
comes twice; within a batch it knows no order of files and no place of a row in its file; one file that can't be read
ends the query; and what it has taken is told by its checkpoint alone. Here the rows tell it themselves: each names its
file and its place in it, the rows of a file appear in one commit, and `metrics.files`, which is written after it, says
what became of each file. Where the table has other rows than that ledger knows of (after a kill in between, or where
the ledger was lost), the table is asked which files it has. There is no checkpoint to lose. Files are read in this
process, by Arrow: a landing directory is local, and a small file costs two commits of a few milliseconds instead of a
micro-batch.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa

from music_lakehouse.lakehouse.file_ledger import LOADED, REPEATED, UNREADABLE, FileRecord, read_files, record_files
from music_lakehouse.lakehouse.fitting import fitted
from music_lakehouse.lakehouse.lake import Lake, LakePaths
from music_lakehouse.lakehouse.query import query
from music_lakehouse.lakehouse.tables import Column, Table

RESCUED, ROW_NUMBER, SOURCE_FILE, DATE_ADDED = "_rescued_data", "row_number", "source_filename", "date_added"
FILE_COLUMNS = (
    Column(RESCUED, "STRING", "what of the row doesn't fit its columns, as it stands in the file", pii=True),
    Column(SOURCE_FILE, "STRING", "the file, below LANDING_ROOT"),
    Column(ROW_NUMBER, "BIGINT", "the row's place in the file, from 1"),
    Column(DATE_ADDED, "TIMESTAMP", "when the file landed: its modification time, UTC"),
)
"""The columns that a table of landed rows has beside those of the files."""
FILE_KEY = (SOURCE_FILE, ROW_NUMBER)

MOST_BYTES_A_COMMIT = 256 * 1024 * 1024
CHANGED = "it changed after it was read; what came with that was not taken: let it land under another name"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class UnreadableFileError(ValueError):
    """Nothing can be read of a file; the text says why."""


@dataclass(frozen=True)
class FileSource:
    """The files of a directory below LANDING_ROOT, and the table that takes them.

    `read` makes rows of a file's content: columns of the table, among them `row_number` from 1; it raises
    UnreadableFileError where it can't. A value that doesn't fit its column's type is kept in `_rescued_data`, a column
    that the file lacks is null. A column that the table lacks is left out, or where the source `evolves` added to the
    table. Files whose names begin with a dot or an underscore are passed over. At most `most_files` are taken in one
    commit. Each content is taken once; where the source `repeats`, once under each name.
    """

    table: Table
    directory: str
    pattern: str
    read: Callable[[bytes], pa.Table]
    most_files: int = 1000
    evolves: bool = False
    repeats: bool = False


@dataclass(frozen=True)
class LandedFile:
    """A file as it lies in the landing directory."""

    path: Path
    name: str
    size: int
    modified_ns: int

    @property
    def modified_at(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self.modified_ns // 1000)

    def is_as_recorded(self, record: FileRecord) -> bool:
        """Whether it looks as it did when it was recorded."""
        return (self.size, self.modified_at) == (record.size, record.modified_at)


@dataclass
class Ingested:
    """What one run took: rows, of them `rescued`, columns that were added to the table, and the files by what became of
    them. `unfinished` files were being written meanwhile: they are taken by the next run. `changed` and `unreadable`
    ones have their problem in the ledger.
    """

    rows: int = 0
    rescued: int = 0
    new_columns: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    seconds: float = field(default=0.0, compare=False)


def landed_files(source: FileSource, landing_root: Path) -> list[LandedFile]:
    """The files that are there, in the order in which they are taken: by modification time, then name."""
    paths = (path for path in (landing_root / source.directory).glob(source.pattern) if path.name[0] not in "._")
    files = [found for path in paths if (found := _look_at(path, source)) is not None]
    return sorted(files, key=lambda file: (file.modified_ns, file.name))


def waiting_files(lake: LakePaths, source: FileSource, landing_root: Path) -> list[LandedFile]:
    """The files that the table lacks, and those that look different since they were recorded; reads no file, and of the
    lake only the ledger."""
    known = read_files(lake, source.table)
    return [
        file
        for file in landed_files(source, landing_root)
        if file.name not in known or not file.is_as_recorded(known[file.name])
    ]


def ingest_files(lake: Lake, source: FileSource, landing_root: Path) -> Ingested:
    """Append to the table the rows of the files that it lacks: each file once, whole, in one commit; a content that was
    loaded under another name not again, unless the source repeats.

    May be killed anywhere and repeated. A file that can't be read, or that changed after it was read, is recorded with
    its problem, and the run goes on. What is in memory at one time are files of 256 MB, or one file.
    """
    started = time.monotonic()
    lake.create(source.table)
    run = _Run(lake, source, _known_files(lake, source.table))
    for file in landed_files(source, landing_root):
        run.look_at(file)
        if len(run.rows) >= source.most_files or run.size >= MOST_BYTES_A_COMMIT:
            run.commit()
    run.commit()
    run.report.seconds = time.monotonic() - started
    return run.report


class _Run:
    """One run over the files of a source: what it took so far, and what of it is still to be committed (`rows`, then
    `records`; `size` are bytes of files)."""

    def __init__(self, lake: Lake, source: FileSource, known: Mapping[str, FileRecord]) -> None:
        self.report = Ingested()
        self.rows: list[pa.Table] = []
        self.records: list[FileRecord] = []
        self.size = 0
        self._lake, self._source, self._known = lake, source, known
        self._loaded = {r.digest: r.file for r in known.values() if r.state == LOADED and r.digest is not None}
        self._schema = _schema_of(lake, source)

    def look_at(self, file: LandedFile) -> None:
        """Take the file, or note why not."""
        record = self._known.get(file.name)
        was_taken = record is not None and record.state != UNREADABLE
        if record is not None and was_taken and file.is_as_recorded(record):
            if record.problem:
                self.report.changed.append(file.name)
            return
        content = _content(file)
        if isinstance(content, str):
            self._note_unreadable(file, record, content)
        elif _look_at(file.path, self._source) != file:
            self.report.unfinished.append(file.name)
        elif record is not None and was_taken:
            self._look_again(file, record, content)
        else:
            self._take(file, record, content)

    def commit(self) -> None:
        """Append the rows and record the files."""
        if self.rows:
            rows = pa.concat_tables(self.rows, promote_options="default")
            self._lake.append_few(rows, self._source.table, evolve=self._source.evolves)
        record_files(self._lake, self._source.table, self.records)
        self.rows, self.records, self.size = [], [], 0

    def _take(self, file: LandedFile, record: FileRecord | None, content: bytes) -> None:
        digest = _digest(content)
        taken = FileRecord(file.name, LOADED, 0, file.size, file.modified_at, digest)
        if digest in self._loaded and not self._source.repeats:
            self.report.repeated.append(file.name)
            self.records.append(replace(taken, state=REPEATED, same_as=self._loaded[digest]))
            return
        try:
            rows = _rows_of(self._source, self._schema, file, content)
        except UnreadableFileError as error:
            self._note_unreadable(file, record, str(error))
            return
        # A column has the type in which it came first, also for the files that follow in this run.
        self.report.new_columns += [name for name in rows.column_names if name not in self._schema.names]
        self._schema = rows.schema
        self._loaded[digest] = file.name
        self.report.loaded.append(file.name)
        self.report.rows += rows.num_rows
        self.report.rescued += rows.num_rows - rows[RESCUED].null_count
        self.rows.append(rows)
        self.size += max(file.size, rows.nbytes)
        self.records.append(replace(taken, rows=rows.num_rows))

    def _look_again(self, file: LandedFile, record: FileRecord, content: bytes) -> None:
        """At a file that was taken and looks different now, or of which only the rows were known."""
        digest = _digest(content)
        known = replace(record, size=file.size, modified_at=file.modified_at, problem=None)
        if record.digest is None and record.modified_at == file.modified_at:
            self._loaded.setdefault(digest, file.name)
            known = replace(known, digest=digest)
        elif record.digest != digest:
            self.report.changed.append(file.name)
            known = replace(known, problem=CHANGED)
        self.records.append(known)

    def _note_unreadable(self, file: LandedFile, record: FileRecord | None, problem: str) -> None:
        """It is tried again by each run, but recorded only where it is news."""
        self.report.unreadable.append(file.name)
        known = record or FileRecord(file.name, UNREADABLE, 0, None, file.modified_at, None)
        now = replace(known, size=file.size, modified_at=file.modified_at, problem=problem)
        if now != record:
            self.records.append(now)


def _schema_of(lake: Lake, source: FileSource) -> pa.Schema:
    """The columns that the table is declared with, and those that were added to it since."""
    declared = source.table.arrow_schema
    if not source.evolves:
        return declared
    there = pa.schema(lake.present(source.table).schema().to_arrow())
    return pa.schema([*declared, *(field for field in there if field.name not in declared.names)])


def _rows_of(source: FileSource, schema: pa.Schema, file: LandedFile, content: bytes) -> pa.Table:
    """The rows as the table has them."""
    rows = source.read(content)
    for name, value in ((SOURCE_FILE, file.name), (DATE_ADDED, file.modified_at)):
        rows = rows.append_column(name, pa.repeat(pa.scalar(value, schema.field(name).type), rows.num_rows))
    known = fitted(rows, schema, rescued=RESCUED)
    for name in rows.column_names if source.evolves else ():
        if name not in schema.names:
            known = known.append_column(name, rows[name])
    return known


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _known_files(lake: Lake, table: Table) -> Mapping[str, FileRecord]:
    """What is known of the files, by the ledger and, where that isn't in step with the table, by the table's rows."""
    known = read_files(lake, table)
    if sum(record.rows for record in known.values()) == lake.rows(table):
        return known
    found = [record for record in _files_in(lake, table) if _is_news(record, known.get(record.file))]
    record_files(lake, table, found)
    return {**known, **{record.file: record for record in found}}


def _is_news(found: FileRecord, known: FileRecord | None) -> bool:
    # Rows that a file lost since are not: the table's checks go on saying that it has fewer than were taken.
    return known is None or (known.state == UNREADABLE and found.rows > 0)


def _files_in(lake: Lake, table: Table) -> Iterator[FileRecord]:
    """The files of which the table has rows, as far as these tell."""
    sql = f"SELECT {SOURCE_FILE}, min({DATE_ADDED}), count(*) FROM {{held}} GROUP BY ALL"
    rows: Iterable[tuple[str, datetime, int]] = zip(
        *(column.to_pylist() for column in query(lake, sql, held=table).columns), strict=True
    )
    for file, modified_at, count in rows:
        yield FileRecord(file, LOADED, count, None, modified_at.astimezone(timezone.utc), None)


def _content(file: LandedFile) -> bytes | str:
    """The file's bytes, or why it can't be read."""
    try:
        return file.path.read_bytes()
    except OSError as error:
        return f"it can't be read: {os.strerror(error.errno) if error.errno else error}"


def _look_at(path: Path, source: FileSource) -> LandedFile | None:
    """The file as it is now; None where it is gone, or isn't a file."""
    try:
        found = path.stat()
    except OSError:
        return None
    if not path.is_file():
        return None
    return LandedFile(path, f"{source.directory}/{path.name}", found.st_size, found.st_mtime_ns)
