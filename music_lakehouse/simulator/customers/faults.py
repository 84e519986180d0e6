"""What real senders of CSV files get wrong, in a row and in a whole file.

A fault never invents a second truth: what a changed row still says is what the clean one said, and the good file lands
after the broken one.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from music_lakehouse.simulator.draws import below, one_of
from music_lakehouse.simulator.weighted import Weighted

Row = list[str]

NO_NUMBERS = ("n/a", "1.2.3", "12,50", "-", "ten")
NO_DATES = ("1996-13-45", "31.12.1996", "yesterday")

_NUMBERS = {
    "customer": ("c_nationkey", "c_acctbal"),
    "orders": ("o_custkey", "o_totalprice", "o_shippriority"),
    "lineitem": ("l_linenumber", "l_quantity", "l_extendedprice", "l_discount", "l_tax"),
}
_DATES = {"orders": ("o_orderdate",), "lineitem": ("l_shipdate", "l_commitdate", "l_receiptdate")}
_DISPENSABLE = {"customer": "c_mktsegment", "orders": "o_shippriority", "lineitem": "l_tax"}


@dataclass(frozen=True)
class Fault:
    """How often a fault is chosen, in which tables, and what it makes of a row; the key is the first column, a comment
    the last."""

    weight: float
    tables: Sequence[str]
    change: Callable[[Row, str, Sequence[str], Random], Row]


def missing_key(row: Row, _: str, __: Sequence[str], ___: Random) -> Row:
    """The empty text where the key is due."""
    return ["", *row[1:]]


def bad_key(row: Row, _: str, __: Sequence[str], rng: Random) -> Row:
    """A key that is no number."""
    return [one_of(NO_NUMBERS, rng), *row[1:]]


def bad_number(row: Row, table: str, columns: Sequence[str], rng: Random) -> Row:
    """A number that is none."""
    return _with(row, columns, one_of(_NUMBERS[table], rng), one_of(NO_NUMBERS, rng))


def bad_date(row: Row, table: str, columns: Sequence[str], rng: Random) -> Row:
    """A date that is none, or isn't written as one."""
    return _with(row, columns, one_of(_DATES[table], rng), one_of(NO_DATES, rng))


def quotes(row: Row, _: str, __: Sequence[str], ___: Random) -> Row:
    """A comment with quotes, commas and a backslash: no fault, but one where quoting is done by halves."""
    return [*row[:-1], f'"{row[-1]}", he said, "or \\ so"']


def newlines(row: Row, _: str, __: Sequence[str], ___: Random) -> Row:
    """A comment of several lines, ended as on Unix and as on Windows: no fault, but one where lines are cut first."""
    return [*row[:-1], f"{row[-1]}\nsecond line,\r\n\nlast line"]


def too_few_fields(row: Row, _: str, __: Sequence[str], rng: Random) -> Row:
    """Fields left out at the end."""
    return row[: -1 - below(len(row) - 1, rng)]


def too_many_fields(row: Row, _: str, __: Sequence[str], ___: Random) -> Row:
    """A comma too much."""
    return [*row, "surplus"]


_ALL = ("customer", "orders", "lineitem")
FAULTS = {
    "missing_key": Fault(2, _ALL, missing_key),
    "bad_key": Fault(1, _ALL, bad_key),
    "bad_number": Fault(3, _ALL, bad_number),
    "bad_date": Fault(2, ("orders", "lineitem"), bad_date),
    "quotes": Fault(3, _ALL, quotes),
    "newlines": Fault(3, _ALL, newlines),
    "too_few_fields": Fault(1, _ALL, too_few_fields),
    "too_many_fields": Fault(1, _ALL, too_many_fields),
}


class Faults:
    """Gives a share of a table's rows one fault each, with random numbers of its own."""

    def __init__(self, share: float, table: str, columns: Sequence[str], rng: Random) -> None:
        self._share, self._table, self._columns, self._rng = share, table, columns, rng
        self._kinds = Weighted((fault, fault.weight) for fault in FAULTS.values() if table in fault.tables)

    def applied(self, row: Sequence[str]) -> Row:
        """The row as it is delivered."""
        if self._share > 0 and self._rng.random() < self._share:
            return self._kinds.pick(self._rng).change(list(row), self._table, self._columns, self._rng)
        return list(row)


def truncate(file: Path, rng: Random) -> None:
    """Cuts the file somewhere in its second half, as a transfer that broke off."""
    half = file.stat().st_size // 2
    with file.open("r+b") as content:
        content.truncate(half + below(half, rng))


def empty(file: Path) -> None:
    """Leaves no byte of the file, not even a header."""
    file.write_bytes(b"")


def drop_column(file: Path, table: str) -> None:
    """Takes one column out of a file of the table: not a key, but one that counts."""
    rest = file.with_name(f"{file.name}.rest")
    with file.open(newline="", encoding="utf-8") as source, rest.open("w", newline="", encoding="utf-8") as target:
        rows, writer = csv.reader(source), csv.writer(target, lineterminator="\n")
        header = next(rows)
        place = header.index(_DISPENSABLE[table])
        writer.writerow(header[:place] + header[place + 1 :])
        writer.writerows(row[:place] + row[place + 1 :] for row in rows)
    rest.replace(file)


def _with(row: Row, columns: Sequence[str], column: str, value: str) -> Row:
    place = columns.index(column)
    return [*row[:place], value, *row[place + 1 :]]
