"""What became of each landed file: one record a file and table, in `metrics.files`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone

from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.records import append_records, read_records, replace_records
from music_lakehouse.lakehouse.tables import Column, Table

LOADED, REPEATED, UNREADABLE = "loaded", "repeated", "unreadable"

FILES = Table(
    layer="metrics",
    name="files",
    description="What became of each landed file. Of several rows of a file the newest counts.",
    columns=(
        Column("table", "STRING", "the table into which the file is taken"),
        Column("table_id", "STRING", "its Delta table id: what a table made anew has taken is told by its own rows"),
        Column("file", "STRING", "the file, as in the table's `source_filename`"),
        Column(
            "state",
            "STRING",
            f"{LOADED}; {REPEATED} (its content was loaded before under another name); or {UNREADABLE}",
        ),
        Column("rows", "BIGINT", "rows that the table has of it"),
        Column("size", "BIGINT", "bytes, when it was looked at last; null where only its rows are known"),
        Column("modified_at", "TIMESTAMP", "its modification time, when it was looked at last"),
        Column("digest", "STRING", "SHA-256 of the content that was taken; null where it isn't known"),
        Column("same_as", "STRING", "of a repeated file: the one that brought the content"),
        Column("problem", "STRING", "why it can't be read, or that it changed after it was read; else null"),
        Column("recorded_at", "TIMESTAMP", "when this was recorded"),
    ),
    key=("table", "table_id", "file", "recorded_at"),
    partition_by=("table",),
)


@dataclass(frozen=True)
class FileRecord:
    """What is known of a file; its fields are columns of `metrics.files`."""

    file: str
    state: str
    rows: int
    size: int | None
    modified_at: datetime
    digest: str | None
    same_as: str | None = None
    problem: str | None = None


def read_files(lake: LakePaths, table: Table) -> dict[str, FileRecord]:
    """What is known of the files that were taken into the table as it is there now, by file."""
    state = lake.state(table)
    rows = read_records(lake, FILES, partition=table.full_name)
    of_this_table = [row for row in rows if state is not None and row["table_id"] == state.table_id]
    names = [field.name for field in fields(FileRecord)]
    ordered = sorted(of_this_table, key=lambda row: row["recorded_at"])
    return {row["file"]: FileRecord(**{name: row[name] for name in names}) for row in ordered}


def forget_files(lake: LakePaths, table: Table) -> None:
    """Let the table take all files at its next run; of use only where its rows go too."""
    replace_records(lake, FILES, [], partition=table.full_name)


def record_files(lake: LakePaths, table: Table, records: Iterable[FileRecord]) -> None:
    """Remember what became of the files. Raises LookupError where the table isn't there."""
    state = lake.state(table)
    if state is None:
        raise LookupError(f"there is no table at {lake.path(table)} of whose files something could be recorded")
    common: Mapping[str, object] = {
        "table": table.full_name,
        "table_id": state.table_id,
        "recorded_at": datetime.now(timezone.utc),
    }
    append_records(lake, FILES, [{**asdict(record), **common} for record in records])
