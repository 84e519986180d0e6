"""Small tables of the lake's own bookkeeping, written and read through delta-rs: safe from any process, no JVM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from threading import RLock
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.tables import Table

Record = Mapping[str, Any]
VERSIONS_A_FILE = 100
# What is larger isn't written again when small files are made one, however long the history is.
FILE_BYTES = 2**19
KEPT_DAYS = 90
"""How long rows are kept that tell of single runs."""
# Each run makes dozens of versions, of which nobody reads an earlier one, and all that the log has are looked at
# whenever a table is opened.
SHORT_HISTORY: dict[str, str | None] = {
    "delta.logRetentionDuration": "interval 1 hours",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
}


def read_records(lake: LakePaths, table: Table, *, partition: str | None = None) -> list[dict[str, Any]]:
    """The table's rows, or those of one partition (a value of its partition column); none where there is no table."""
    found = lake.open(table)
    if found is None:
        return []
    partitions = None if partition is None else [(table.partition_by[0], "=", partition)]
    rows = delta.dataset(found, lake.path(table), pruned_by=partitions).to_table()
    return list(rows.to_pylist())


# Steps run side by side: what they write into the same table would be in conflict.
_WRITING = RLock()


def append_records(lake: LakePaths, table: Table, rows: Sequence[Record]) -> None:
    """Append the rows in one commit; none where there are no rows.

    Every hundredth version the small files are made one: opening a table takes longer with each file that it has.
    """
    if not rows:
        return
    with _WRITING:
        _write(lake, table, rows)
        written = lake.open(table)
        if written is not None and written.version() % VERSIONS_A_FILE == 0:
            written.optimize.compact(target_size=FILE_BYTES)


def replace_records(lake: LakePaths, table: Table, rows: Sequence[Record], *, partition: str) -> None:
    """Make the rows the partition's only ones, in one commit."""
    with _WRITING:
        _write(lake, table, rows, replace=f"{table.partition_by[0]} = {_quoted(partition)}")


def remove_records(
    lake: LakePaths, table: Table, column: str, *, before: datetime, of: tuple[str, Sequence[str]] | None = None
) -> bool:
    """Remove the rows whose time in the column lies before the moment, in one commit; none where there are no such
    rows. `of` is another column, and the values of it whose rows go; else all do. Says whether there were any."""
    with _WRITING:
        found = lake.open(table)
        oldest = delta.least(found, column)
        if found is None or oldest is None or oldest >= before:
            return False
        among = "" if of is None else f' AND "{of[0]}" IN ({", ".join(map(_quoted, of[1]))})'
        return bool(found.delete(f"{column} < '{before.isoformat()}'{among}")["num_deleted_rows"])


def _quoted(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))


def _write(lake: LakePaths, table: Table, rows: Sequence[Record], *, replace: str | None = None) -> None:
    """Append the rows; `replace` is a predicate of those that they take the place of."""
    found = lake.open(table)
    replaced = None if found is None else replace
    mode: Any = "append" if replaced is None else "overwrite"
    records = pa.Table.from_pylist([dict(row) for row in rows], schema=table.arrow_schema)
    write_deltalake(
        delta.native_uri(lake.path(table)) if found is None else found,
        records if found is None else delta.uncommented(records),
        mode=mode,
        predicate=replaced,
        partition_by=list(table.partition_by if found is None else found.metadata().partition_columns) or None,
        configuration=SHORT_HISTORY if found is None else None,
        storage_options=delta.storage_options() if found is None else None,
    )
