"""Light reads of Delta tables through delta-rs: versions, figures of commits, rows. No JVM."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError


def storage_options() -> dict[str, str]:
    """The object store's settings for delta-rs: the `AWS_…` and `AZURE_…` variables as they stand."""
    return {key: value for key, value in os.environ.items() if key.startswith(("AWS_", "AZURE_", "GOOGLE_"))}


def native_uri(uri: str) -> str:
    """The URI as delta-rs spells it: Hadoop's `s3a://` is its `s3://`."""
    return "s3://" + uri[len("s3a://") :] if uri.startswith("s3a://") else uri


def open_table(uri: str, *, version: int | None = None, without_files: bool = False) -> DeltaTable | None:
    """The Delta table at `uri`, or None where there is none."""
    if "://" not in uri and not (Path(uri) / "_delta_log").is_dir():
        return None
    try:
        return DeltaTable(
            native_uri(uri), version=version, storage_options=storage_options(), without_files=without_files
        )
    except TableNotFoundError:
        return None


@dataclass(frozen=True)
class TableState:
    """Which table it is (a table deleted and made anew has another id) and its newest version."""

    table_id: str
    version: int


def table_state(uri: str) -> TableState | None:
    """The present state of the table at `uri`; None where there is none."""
    table = open_table(uri, without_files=True)
    return None if table is None else TableState(str(table.metadata().id), table.version())


def row_count(uri: str) -> int:
    """Rows of the table's newest version, from the log's statistics; 0 where there is no table."""
    table = open_table(uri)
    return 0 if table is None else int(table.count())


def earliest_version(uri: str) -> int:
    """The oldest version whose commit is still in the table's log."""
    table = open_table(uri, without_files=True)
    if table is None:
        raise TableNotFoundError(f"no Delta table at {uri}")
    return int(min(entry["version"] for entry in table.history()))


def greatest(uri: str, name: str) -> Any:
    """The greatest value of a column over all files, from the log's statistics; None where the table is empty."""
    table = open_table(uri)
    if table is None:
        return None
    actions = table.get_add_actions(flatten=True)
    column = f"max.{name}"
    if actions.num_rows == 0 or column not in actions.schema.names:
        return None
    values = [value for value in actions[column].to_pylist() if value is not None]
    return max(values, default=None)
