"""What lands: TPC-H's customers, orders and line items, each with its directory, its columns and what a row needs."""

from __future__ import annotations

from dataclasses import dataclass

from music_lakehouse.lakehouse.tables import Column

AMOUNT = "DECIMAL(15,2)"


@dataclass(frozen=True)
class LandedTable:
    """The files of one kind: the columns with the types that they stand for, the key of what a row tells of, and the
    columns that no row can do without."""

    name: str
    what: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    required: tuple[str, ...]

    @property
    def directory(self) -> str:
        """Where the files land, below LANDING_ROOT."""
        return f"customers/{self.name}"

    @property
    def column_names(self) -> list[str]:
        return [column.name for column in self.columns]


CUSTOMER = LandedTable(
    "customer",
    "a customer",
    (
        Column("c_custkey", "BIGINT", "the customer", pseudonym=True),
        Column("c_name", "STRING", "the customer's name", pii=True),
        Column("c_address", "STRING", "the customer's address", pii=True),
        Column("c_nationkey", "INT", "the customer's nation"),
        Column("c_phone", "STRING", "the customer's telephone number", pii=True),
        Column("c_acctbal", AMOUNT, "the customer's balance", pii=True),
        Column("c_mktsegment", "STRING", "the market segment, for example BUILDING"),
        Column("c_comment", "STRING", "a remark"),
    ),
    key=("c_custkey",),
    required=("c_custkey",),
)
ORDERS = LandedTable(
    "orders",
    "an order",
    (
        Column("o_orderkey", "BIGINT", "the order"),
        Column("o_custkey", "BIGINT", "the customer who ordered", pseudonym=True),
        Column("o_orderstatus", "STRING", "F (all items delivered), O (none), P (some)"),
        Column("o_totalprice", AMOUNT, "the order's price, tax and discount counted"),
        Column("o_orderdate", "DATE", "the day of the order"),
        Column("o_orderpriority", "STRING", "priority, for example 1-URGENT"),
        Column("o_clerk", "STRING", "the clerk who took it"),
        Column("o_shippriority", "INT", "priority of shipping"),
        Column("o_comment", "STRING", "a remark"),
    ),
    key=("o_orderkey",),
    required=("o_orderkey", "o_custkey", "o_orderdate"),
)
LINEITEM = LandedTable(
    "lineitem",
    "a line item",
    (
        Column("l_orderkey", "BIGINT", "the order that it is of"),
        Column("l_partkey", "BIGINT", "the part that was ordered"),
        Column("l_suppkey", "BIGINT", "who supplies it"),
        Column("l_linenumber", "INT", "its number in the order, from 1"),
        Column("l_quantity", AMOUNT, "how many"),
        Column("l_extendedprice", AMOUNT, "the price of all of them"),
        Column("l_discount", AMOUNT, "the discount, 0.10 for ten percent"),
        Column("l_tax", AMOUNT, "the tax, 0.08 for eight percent"),
        Column("l_returnflag", "STRING", "R (returned), A (accepted), N (neither yet)"),
        Column("l_linestatus", "STRING", "O (open) or F (fulfilled)"),
        Column("l_shipdate", "DATE", "the day on which it was shipped"),
        Column("l_commitdate", "DATE", "the day by which it was promised"),
        Column("l_receiptdate", "DATE", "the day on which it was received"),
        Column("l_shipinstruct", "STRING", "how to deliver"),
        Column("l_shipmode", "STRING", "by what, for example RAIL"),
        Column("l_comment", "STRING", "a remark"),
    ),
    key=("l_orderkey", "l_linenumber"),
    required=("l_orderkey", "l_linenumber", "l_quantity", "l_extendedprice", "l_discount", "l_tax"),
)
LANDED = (CUSTOMER, ORDERS, LINEITEM)
