"""SQL over whole tables from here: DuckDB on delta-rs, which reads few columns of some million rows in a second."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.tables import Table


def query(lake: LakePaths, sql: str, **tables: Table) -> pa.Table:
    """What the query gives over the tables, each of which it names as `{name}`; columns that it doesn't name are not
    read. Raises duckdb.Error where it can't be understood."""
    with duckdb.connect() as connection:
        for name, table in tables.items():
            found = lake.open(table)
            connection.register(name, table.arrow_schema.empty_table() if found is None else found.to_pyarrow_dataset())
        return connection.sql(sql.format_map({name: name for name in tables})).to_arrow_table()
