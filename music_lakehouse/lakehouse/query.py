"""SQL over whole tables from here: DuckDB on delta-rs, which reads few columns of some million rows in a second."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.tables import Table


def query(lake: LakePaths, sql: str, *, where: str = "true", **tables: Table) -> pa.Table:
    """What the query gives over the rows of the tables that fulfil `where`.

    It names each table as `{name}`; columns that it doesn't name, and files that `where` excludes, are not read. Raises
    duckdb.Error where it can't be understood.
    """
    with duckdb.connect() as connection:
        for name, table in tables.items():
            found = lake.open(table)
            rows = table.arrow_schema.empty_table() if found is None else delta.dataset(found, lake.path(table))
            connection.register(name, rows)
        named = {name: f"(SELECT * FROM {name} WHERE {where})" for name in tables}
        return connection.sql(sql.format_map(named)).to_arrow_table()
