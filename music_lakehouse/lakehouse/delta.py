"""Light reads of Delta tables through delta-rs: versions, figures of commits, rows. No JVM."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

if TYPE_CHECKING:
    import pyarrow.dataset as ds
    from pyarrow.fs import SubTreeFileSystem

    from music_lakehouse.lakehouse.moments import Moments
    from music_lakehouse.lakehouse.ranges import Range

# What delta-rs puts names in.
_QUOTE = '"'


def storage_options() -> dict[str, str]:
    """The object store's settings for delta-rs: the `AWS_…` and `AZURE_…` variables as they stand, if not empty."""
    return {key: value for key, value in os.environ.items() if value and key.startswith(("AWS_", "AZURE_", "GOOGLE_"))}


def native_uri(uri: str) -> str:
    """The URI as delta-rs spells it: Hadoop's `s3a://` is its `s3://`."""
    return "s3://" + uri[len("s3a://") :] if uri.startswith("s3a://") else uri


def open_table(uri: str) -> DeltaTable | None:
    """The Delta table at `uri`, or None where there is none."""
    if "://" not in uri and not (Path(uri) / "_delta_log").is_dir():
        return None
    try:
        return DeltaTable(native_uri(uri), storage_options=storage_options())
    except TableNotFoundError:
        return None


def dataset(table: DeltaTable, uri: str, *, pruned_by: str | list[tuple[str, str, Any]] | None = None) -> ds.Dataset:
    """The files of the table at `uri`, or those that predicates leave, by partitions and the log's statistics, of which
    Arrow reads what is asked for.

    Raises DeltaProtocolError where rows are hidden by deletion vectors or columns are mapped, which Arrow can't read.
    """
    # delta-rs's own file system is in Python. Arrow's threads, which read ahead and close files, wait for Python's lock
    # then, with a lock of Arrow's held for which whoever has Python's may be waiting: so a query hung now and then.
    return table.to_pyarrow_dataset(filesystem=file_system(uri), file_pruning_predicate=pruned_by)


def dataset_within(table: DeltaTable, uri: str, stretches: Sequence[Range | Moments]) -> ds.Dataset:
    """The rows of the table at `uri` that lie in any of the stretches. To know a file takes most of a millisecond: by
    the log's statistics those without such rows are left out before."""
    import pyarrow.dataset as ds

    rows = dataset(table, uri, pruned_by=" OR ".join(f"({each.predicate(quote=_QUOTE)})" for each in stretches))

    def lies_in(stretch: Range | Moments) -> ds.Expression:
        value, of = ds.field(stretch.column), rows.schema.field(stretch.column).type
        return (value >= pa.scalar(stretch.first, of)) & (value <= pa.scalar(stretch.last, of))

    return rows.filter(reduce(or_, map(lies_in, stretches)))


def file_system(uri: str) -> SubTreeFileSystem | None:
    """Arrow's own file system, of which the URI is the root, with the settings of the `AWS_…` variables; None where
    Arrow and delta-rs don't take the same settings."""
    from pyarrow.fs import FileSystem, LocalFileSystem, SubTreeFileSystem

    if "://" not in uri:
        return SubTreeFileSystem(uri, LocalFileSystem())
    if not native_uri(uri).startswith(("s3://", "file://")):
        return None
    files, path = FileSystem.from_uri(native_uri(uri))
    return SubTreeFileSystem(path, files)


def local_files(table: DeltaTable, uri: str) -> list[str] | None:
    """The paths of the Parquet files that hold the rows of the table at `uri`, with the values of partitions in the
    names of their directories; None where it takes more to read it, such as an object store or deletion vectors."""
    if "://" in uri or table.protocol().min_reader_version > 1:
        return None
    partitions = table.metadata().partition_columns
    actions = pa.table(table.get_add_actions(flatten=True)).select(["path", *(f"partition.{c}" for c in partitions)])
    paths, *values = (column.to_pylist() for column in actions.columns)
    for column, of_files in zip(partitions, values, strict=True):
        if any(f"{column}={value}" not in path.split("/") for path, value in zip(paths, of_files, strict=True)):
            return None
    files = [f"{uri}/{path}" for path in paths]
    # What stands for other characters, in a log or in a pattern of files.
    return None if any(set(file) & set("%*?[") for file in files) else files


def uncommented(rows: pa.Table) -> pa.Table:
    """The rows without what their schema says beside names and types: delta-rs refuses to add rows to a table whose
    columns have other comments."""
    return rows.cast(pa.schema([field.remove_metadata() for field in rows.schema]))


@dataclass(frozen=True)
class TableState:
    """Which table it is (a table deleted and made anew has another id) and its newest version."""

    table_id: str
    version: int


