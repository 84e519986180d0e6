"""Which files of a landing are delivered, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from random import Random
from typing import NamedTuple

from music_lakehouse.simulator.customers.tpch import COLUMNS
from music_lakehouse.simulator.draws import below


class Kind(str, Enum):
    """What a delivered file is, compared with its chunk."""

    WHOLE = "whole"
    REORDERED = "columns in another order"
    AGAIN = "delivered again"
    TRUNCATED = "truncated"
    SHORT_OF_A_COLUMN = "a column missing"
    EMPTY = "empty"


class Delivery(NamedTuple):
    """One file to land: the table, the chunk that it holds, and what is done to it."""

    table: str
    chunk: int
    kind: Kind


def plan(chunks: int, *, dirty: bool, rng: Random) -> list[Delivery]:
    """The deliveries of a landing, in order.

    Each chunk of each table lands whole once, by itself and in the order of its number; line items and orders land
    before what they belong to in every other round, the first among them. One chunk a table is delivered again after
    itself or a later one. Dirty: of each table one chunk has its columns in another order, and an empty file, a
    truncated copy and a copy that lacks a column land before the good file.
    """
    tables = [_Turns(table, chunks, dirty=dirty, rng=rng) for table in COLUMNS]
    deliveries: list[Delivery] = []
    for chunk in range(1, chunks + 1):
        for table in reversed(tables) if chunk % 2 else tables:
            deliveries.extend(table.deliveries(chunk))
    return deliveries


class _Turns:
    """Where among the chunks of one table the odd deliveries stand."""

    def __init__(self, table: str, chunks: int, *, dirty: bool, rng: Random) -> None:
        self._table = table
        self._repeated = 1 + below(chunks, rng)
        self._repeated_after = self._repeated + below(min(3, chunks - self._repeated + 1), rng)
        faulty = (Kind.EMPTY, Kind.TRUNCATED, Kind.SHORT_OF_A_COLUMN, Kind.REORDERED) if dirty else ()
        self._faulty = {kind: 1 + below(chunks, rng) for kind in faulty}

    def deliveries(self, chunk: int) -> Iterator[Delivery]:
        """What lands of the table when its chunk's turn comes."""
        for kind in (Kind.EMPTY, Kind.TRUNCATED, Kind.SHORT_OF_A_COLUMN):
            if self._faulty.get(kind) == chunk:
                yield Delivery(self._table, chunk, kind)
        reordered = self._faulty.get(Kind.REORDERED) == chunk
        yield Delivery(self._table, chunk, Kind.REORDERED if reordered else Kind.WHOLE)
        if chunk == self._repeated_after:
            yield Delivery(self._table, self._repeated, Kind.AGAIN)
