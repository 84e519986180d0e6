"""Light reads of Delta tables through delta-rs: versions, figures of commits, rows. No JVM."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
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


def clear_unfinished(uri: str) -> None:
    """Remove what a creation that was interrupted left of a local table without any commit: Spark would take a
    directory with something in it for the table, and create none."""
    log = Path(uri) / "_delta_log"
    if "://" not in uri and log.is_dir() and not any(log.glob("[0-9]*.json")) and not any(log.glob("*.parquet")):
        shutil.rmtree(log)


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


def only_appended(uri: str, since: int, version: int) -> bool:
    """Whether all commits after `since`, up to `version`, did nothing but add rows."""
    table = open_table(uri, without_files=True)
    if table is None:
        return False
    commits = [entry for entry in table.history(table.version() - since) if since < entry["version"] <= version]
    return len(commits) == version - since and all(_is_append(entry) for entry in commits)


def _is_append(commit: dict[str, Any]) -> bool:
    if commit.get("operation") in ("OPTIMIZE", "VACUUM START", "VACUUM END"):
        return True
    parameters = commit.get("operationParameters", {})
    return commit.get("operation") in ("WRITE", "STREAMING UPDATE") and (
        parameters.get("mode", parameters.get("outputMode")) == "Append"
    )


def may_overlap(uri: str, name: str, ranges: Iterable[tuple[int, int]]) -> bool:
    """Whether a file of the table may hold values of the column in one of the ranges (both ends inclusive).

    By the log's statistics; a file without any may.
    """
    table = open_table(uri)
    if table is None:
        return False
    actions = table.get_add_actions(flatten=True)
    if actions.num_rows == 0:
        return False
    if f"min.{name}" not in actions.schema.names:
        return True
    files = list(zip(actions[f"min.{name}"].to_pylist(), actions[f"max.{name}"].to_pylist(), strict=True))
    return any(
        low is None or high is None or (low <= last and first <= high) for first, last in ranges for low, high in files
    )


def greatest(uri: str, name: str) -> Any:
    """The greatest value of a column over all files, from the log's statistics; None where the table is empty."""
    table = open_table(uri)
    if table is None:
        return None
    actions = table.get_add_actions(flatten=True)
    column = next((c for c in (f"max.{name}", f"partition.{name}") if c in actions.schema.names), None)
    if actions.num_rows == 0 or column is None:
        return None
    values = [value for value in actions[column].to_pylist() if value is not None]
    return max(values, default=None)
