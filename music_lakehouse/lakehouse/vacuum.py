"""Files of a Delta table that its newest version doesn't need, and versions that are no more. No JVM."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from deltalake import DeltaTable
from pyarrow.fs import FileSelector, FileType

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.inventory import store

_LOG = "_delta_log"


def stored_files(uri: str) -> dict[str, int]:
    """The bytes of all data files under the table's path, by their path in it; neither the log nor hidden files."""
    infos = store(uri).get_file_info(FileSelector("", recursive=True))
    return {
        info.path: info.size
        for info in infos
        if info.type == FileType.File and not info.path.startswith(_LOG) and not info.base_name.startswith(".")
    }


def vacuum(table: DeltaTable, uri: str, stored: Mapping[str, int], retention: timedelta | None) -> None:
    """Remove the `stored_files` that no version within the retention (None: the table's own) needs, neither for its
    rows nor for its change feed, in a commit; none where there are none. Raises where the table asks for a longer
    retention, unless it is nought: then only the newest version is kept."""
    hours = None if retention is None else math.ceil(retention / timedelta(hours=1))
    enforced = hours != 0
    # Full: also what was never committed, and change feeds, which no log names as removed.
    doomed = {
        Path(path).name for path in table.vacuum(hours, dry_run=True, full=True, enforce_retention_duration=enforced)
    }
    # The list has also what an earlier vacuum removed: for that alone a version would be written every time.
    unneeded = [path for path in stored if Path(path).name in doomed]
    if not unneeded:
        return
    table.vacuum(hours, dry_run=False, full=True, enforce_retention_duration=enforced)
    if "://" not in uri:
        for path in unneeded:
            # Hadoop's checksum, a hidden file beside it.
            file = Path(uri, path)
            file.with_name(f".{file.name}.crc").unlink(missing_ok=True)


def forget_history(uri: str) -> int | None:
    """Leave nothing of the table at `uri` but its newest version: no other data file, no change feed, no earlier entry
    of the log, whose statistics hold values of rows. Return that version; None where there is no table.

    Who reads an earlier version meanwhile fails. Nothing else may write the table. May be killed and repeated.
    """
    table = delta.open_table(uri)
    if table is None:
        return None
    vacuum(table, uri, stored_files(uri), timedelta(0))
    table.update_incremental()
    version = table.version()
    kept = {f"{_LOG}/{version:020}.json", f"{_LOG}/{version:020}.checkpoint.parquet", f"{_LOG}/_last_checkpoint"}
    files = store(uri)
    infos = files.get_file_info(FileSelector(_LOG, recursive=True))
    old = sorted(info.path for info in infos if info.type == FileType.File and info.path not in kept)
    if not old:
        return version
    table.create_checkpoint()
    # The oldest first: what is left after an interrupt is whole.
    for path in old:
        files.delete_file(path)
    return version
