"""TPC-H's queries 1, 3 and 6 by DuckDB: over the landed files, and over the gold tables. Both must answer alike.

DuckDB reads the files by itself, so this yardstick shares nothing with the oracle either; it is for files without
faults. Averages are left out, as they follow from sums and counts, and query 3 isn't cut after ten rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from music_lakehouse_tests.oracle.coercion import Coercion
from music_lakehouse_tests.oracle.customers.schema import SOURCES, day, money, text
from music_lakehouse_tests.oracle.values import Row, Tables

Answers = dict[str, list[tuple[Any, ...]]]

_TYPES: dict[Coercion, str] = {money: "DECIMAL(15,2)", day: "DATE", text: "VARCHAR"}

FROM_FILES = {
    "Q1": """
        SELECT l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice),
            sum(l_extendedprice * (1 - l_discount)), sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)), count(*)
        FROM lineitem WHERE l_shipdate <= DATE '1998-12-01' - INTERVAL 90 DAY GROUP BY ALL ORDER BY ALL
    """,
    "Q3": """
        SELECT l_orderkey, sum(l_extendedprice * (1 - l_discount)) AS revenue, o_orderdate, o_shippriority
        FROM customer, orders, lineitem
        WHERE c_mktsegment = 'BUILDING' AND c_custkey = o_custkey AND l_orderkey = o_orderkey
            AND o_orderdate < DATE '1995-03-15' AND l_shipdate > DATE '1995-03-15'
        GROUP BY l_orderkey, o_orderdate, o_shippriority ORDER BY revenue DESC, o_orderdate, l_orderkey
    """,
    "Q6": """
        SELECT sum(l_extendedprice * l_discount) FROM lineitem
        WHERE l_shipdate >= DATE '1994-01-01' AND l_shipdate < DATE '1995-01-01'
            AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24
    """,
}
FROM_GOLD = {
    "Q1": """
        SELECT return_flag, line_status, sum(quantity), sum(extended_price), sum(net_revenue),
            sum(net_revenue * (1 + tax)), count(*)
        FROM fact_sales WHERE ship_date <= DATE '1998-12-01' - INTERVAL 90 DAY GROUP BY ALL ORDER BY ALL
    """,
    "Q3": """
        SELECT order_key, sum(net_revenue) AS revenue, order_date, ship_priority
        FROM fact_sales JOIN dim_customer AS held USING (dim_customer_id)
            JOIN dim_customer AS now ON now.c_custkey = held.c_custkey AND now.is_current
        WHERE now.c_mktsegment = 'BUILDING' AND order_date < DATE '1995-03-15' AND ship_date > DATE '1995-03-15'
        GROUP BY order_key, order_date, ship_priority ORDER BY revenue DESC, order_date, order_key
    """,
    "Q6": """
        SELECT sum(extended_price * discount) FROM fact_sales
        WHERE ship_date >= DATE '1994-01-01' AND ship_date < DATE '1995-01-01'
            AND discount BETWEEN 0.05 AND 0.07 AND quantity < 24
    """,
}

# Of a key the row that landed last, by the file's time and name, then by its place in the file. Without several threads
# rows are numbered as they stand.
_LANDED = """
    CREATE TABLE {table} AS
    WITH files AS (
        SELECT filename, row_number() OVER (ORDER BY last_modified, filename) AS file_number
        FROM read_blob('{directory}/*.csv')
        QUALIFY row_number() OVER (PARTITION BY md5(content) ORDER BY last_modified, filename) = 1
    ),
    lines AS (
        SELECT *, row_number() OVER () AS line_number
        FROM read_csv('{directory}/*.csv', header = true, all_varchar = true, filename = true, union_by_name = true,
            quote = '"', escape = '"', delim = ',')
    )
    SELECT {columns} FROM lines JOIN files USING (filename)
    QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY file_number DESC, line_number DESC) = 1
"""


def answers_from_files(landing_root: Path) -> Answers:
    """What the files below `landing_root`/customers answer, by query: each row as it landed last, files whose content
    landed before left out."""
    with duckdb.connect(config={"threads": 1}) as connection:
        for table, source in SOURCES.items():
            columns = ", ".join(
                f"CAST({column} AS {_duckdb_type(column, table)}) AS {column}" for column in source.columns
            )
            directory = landing_root / "customers" / table
            connection.execute(
                _LANDED.format(table=table, directory=directory, columns=columns, key=", ".join(source.key))
            )
        return _answers(connection, FROM_FILES)


def answers_from_gold(tables: Tables) -> Answers:
    """What `gold.fact_sales` and `gold.dim_customer` answer, by query; the oracle's rows or a lake's."""
    with duckdb.connect() as connection:
        connection.register("dim_customer", _arrow(tables["gold.dim_customer"], ()))
        connection.register(
            "fact_sales", _arrow(tables["gold.fact_sales"], ("quantity", "extended_price", "discount", "tax"))
        )
        return _answers(connection, FROM_GOLD)


def _answers(connection: duckdb.DuckDBPyConnection, queries: dict[str, str]) -> Answers:
    return {name: connection.execute(query).fetchall() for name, query in queries.items()}


def _duckdb_type(column: str, table: str) -> str:
    return _TYPES.get(SOURCES[table].columns[column], "BIGINT")


def _arrow(rows: list[Row], amounts: Sequence[str]) -> pa.Table:
    """The rows with their amounts as DECIMAL(15,2): the widths that are guessed from values differ from run to run."""
    table = pa.Table.from_pylist(rows)
    for name in table.column_names:
        if pa.types.is_decimal(table.schema.field(name).type):
            kind = pa.decimal128(15, 2) if name in amounts else pa.decimal128(18, 4)
            table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
    return table
