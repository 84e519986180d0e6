"""Messages removed from the tables that hold them, and what is left of something in the files of a lake. No JVM."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow.fs import FileSelector, FileType, PyFileSystem

from music_lakehouse.lakehouse.inventory import store
from music_lakehouse.lakehouse.kafka_positions import MESSAGE
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.tables import Table

# Offsets that lie closer than this are looked for in one range of files.
_NEAR = 10_000
_PARQUET = ".parquet"


def remove_messages(lake: LakePaths, table: Table, messages: pa.Table) -> int:
    """Remove the rows of these messages (the columns of MESSAGE) from a table that has these columns, in one commit, or
    none where it has none of them; return how many there were. Files that can't hold any of them are not read."""
    found = lake.open(table)
    if found is None or messages.num_rows == 0:
        return 0
    match = " AND ".join(f'(t."{name}" = s."{name}")' for name in MESSAGE)
    near = " OR ".join(
        f"(t.kafka_offset >= {first} AND t.kafka_offset <= {last})"
        for first, last in _ranges(messages["kafka_offset"].to_pylist())
    )
    figures = (
        found.merge(messages.select(MESSAGE), predicate=f"{match} AND ({near})", source_alias="s", target_alias="t")
        .when_matched_delete()
        .execute()
    )
    return int(figures["num_target_rows_deleted"])


def _ranges(offsets: Iterable[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for offset in sorted(set(offsets)):
        if ranges and offset - ranges[-1][1] <= _NEAR:
            ranges[-1] = (ranges[-1][0], offset)
        else:
            ranges.append((offset, offset))
    return ranges


@dataclass(frozen=True)
class Traces:
    """What is looked for in the files of a lake.

    `values` are the values that a column may not have, by its name; `together` are combinations of columns' values that
    no row may have; `patterns` are regular expressions that no text may match, neither a column's nor another file's.
    """

    values: Mapping[str, Collection[object]]
    patterns: Sequence[str]
    together: Sequence[Mapping[str, object]] = ()


@dataclass(frozen=True)
class Found:
    """Where something was found: a directory of the lake, the columns or the file, and in how many rows or times."""

    where: str
    what: str
    times: int

    def __str__(self) -> str:
        return f"{self.where}: {self.what} ({self.times})"


@dataclass(frozen=True)
class Searched:
    """How many files were searched, their bytes, and what was found."""

    files: int
    size: int
    found: list[Found]


def search(root: str, traces: Traces) -> Searched:
    """Look for the traces in every file of the lake at `root` (an absolute path or a URI): rows of Parquet files, also
    of those that no version names, of change feeds and of checkpoints; and the text of all others, Delta's log among
    them."""
    files = store(root)
    infos = [info for info in files.get_file_info(FileSelector("", recursive=True)) if info.type == FileType.File]
    in_columns = [info.path for info in infos if info.path.endswith(_PARQUET) and info.size]
    found = [*_in_columns(files, in_columns, traces)]
    for info in infos:
        if not info.path.endswith(_PARQUET):
            found += _in_text(files, info.path, traces)
    return Searched(len(infos), sum(info.size for info in infos), found)


def _in_columns(files: PyFileSystem, paths: Iterable[str], traces: Traces) -> Iterator[Found]:
    alike: dict[tuple[str, pa.Schema], list[str]] = {}
    for path in paths:
        schema = pq.read_schema(path, filesystem=files).remove_metadata()
        directory = "/".join(path.split("/")[:2]) + ("/_delta_log" if "/_delta_log/" in path else "")
        alike.setdefault((directory, pa.schema([f.remove_metadata() for f in schema])), []).append(path)
    for (directory, schema), group in alike.items():
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("files", ds.dataset(group, schema=schema, format="parquet", filesystem=files))
            for what, predicate, parameters in _predicates(schema, traces):
                query = f"SELECT count(*) FROM files WHERE {predicate}"
                ((times,),) = connection.execute(query, parameters).fetchall()
                if times:
                    yield Found(directory, what, times)
            for field in schema:
                if pa.types.is_binary(field.type):
                    times = _in_bytes(connection, field.name, traces.patterns)
                    if times:
                        yield Found(directory, f"bytes in {field.name}", times)


def _in_bytes(connection: duckdb.DuckDBPyConnection, name: str, patterns: Sequence[str]) -> int:
    connection.execute(f'SELECT "{name}" FROM files WHERE "{name}" IS NOT NULL')
    times = 0
    while rows := connection.fetchmany(_NEAR):
        texts = [value.decode("utf-8", "replace") for (value,) in rows]
        times += sum(bool(re.search(pattern, text)) for text in texts for pattern in patterns)
    return times


def _predicates(schema: pa.Schema, traces: Traces) -> Iterator[tuple[str, str, dict[str, object]]]:
    """What to look for in files of the schema: its name, a predicate in SQL, and that one's parameters."""
    for name, values in traces.values.items():
        if name in schema.names and values:
            texts = [str(value) for value in values]
            yield name, f'CAST("{name}" AS VARCHAR) IN (SELECT unnest($texts))', {"texts": texts}
    for row in traces.together:
        if set(row) <= set(schema.names):
            same = " AND ".join(f'"{name}" = ${name}' for name in row)
            yield " and ".join(row), same, dict(row)
    for field in schema:
        if pa.types.is_string(field.type) or pa.types.is_nested(field.type):
            for pattern in traces.patterns:
                predicate = f'regexp_matches(CAST("{field.name}" AS VARCHAR), $pattern)'
                yield f"text in {field.name}", predicate, {"pattern": pattern}


def _in_text(files: PyFileSystem, path: str, traces: Traces) -> Iterator[Found]:
    try:
        with files.open_input_stream(path) as stream:
            text = stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        # Gone meanwhile, as a draft of the lake's lock is.
        return
    for pattern in traces.patterns:
        times = len(re.findall(pattern, text))
        if times:
            yield Found(path, "text", times)
