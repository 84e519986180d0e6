"""Reading a lake's Delta tables through delta-rs, without a JVM; on a disk or in S3, by the variables `AWS_…`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder
from pyarrow.fs import FileSelector, FileSystem, FileType

from music_lakehouse_tests.oracle.values import Row, Tables

LAYERS = ("raw", "bronze", "silver", "gold")


def read_table(root: str | Path, name: str) -> list[Row]:
    """The rows of `layer.table`, its timestamps as instants in UTC; none where there is no such table."""
    return list(rows_of_table(root, name))


def rows_of_table(root: str | Path, name: str) -> Iterator[Row]:
    """The same, one after the other: a table may have more than memory holds."""
    place = "/".join([_uri(root), *name.split(".")])
    options = {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
    if not DeltaTable.is_deltatable(place, options):
        return
    table = DeltaTable(place, storage_options=options)
    for batch in QueryBuilder().register("lake_table", table).execute("select * from lake_table"):
        yield from pa.record_batch(batch).to_pylist()


def read_lake(root: str | Path) -> Tables:
    """Every table of the four layers that the lake has, by `layer.table`."""
    files, place = FileSystem.from_uri(_uri(root))
    found: Tables = {}
    for layer in LAYERS:
        for table in files.get_file_info(FileSelector(f"{place}/{layer}", allow_not_found=True)):
            log = files.get_file_info(f"{table.path}/_delta_log")
            if log.type == FileType.Directory:
                found[f"{layer}.{table.base_name}"] = read_table(root, f"{layer}.{table.base_name}")
    return dict(sorted(found.items(), key=lambda item: (LAYERS.index(item[0].split(".")[0]), item[0])))


def _uri(root: str | Path) -> str:
    """The root as delta-rs and Arrow name it."""
    text = str(root)
    return f"s3://{text.removeprefix('s3a://')}" if text.startswith("s3a://") else text