def state_of(table: DeltaTable) -> TableState:
    """Which table it is, and its version."""
    return TableState(str(table.metadata().id), table.version())


def committed_at(commit: Mapping[str, Any]) -> datetime:
    """When a commit was made, UTC."""
    return datetime.fromtimestamp(commit["timestamp"] / 1000, timezone.utc)


def written_at(table: DeltaTable) -> datetime | None:
    """When the last commit was made, UTC; None where the table was only made."""
    return committed_at(table.history(1)[0]) if table.version() else None


def commits_after(table: DeltaTable, since: int, version: int) -> list[dict[str, Any]] | None:
    """What the log says of the commits after the version `since`, up to `version`; None where it lacks any of them."""
    if since >= version:
        return []
    entries = table.history(table.version() - since)
    commits = [entry for entry in entries if since < entry["version"] <= version]
    return commits if len(commits) == version - since else None


def version_before(table: DeltaTable, moment: datetime) -> int:
    """The newest version that was committed before the moment, as far as the log reaches back; -1 where there is
    none."""
    limit = 16
    while True:
        entries = table.history(limit)
        found = next((entry["version"] for entry in entries if committed_at(entry) < moment), None)
        if found is not None or len(entries) < limit:
            return int(entries[-1]["version"]) - 1 if found is None else int(found)
        limit *= 4


def has_changed(table: DeltaTable, since: TableState) -> bool:
    """Whether the table's rows may be others than in that state: it was made anew, has commits with rows since, or its
    log doesn't say."""
    now = state_of(table)
    if now == since:
        return False
    commits = commits_after(table, since.version, now.version) if now.table_id == since.table_id else None
    return commits is None or any(rows_of(commit) != 0 for commit in commits)


def is_append(commit: Mapping[str, Any]) -> bool:
    """Whether a commit did nothing but add rows, or none."""
    if commit.get("operation") in _WITHOUT_CHANGE:
        return True
    parameters = commit.get("operationParameters", {})
    return commit.get("operation") in ("WRITE", "STREAMING UPDATE") and (
        parameters.get("mode", parameters.get("outputMode")) == "Append"
    )


def rows_of(commit: Mapping[str, Any]) -> int | None:
    """How many rows a commit wrote, changed or removed; None where it doesn't say."""
    if commit.get("operation") in _WITHOUT_CHANGE:
        return 0
    metrics = commit.get("operationMetrics", {})
    counts = [int(metrics[name]) for name in _ROW_METRICS.get(str(commit.get("operation")), ()) if name in metrics]
    # One that writes over a table says nothing of the rows that it removes.
    overwritten = commit.get("operationParameters", {}).get("mode") == "Overwrite"
    return sum(counts) or (None if overwritten else 0) if counts else None


def bytes_of(commit: Mapping[str, Any]) -> int:
    """How many bytes the files have that a commit of Spark's wrote; 0 where it doesn't say, as those of delta-rs."""
    return int(commit.get("operationMetrics", {}).get("numOutputBytes", 0))


_WITHOUT_CHANGE = ("OPTIMIZE", "VACUUM START", "VACUUM END")
# Spark's names, then those of delta-rs.
_ROW_METRICS = {
    "WRITE": ("numOutputRows", "num_added_rows"),
    "STREAMING UPDATE": ("numOutputRows",),
    "MERGE": (
        *("numTargetRowsInserted", "numTargetRowsUpdated", "numTargetRowsDeleted"),
        *("num_target_rows_inserted", "num_target_rows_updated", "num_target_rows_deleted"),
    ),
}


def may_overlap(table: DeltaTable | None, name: str, ranges: Iterable[tuple[int, int]]) -> bool:
    """Whether a file of the table may hold values of the column in one of the ranges (both ends inclusive).

    By the log's statistics; a file without any may.
    """
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


def greatest(table: DeltaTable | None, name: str) -> Any:
    """The greatest value of a column over all files, from the log's statistics; None where the table is empty."""
    return max(_of_files(table, name, "max"), default=None)


def least(table: DeltaTable | None, name: str) -> Any:
    """The least value of a column over all files, from the log's statistics; None where the table is empty."""
    return min(_of_files(table, name, "min"), default=None)


def _of_files(table: DeltaTable | None, name: str, statistic: str) -> list[Any]:
    """What the log's statistics have of a column, or its value where it is one of the partitions, by file."""
    actions = None if table is None else table.get_add_actions(flatten=True)
    names = (f"{statistic}.{name}", f"partition.{name}")
    column = None if actions is None else next((c for c in names if c in actions.schema.names), None)
    if actions is None or column is None:
        return []
    return [value for value in actions[column].to_pylist() if value is not None]
