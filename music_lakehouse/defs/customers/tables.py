"""The customers tables' declarations."""

from __future__ import annotations

from dataclasses import replace

from music_lakehouse.defs.customers.landed import AMOUNT, CUSTOMER, LANDED, LINEITEM, ORDERS, LandedTable
from music_lakehouse.lakehouse.file_ingest import DATE_ADDED, FILE_COLUMNS, FILE_KEY, RESCUED, SOURCE_FILE
from music_lakehouse.lakehouse.tables import Column, Sources, Table, columns_of, traced

HASH = "hash_value"


def _bronze(landed: LandedTable) -> Table:
    has_pii = any(column.pii for column in landed.columns)
    line = "the line itself, and nothing else, where it has more or fewer fields than the header or an open quote"
    of_the_file = [replace(c, comment=line, pii=has_pii) if c.name == RESCUED else c for c in FILE_COLUMNS]
    return Table(
        layer="bronze",
        name=f"{landed.name}_raw",
        description=f"One row a line of a file in {landed.directory}, as it landed, as text. Each file once; a content "
        "that landed before under another name not again.",
        columns=(*(replace(column, type="STRING") for column in landed.columns), *of_the_file),
        key=FILE_KEY,
    )


BRONZE: dict[LandedTable, Table] = {landed: _bronze(landed) for landed in LANDED}


def _of_bronze(*names: str) -> Sources:
    return tuple(source for table in BRONZE.values() for source in columns_of(table, *names))


_WHOLE_ROWS = tuple(
    source for landed, table in BRONZE.items() for source in columns_of(table, RESCUED, *landed.column_names)
)

QUARANTINE = Table(
    layer="bronze",
    name="quarantine_customers",
    description="One row a landed row that silver refuses, with all the reasons. bronze has it too, as it landed.",
    columns=traced(
        (
            *(column for column in FILE_COLUMNS if column.name != RESCUED),
            Column(
                "row", "STRING", "the row: its columns as JSON, or the line itself where it has none to cut", pii=True
            ),
            Column("reasons", "ARRAY<STRING>", "the names of all rules that the row breaks"),
        ),
        {
            **{name: _of_bronze(name) for name in (*FILE_KEY, DATE_ADDED)},
            "row": _WHOLE_ROWS,
            "reasons": _WHOLE_ROWS,
        },
    ),
    key=FILE_KEY,
)


def _silver(landed: LandedTable) -> Table:
    bronze = BRONZE[landed]
    return Table(
        layer="silver",
        name=landed.name,
        description=f"One row {landed.what}: its latest state, typed. What lands again as it was changes nothing.",
        columns=traced(
            (
                *landed.columns,
                Column(HASH, "STRING", "md5 over TPC-H's columns: the same while nothing changes", pseudonym=True),
                Column(SOURCE_FILE, "STRING", "the file that brought the state, below LANDING_ROOT"),
                Column(DATE_ADDED, "TIMESTAMP", "when that file landed, UTC"),
            ),
            {
                **{name: columns_of(bronze, name) for name in (*landed.column_names, SOURCE_FILE, DATE_ADDED)},
                HASH: columns_of(bronze, *landed.column_names),
            },
        ),
        key=landed.key,
    )


SILVER: dict[LandedTable, Table] = {landed: _silver(landed) for landed in LANDED}


def _customers(*names: str) -> Sources:
    return columns_of(BRONZE[CUSTOMER], *names)


DIM_CUSTOMER = Table(
    layer="gold",
    name="dim_customer",
    description="Slowly changing dimension type 2: one row a version of a customer, half-open, without gap or overlap. "
    "Told by all landed rows, whatever the order in which they were read.",
    columns=traced(
        (
            Column(
                "dim_customer_id", "BIGINT", "the version: a number made from c_custkey and start_date", pseudonym=True
            ),
            *CUSTOMER.columns,
            Column("start_date", "TIMESTAMP", "from when the version holds: when the file that brought it landed, UTC"),
            Column("end_date", "TIMESTAMP", "until when it holds, exclusive, UTC; null while it does"),
            Column("is_current", "BOOLEAN", "whether it holds now"),
        ),
        {
            "dim_customer_id": _customers("c_custkey", DATE_ADDED),
            **{name: _customers(name) for name in CUSTOMER.column_names},
            **{name: _customers(DATE_ADDED) for name in ("start_date", "end_date", "is_current")},
        },
    ),
    key=("dim_customer_id",),
)


def _lines(*names: str) -> Sources:
    return columns_of(SILVER[LINEITEM], *names)


def _orders(*names: str) -> Sources:
    return columns_of(SILVER[ORDERS], *names)


FACT_SALES = Table(
    layer="gold",
    name="fact_sales",
    description="One row a line item, with its order and the version of the customer that held as the order's day "
    "began (UTC), the first one where the order is older. What has not landed yet is null, and filled in when it does.",
    columns=traced(
        (
            Column("order_key", "BIGINT", "the order"),
            Column("line_number", "INT", "the item's number in the order, from 1"),
            Column("dim_customer_id", "BIGINT", "the version of the customer: gold.dim_customer", pseudonym=True),
            Column("order_date", "DATE", "the day of the order"),
            Column("ship_date", "DATE", "the day on which the item was shipped"),
            Column("return_flag", "STRING", "R (returned), A (accepted), N (neither yet)"),
            Column("line_status", "STRING", "O (open) or F (fulfilled)"),
            Column("ship_priority", "INT", "priority of shipping"),
            Column("quantity", AMOUNT, "how many"),
            Column("extended_price", AMOUNT, "the price of all of them"),
            Column("discount", AMOUNT, "the discount, 0.10 for ten percent"),
            Column("tax", AMOUNT, "the tax, 0.08 for eight percent"),
            Column("net_revenue", "DECIMAL(32,4)", "extended_price x (1 - discount), exact"),
        ),
        {
            "order_key": _lines("l_orderkey"),
            "line_number": _lines("l_linenumber"),
            "dim_customer_id": columns_of(DIM_CUSTOMER, "dim_customer_id"),
            "order_date": _orders("o_orderdate"),
            "ship_date": _lines("l_shipdate"),
            "return_flag": _lines("l_returnflag"),
            "line_status": _lines("l_linestatus"),
            "ship_priority": _orders("o_shippriority"),
            "quantity": _lines("l_quantity"),
            "extended_price": _lines("l_extendedprice"),
            "discount": _lines("l_discount"),
            "tax": _lines("l_tax"),
            "net_revenue": _lines("l_extendedprice", "l_discount"),
        },
    ),
    key=("order_key", "line_number"),
)

TABLES: dict[str, Table] = {
    table.full_name: table for table in (*BRONZE.values(), QUARANTINE, *SILVER.values(), DIM_CUSTOMER, FACT_SALES)
}
"""All tables of the customers pipeline, by their full names."""
