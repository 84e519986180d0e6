"""Reading a lake's Delta tables through delta-rs, without a JVM."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from music_lakehouse_tests.oracle.values import Row, Tables

LAYERS = ("raw", "bronze", "silver", "gold")


def read_table(root: str | Path, name: str) -> list[Row]:
    """The rows of `layer.table`, its timestamps as instants in UTC; none where there is no such table."""
    directory = Path(root, *name.split("."))
    if not (directory / "_delta_log").is_dir():
        return []
    batches = QueryBuilder().register("lake_table", DeltaTable(str(directory))).execute("select * from lake_table")
    rows: list[Row] = pa.table(batches).to_pylist()
    return rows


def read_lake(root: str | Path) -> Tables:
    """Every table of the four layers that the lake has, by `layer.table`."""
    logs = (log for layer in LAYERS for log in sorted(Path(root).glob(f"{layer}/*/_delta_log")))
    names = [f"{log.parent.parent.name}.{log.parent.name}" for log in logs]
    return {name: read_table(root, name) for name in names}
