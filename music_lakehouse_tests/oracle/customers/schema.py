"""The three tables: their columns, types, keys, and what a row can't do without."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from music_lakehouse_tests.oracle.coercion import ASCII_SPACE, NUMERAL, Coercion, UnfitValueError, integer

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
CENT = Decimal("0.01")
MOST_MONEY = Decimal(10) ** 13


def money(value: Any) -> Decimal:
    """To DECIMAL(15,2), without rounding."""
    numeral = value.strip(ASCII_SPACE)
    if not NUMERAL.fullmatch(numeral):
        raise UnfitValueError(f"{value!r} is not a number")
    number = Decimal(numeral)
    if abs(number) >= MOST_MONEY or number != number.quantize(CENT):
        raise UnfitValueError(f"{value} has more than 13 digits before the point or 2 behind it")
    return number.quantize(CENT)


def day(value: Any) -> date:
    """To a date, from `YYYY-MM-DD` only."""
    text = value.strip(ASCII_SPACE)
    if not DAY.fullmatch(text):
        raise UnfitValueError(f"{value!r} is not a date")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UnfitValueError(str(error)) from error


def text(value: Any) -> str:
    """As it stands."""
    return str(value)


LONG, INT = integer(64), integer(32)


@dataclass(frozen=True)
class Source:
    """A landed table: its columns with their types, its key, and the columns that are never empty."""

    columns: dict[str, Coercion]
    key: tuple[str, ...]
    required: tuple[str, ...]


SOURCES = {
    "customer": Source(
        {
            "c_custkey": LONG,
            "c_name": text,
            "c_address": text,
            "c_nationkey": INT,
            "c_phone": text,
            "c_acctbal": money,
            "c_mktsegment": text,
            "c_comment": text,
        },
        key=("c_custkey",),
        required=("c_custkey",),
    ),
    "orders": Source(
        {
            "o_orderkey": LONG,
            "o_custkey": LONG,
            "o_orderstatus": text,
            "o_totalprice": money,
            "o_orderdate": day,
            "o_orderpriority": text,
            "o_clerk": text,
            "o_shippriority": INT,
            "o_comment": text,
        },
        key=("o_orderkey",),
        required=("o_orderkey", "o_custkey", "o_orderdate"),
    ),
    "lineitem": Source(
        {
            "l_orderkey": LONG,
            "l_partkey": LONG,
            "l_suppkey": LONG,
            "l_linenumber": INT,
            "l_quantity": money,
            "l_extendedprice": money,
            "l_discount": money,
            "l_tax": money,
            "l_returnflag": text,
            "l_linestatus": text,
            "l_shipdate": day,
            "l_commitdate": day,
            "l_receiptdate": day,
            "l_shipinstruct": text,
            "l_shipmode": text,
            "l_comment": text,
        },
        key=("l_orderkey", "l_linenumber"),
        required=("l_orderkey", "l_linenumber", "l_quantity", "l_extendedprice", "l_discount", "l_tax"),
    ),
}
