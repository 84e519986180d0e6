"""What becomes of customers and orders after they are first delivered: the rows that later chunks bring."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from random import Random

from music_lakehouse.simulator.customers.tpch import Customer, Sale
from music_lakehouse.simulator.draws import below, happens, one_of

# Shares of the customers, a chunk: changed, and delivered again as they are.
CHANGED, UNCHANGED = 0.12, 0.03
# Shares of the deliveries: two in one chunk, and of the changes: back to what was before.
TWICE, BACK = 0.05, 0.2

SEGMENTS = ("AUTOMOBILE", "BUILDING", "FURNITURE", "HOUSEHOLD", "MACHINERY")
_ADDRESS_CHARACTERS = string.ascii_letters + string.digits + " ,"


def new_customer(customer: Customer, chunk: int, later: Iterable[int], rng: Random) -> Iterator[tuple[int, Customer]]:
    """The deliveries of a customer who comes in `chunk`, as (chunk, row) in order: first the row as it is, and what
    `known_customer` gives for the later chunks."""
    yield from _delivered(customer, chunk, rng)
    yield from known_customer(customer, later, rng)


def known_customer(customer: Customer, chunks: Iterable[int], rng: Random) -> Iterator[tuple[int, Customer]]:
    """The deliveries of a customer who was delivered before, as (chunk, row) in order: in each chunk a change, the same
    row again, or mostly nothing."""
    before = now = customer
    for chunk in chunks:
        if happens(CHANGED, rng):
            # A customer who never changed has nowhere to go back to.
            after = before if before != now and happens(BACK, rng) else changed(now, rng)
            before, now = now, after
            yield from _delivered(now, chunk, rng)
        elif happens(UNCHANGED, rng):
            yield from _delivered(now, chunk, rng)


def changed(customer: Customer, rng: Random) -> Customer:
    """The customer after a move, with a new telephone, in another segment, or with another balance: never the same."""
    change = below(4, rng)
    if change == 0:
        address = "".join(one_of(_ADDRESS_CHARACTERS, rng) for _ in range(10 + below(30, rng)))
        nation = str(below(25, rng))
        return customer._replace(c_address=f"{address}.", c_nationkey=nation, c_phone=_phone(nation, rng))
    if change == 1:
        return customer._replace(c_phone=_phone(customer.c_nationkey, rng))
    if change == 2:
        return customer._replace(c_mktsegment=one_of([s for s in SEGMENTS if s != customer.c_mktsegment], rng))
    balance = f"{below(10_999_99, rng) / 100 - 999.99:.2f}"
    return customer._replace(c_acctbal=balance if balance != customer.c_acctbal else "0.01")


def redated(sale: Sale, day: date) -> Sale:
    """The sale as one of that day: its other dates keep their distance, and nothing of it was shipped or returned."""
    by = day - date.fromisoformat(sale.order.o_orderdate)
    order = sale.order._replace(o_orderdate=day.isoformat(), o_orderstatus="O")
    lines = (
        line._replace(
            l_returnflag="N",
            l_linestatus="O",
            l_shipdate=_moved(line.l_shipdate, by),
            l_commitdate=_moved(line.l_commitdate, by),
            l_receiptdate=_moved(line.l_receiptdate, by),
        )
        for line in sale.lines
    )
    return Sale(order, tuple(lines))


def corrected(sale: Sale) -> Sale:
    """What a later chunk corrects of the sale: ordered one day later, its first line returned."""
    day = _moved(sale.order.o_orderdate, timedelta(days=1))
    return Sale(sale.order._replace(o_orderdate=day), (sale.lines[0]._replace(l_returnflag="R"),))


def _delivered(customer: Customer, chunk: int, rng: Random) -> Iterator[tuple[int, Customer]]:
    """The row, at times after another one that held for a moment, or after itself."""
    if happens(TWICE, rng):
        yield chunk, customer if happens(0.5, rng) else changed(customer, rng)
    yield chunk, customer


def _phone(nation: str, rng: Random) -> str:
    """As in TPC-H, where a nation's numbers begin with its key plus ten."""
    return f"{int(nation) + 10}-{100 + below(900, rng)}-{100 + below(900, rng)}-{1000 + below(9000, rng)}"


def _moved(day: str, by: timedelta) -> str:
    return (date.fromisoformat(day) + by).isoformat()
