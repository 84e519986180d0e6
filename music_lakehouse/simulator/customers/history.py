"""What has landed before, read from the landed files: there is no other state."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zlib import crc32

from music_lakehouse.simulator.customers.tpch import COLUMNS, Customer
from music_lakehouse.simulator.landing import landed_files, last_landing

FILES = "*.csv"
MOST_RETURNING = 10_000
"""Customers of earlier landings who may change in this one: beyond this they stay as they are, so that memory stays
bounded."""

_ONE_IN = 8
_NUMBER = re.compile(r"_(\d+)\.csv$")


@dataclass
class History:
    """The number of each table's last file, when the last file of all landed, the highest keys, and some customers as
    they were delivered last, by key."""

    files: dict[str, int] = field(default_factory=dict)
    last: datetime | None = None
    customer_key: int = 0
    order_key: int = 0
    returning: dict[str, Customer] = field(default_factory=dict)


def read_history(root: Path, *, seed: int) -> History:
    """The history of `root`, the directory of the three tables' directories; the seed decides which customers return.

    Rows and files with faults are passed over.
    """
    directories = {table: root / table for table in COLUMNS}
    history = History(last=last_landing(list(directories.values()), FILES))
    for table, directory in directories.items():
        numbers = (int(found[1]) for file in directory.glob(FILES) if (found := _NUMBER.search(file.name)))
        history.files[table] = max(numbers, default=0)
    for row in _rows(directories["orders"], "orders"):
        if row[0].isdigit():
            history.order_key = max(history.order_key, int(row[0]))
    for row in _rows(directories["customer"], "customer"):
        customer = Customer._make(row)
        if not (customer.c_custkey.isdigit() and customer.c_nationkey.isdigit()):
            continue
        history.customer_key = max(history.customer_key, int(customer.c_custkey))
        known = customer.c_custkey in history.returning
        if known or (len(history.returning) < MOST_RETURNING and _returns(customer.c_custkey, seed)):
            history.returning[customer.c_custkey] = customer
    return history


def _returns(key: str, seed: int) -> bool:
    return crc32(f"{seed} {key}".encode()) % _ONE_IN == 0


def _rows(directory: Path, table: str) -> Iterator[list[str]]:
    """The rows that have all the table's columns, in the table's order, of all files in the order of landing."""
    columns = COLUMNS[table]
    for file in landed_files(directory, FILES):
        with file.open(newline="", encoding="utf-8") as lines:
            rows = csv.reader(lines)
            header = next(rows, [])
            if sorted(header) != sorted(columns):
                continue
            places = [header.index(column) for column in columns]
            for row in rows:
                if len(row) == len(columns):
                    yield [row[place] for place in places]
