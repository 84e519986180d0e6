"""The chunk files of a landing, as they are written before any of them lands."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import date, timedelta
from itertools import chain
from pathlib import Path
from random import Random

from music_lakehouse.simulator.customers.changes import corrected, known_customer, new_customer, redated
from music_lakehouse.simulator.customers.config import CustomersConfig
from music_lakehouse.simulator.customers.faults import Faults
from music_lakehouse.simulator.customers.history import History
from music_lakehouse.simulator.customers.tpch import COLUMNS, Customer, Sale, Tpch
from music_lakehouse.simulator.draws import below, happens

# Shares of the orders: dated in the days of the landing, and corrected by the next chunk.
RECENT, CORRECTED = 0.1, 0.01
# Share of the later landings' orders that are a known customer's.
KNOWN_CUSTOMER = 0.5

Write = Callable[[Sequence[str]], None]


def chunk_file(directory: Path, table: str, chunk: int) -> Path:
    """Where a chunk is written."""
    return directory / f"{table}.{chunk}.csv"


class Chunks:
    """Writes the chunks of all three tables of one landing into a directory.

    Keys go on after the history's highest ones. Orders dated in the days of the landing fall on `first_day` and the
    `days` after it.
    """

    def __init__(
        self, directory: Path, tpch: Tpch, config: CustomersConfig, history: History, *, first_day: date, days: int
    ) -> None:
        self._directory = directory
        self._tpch = tpch
        self._config = config
        self._history = history
        self._first_day = first_day
        self._days = days
        self._numbers = range(1, config.chunks + 1)

    def write(self, reordered: Iterable[tuple[str, int]] = ()) -> None:
        """Writes every chunk; those given as (table, chunk) with their columns in another order."""
        turned = frozenset(reordered)
        # All customer chunks are open at once, as one customer's changes go to several.
        with ExitStack() as stack:
            writers = {n: self._writer("customer", n, stack, turned=("customer", n) in turned) for n in self._numbers}
            for chunk, customer in self._customers():
                writers[chunk](customer)
        corrections: list[Sale] = []
        for chunk in self._numbers:
            due, corrections = corrections, []
            with ExitStack() as stack:
                write_order, write_line = (
                    self._writer(table, chunk, stack, turned=(table, chunk) in turned)
                    for table in ("orders", "lineitem")
                )
                for sale, correction in chain(((sale, None) for sale in due), self._sales(chunk)):
                    write_order(sale.order)
                    for line in sale.lines:
                        write_line(line)
                    if correction is not None:
                        corrections.append(correction)

    def _customers(self) -> Iterator[tuple[int, Customer]]:
        """All deliveries of all customers, as (chunk, row), in order within a chunk."""
        seed = self._config.seed
        for key, customer in self._history.returning.items():
            # Of this landing: without the number of files the same would happen to the customer in each.
            rng = Random(f"returning {seed} {self._history.files['customer']} {key}")
            yield from known_customer(customer, self._numbers, rng)
        for chunk in self._numbers:
            later = range(chunk + 1, self._config.chunks + 1)
            for row in self._tpch.customers(chunk):
                number = int(row.c_custkey) + self._history.customer_key
                customer = row._replace(c_custkey=str(number), c_name=f"Customer#{number:09d}")
                yield from new_customer(customer, chunk, later, Random(f"customer {seed} {number}"))

    def _sales(self, part: int) -> Iterator[tuple[Sale, Sale | None]]:
        """The sales of a part, each with what the next chunk corrects of it, mostly nothing."""
        rng = Random(f"sales {self._config.seed} {self._history.order_key} {part}")
        for sale in self._tpch.sales(part):
            numbered = self._numbered(sale, rng)
            if happens(RECENT, rng):
                numbered = redated(numbered, self._first_day + timedelta(days=below(self._days + 1, rng)))
            yield numbered, corrected(numbered) if happens(CORRECTED, rng) else None

    def _numbered(self, sale: Sale, rng: Random) -> Sale:
        """The sale with its own keys among all landings'."""
        order_key = str(int(sale.order.o_orderkey) + self._history.order_key)
        customer_key = int(sale.order.o_custkey)
        if self._history.customer_key and not happens(KNOWN_CUSTOMER, rng):
            customer_key += self._history.customer_key
        order = sale.order._replace(o_orderkey=order_key, o_custkey=str(customer_key))
        return Sale(order, tuple(line._replace(l_orderkey=order_key) for line in sale.lines))

    def _writer(self, table: str, chunk: int, stack: ExitStack, *, turned: bool) -> Write:
        """What writes a row, with its faults, into the chunk's file, which the stack closes."""
        columns = COLUMNS[table]
        places = [*range(len(columns))]
        if turned:
            places = places[3:] + places[:3]
        file = chunk_file(self._directory, table, chunk).open("w", newline="", encoding="utf-8")
        writer = csv.writer(stack.enter_context(file), lineterminator="\n")
        writer.writerow(columns[place] for place in places)
        history = self._history
        rng = Random(f"faults {self._config.seed} {history.files[table]} {table} {chunk}")
        faults = Faults(self._config.dirty, table, columns, rng)

        def write(row: Sequence[str]) -> None:
            fields = faults.applied(row)
            whole = turned and len(fields) == len(places)
            writer.writerow([fields[place] for place in places] if whole else fields)

        return write
