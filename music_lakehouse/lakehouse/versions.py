"""The versions of a table: what was done by each, and the rows in which two of them differ. No JVM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.dataset as ds
from deltalake import DeltaTable

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.query import connected
from music_lakehouse.lakehouse.tables import Table


@dataclass(frozen=True)
class Version:
    """A commit: its number, its time (UTC), what was done, and how many rows that wrote, changed or removed (None where
    the log doesn't say)."""

    number: int
    at: datetime
    operation: str
    rows: int | None


@dataclass(frozen=True)
class Differences:
    """How many rows of the later version the earlier one lacks (`inserted`), has otherwise (`updated`), or has and the
    later one lacks (`deleted`), by the table's key; and the first of them: the operation, the key, and what differs."""

    inserted: int
    updated: int
    deleted: int
    columns: Sequence[str]
    rows: list[tuple[Any, ...]]


def history(table: DeltaTable, *, limit: int | None = None) -> Iterator[Version]:
    """The table's commits, the newest first, as far as its log reaches back."""
    for entry in table.history(limit):
        yield Version(
            entry["version"],
            delta.committed_at(entry),
            str(entry.get("operation", "")),
            delta.rows_of(entry),
        )


def diff(uri: str, table: Table, earlier: int, later: int, *, limit: int = 20) -> Differences:
    """In which rows two versions of the table at `uri` differ.

    Files that both versions have are not read. Raises DeltaError where a version, or a file of it, is gone.
    """
    versions = [
        DeltaTable(delta.native_uri(uri), version=version, storage_options=delta.storage_options())
        for version in (earlier, later)
    ]
    common = set.intersection(*({unquote(file) for file in version.file_uris()} for version in versions))
    with connected() as connection:
        for name, version in zip(("earlier", "later"), versions, strict=True):
            connection.register(name, _without(version, uri, common))
        names = [{field.name for field in version.schema().fields} for version in versions]
        connection.execute(f"CREATE TEMP TABLE differences AS {_differences(table, *names)}")
        counts = dict(connection.sql("SELECT operation, count(*) FROM differences GROUP BY ALL").fetchall())
        first = connection.sql(f"FROM differences ORDER BY ALL LIMIT {limit}")
        return Differences(
            counts.get("insert", 0), counts.get("update", 0), counts.get("delete", 0), first.columns, first.fetchall()
        )


def _without(version: DeltaTable, uri: str, files: set[str]) -> ds.Dataset:
    """The rows of the version's files that are none of these."""
    dataset = delta.dataset(version, uri)
    names = {Path(file).name for file in files}
    fragments = [fragment for fragment in dataset.get_fragments() if Path(fragment.path).name not in names]
    return ds.FileSystemDataset(fragments, dataset.schema, ds.ParquetFileFormat(), dataset.filesystem)


def _differences(table: Table, earlier: set[str], later: set[str]) -> str:
    """A query of the operation, the key's columns and `difference`, a text."""
    names = [name for name in table.column_names if name in earlier | later]

    def side(alias: str, has: set[str]) -> str:
        columns = ", ".join(f'"{name}"' if name in has else f'NULL AS "{name}"' for name in names)
        return f"(SELECT true AS _there, {columns} FROM {alias})"

    def text(name: str, alias: str) -> str:
        return f"coalesce(CAST({alias}.\"{name}\" AS VARCHAR), 'null')"

    others = [name for name in names if name not in table.key]
    same = " AND ".join(f'e."{name}" IS NOT DISTINCT FROM l."{name}"' for name in table.key)
    changed = " OR ".join(f'e."{name}" IS DISTINCT FROM l."{name}"' for name in others) or "false"
    told = ", ".join(
        f'CASE WHEN e._there AND l._there AND e."{name}" IS DISTINCT FROM l."{name}" '
        f"THEN '{name}: ' || {text(name, 'e')} || ' -> ' || {text(name, 'l')} "
        f"WHEN e._there IS NULL THEN '{name}: ' || {text(name, 'l')} "
        f"WHEN l._there IS NULL THEN '{name}: ' || {text(name, 'e')} END"
        for name in others
    )
    keys = ", ".join(f'CASE WHEN l._there THEN l."{name}" ELSE e."{name}" END AS "{name}"' for name in table.key)
    return f"""
        SELECT CASE WHEN e._there IS NULL THEN 'insert' WHEN l._there IS NULL THEN 'delete' ELSE 'update' END
            AS operation, {keys}, array_to_string(list_filter([{told}], lambda x: x IS NOT NULL), '; ') AS difference
        FROM {side("earlier", earlier)} AS e FULL JOIN {side("later", later)} AS l ON {same}
        WHERE e._there IS NULL OR l._there IS NULL OR {changed}
    """
