"""The rows of TPC-H, as tpchgen-cli makes them: the same ones for a scale on every machine."""

from __future__ import annotations

import csv
import subprocess
import sysconfig
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from shutil import which
from typing import NamedTuple

GENERATOR = "tpchgen-cli"


class TpchError(RuntimeError):
    """The generator can't be run, or failed; the text is one line with the remedy."""


class Customer(NamedTuple):
    """A row of customer, as text."""

    c_custkey: str
    c_name: str
    c_address: str
    c_nationkey: str
    c_phone: str
    c_acctbal: str
    c_mktsegment: str
    c_comment: str


class Order(NamedTuple):
    """A row of orders, as text."""

    o_orderkey: str
    o_custkey: str
    o_orderstatus: str
    o_totalprice: str
    o_orderdate: str
    o_orderpriority: str
    o_clerk: str
    o_shippriority: str
    o_comment: str


class Line(NamedTuple):
    """A row of lineitem, as text."""

    l_orderkey: str
    l_partkey: str
    l_suppkey: str
    l_linenumber: str
    l_quantity: str
    l_extendedprice: str
    l_discount: str
    l_tax: str
    l_returnflag: str
    l_linestatus: str
    l_shipdate: str
    l_commitdate: str
    l_receiptdate: str
    l_shipinstruct: str
    l_shipmode: str
    l_comment: str


class Sale(NamedTuple):
    """An order and its lines."""

    order: Order
    lines: tuple[Line, ...]


COLUMNS = {"customer": Customer._fields, "orders": Order._fields, "lineitem": Line._fields}
"""The three tables and their columns, in TPC-H's order."""


class Tpch:
    """The three tables of one scale, cut into parts 1 to `parts`; an order and its lines are in the same part.

    The files lie below `directory`. Raises TpchError where they can't be made.
    """

    def __init__(self, directory: Path, *, scale: float, parts: int) -> None:
        self._directory = directory
        program = which(GENERATOR, path=sysconfig.get_path("scripts")) or which(GENERATOR)
        if program is None:
            raise TpchError(f"{GENERATOR} is not installed, which makes the rows of TPC-H: `pip install {GENERATOR}`")
        directory.mkdir(parents=True)
        run = subprocess.run(
            [program, "csv", f"--scale-factor={scale}", f"--parts={parts}", f"--tables={','.join(COLUMNS)}", "--quiet"],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode != 0:
            said = " ".join((run.stderr or run.stdout).split())[-300:]
            raise TpchError(f"{GENERATOR} failed with exit code {run.returncode} at scale {scale}: {said}")

    def customers(self, part: int) -> Iterator[Customer]:
        """The customers of a part."""
        return map(Customer._make, self._rows("customer", part))

    def sales(self, part: int) -> Iterator[Sale]:
        """The orders of a part, each with its lines."""
        lines = groupby(map(Line._make, self._rows("lineitem", part)), key=attrgetter("l_orderkey"))
        for order, (_, its_lines) in zip(map(Order._make, self._rows("orders", part)), lines, strict=True):
            yield Sale(order, tuple(its_lines))

    def _rows(self, table: str, part: int) -> Iterator[list[str]]:
        file = self._directory / table / f"{table}.{part}.csv"
        with file.open(newline="", encoding="utf-8") as lines:
            rows = csv.reader(lines)
            next(rows)
            yield from rows
