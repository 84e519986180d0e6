"""The upkeep of a Delta table: small files made few, and files removed that nothing needs any more. No JVM.

Both change no row: a compaction is a commit that says so, which change feeds and streams pass over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import pyarrow as pa
from deltalake import DeltaTable

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.changes import FEED_RETENTION
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.positions import POSITIONS
from music_lakehouse.lakehouse.records import read_records
from music_lakehouse.lakehouse.vacuum import stored_files, vacuum

# What one micro-batch takes of a raw table that is read from its beginning again; a larger file it would take whole.
FILE_BYTES = 64 * 2**20
# A file is older than the commit that names it: by less than this, which is more than a run may take.
LONGEST_COMMIT = timedelta(hours=12)
RETENTION = FEED_RETENTION + LONGEST_COMMIT


@dataclass(frozen=True)
class Extent:
    """Data files and their bytes: of the newest version; and in storage, with those that only older versions name, the
    change feed's, and those that were never committed."""

    files: int
    size: int
    stored_files: int
    stored_size: int


@dataclass(frozen=True)
class Upkeep:
    """What was done to a table. `waits_for` are the steps on account of which it was not compacted; `versions` counts
    the commits, none of them where there was nothing to do."""

    before: Extent
    after: Extent
    versions: int
    waits_for: tuple[str, ...] = ()


def keep_up(uri: str, *, retention: timedelta | None = RETENTION, waits_for: Iterable[str] = ()) -> Upkeep | None:
    """Compact the table at `uri`, unless there are steps to wait for, and remove the files that no version within the
    retention (None: the table's own) needs, neither for its rows nor for its change feed. None where there is no table.

    Nothing else may write the table meanwhile. Raises where the table itself asks for a longer retention.
    """
    table = delta.open_table(uri)
    if table is None:
        return None
    version, waits_for = table.version(), tuple(waits_for)
    stored = stored_files(uri)
    before = _extent(table, stored)
    if not waits_for:
        table.optimize.compact(target_size=FILE_BYTES)
    vacuum(table, uri, stored, retention)
    table.update_incremental()
    if table.version() == version:
        return Upkeep(before, before, 0, waits_for)
    return Upkeep(before, _extent(table, stored_files(uri)), table.version() - version, waits_for)


def steps_behind(lake: LakePaths, tables: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """By source, the steps among these tables that have not taken all of its rows yet.

    A step that reads a table as a stream goes from file to file: those that it has not read must not be made one with
    others, or they would be gone when it comes to them after a long time.
    """
    existing = set(tables)
    behind: dict[str, list[str]] = {}
    for row in sorted(read_records(lake, POSITIONS), key=lambda row: (row["source"], row["step"])):
        if {row["step"], row["source"]} <= existing:
            source = delta.open_table(f"{lake.root}/{row['source'].replace('.', '/', 1)}")
            if source is not None and _lacks_rows(source, delta.TableState(row["table_id"], row["version"])):
                behind.setdefault(row["source"], []).append(row["step"])
    return {source: tuple(steps) for source, steps in behind.items()}


def _lacks_rows(source: DeltaTable, position: delta.TableState) -> bool:
    """Whether the source has commits with rows behind the position; one in a table of that name before has none."""
    return delta.state_of(source).table_id == position.table_id and delta.has_changed(source, position)


def _extent(table: DeltaTable, stored: Mapping[str, int]) -> Extent:
    sizes = pa.table(table.get_add_actions())["size_bytes"].to_pylist()
    return Extent(len(sizes), sum(sizes), len(stored), sum(stored.values()))
