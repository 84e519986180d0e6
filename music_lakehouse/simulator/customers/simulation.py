"""Customers, orders and line items that land as CSV files."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

from music_lakehouse.simulator.customers.chunks import Chunks, chunk_file
from music_lakehouse.simulator.customers.config import CustomersConfig
from music_lakehouse.simulator.customers.faults import drop_column, empty, truncate
from music_lakehouse.simulator.customers.history import History, read_history
from music_lakehouse.simulator.customers.plan import Delivery, Kind, plan
from music_lakehouse.simulator.customers.tpch import Tpch
from music_lakehouse.simulator.landing import LandingError, Staging, evenly, land, present

SOURCE = "customers"


class Landed(NamedTuple):
    """A file that landed, and as what."""

    path: Path
    kind: Kind
    modified: datetime


def land_customers(landing_root: Path, config: CustomersConfig) -> list[Landed]:
    """Lands all of TPC-H once, as CSV chunks with a header in `landing_root`/customers/{customer,orders,lineitem}/, and
    returns the files in the order in which they landed.

    Customers change between chunks, come twice in one, and again as they are; some chunks land twice, under two names;
    line items land before their orders and orders before their customers (see `plan`).

    A customer's version begins when the file that brought it landed, which is its modification time: the files have
    modification times evenly spread over the days of the landing, one a chunk. The orders keep TPC-H's dates of 1992
    to 1998, before any customer was known; but one in ten is dated in the days of the landing and the day after
    it, with its line items, so that of a customer who changed each version has orders.

    Called again it lands TPC-H once more, later, with keys that go on after the highest landed, orders of old and new
    customers, and changes of customers who landed before. All that it knows of them it reads from the landed files. The
    same landed files, config and days give the same bytes.
    Raises TpchError where TPC-H can't be made, LandingError where the start is before the last landing.
    """
    root = landing_root / SOURCE
    history = read_history(root, seed=config.seed)
    rng = Random(f"plan {config.seed} {history.files}")
    deliveries = plan(config.chunks, dirty=config.dirty > 0, rng=rng)
    first, last = _times(config, history)
    times = list(evenly(first, last, len(deliveries)))
    with Staging(landing_root) as staging:
        tpch = Tpch(staging.path / "tpch", scale=config.scale, parts=config.chunks)
        first_day = times[0].date()
        chunks = Chunks(
            staging.path, tpch, config, history, first_day=first_day, days=(times[-1].date() - first_day).days + 1
        )
        chunks.write((table, chunk) for table, chunk, kind in deliveries if kind is Kind.REORDERED)
        written = {(table, chunk): chunk_file(staging.path, table, chunk) for table, chunk, _ in deliveries}
        numbers = dict(history.files)
        landed = []
        for delivery, modified in zip(deliveries, times, strict=True):
            numbers[delivery.table] += 1
            target = root / delivery.table / f"{delivery.table}_{numbers[delivery.table]:06d}.csv"
            chunk = written[delivery.table, delivery.chunk]
            if delivery.kind in (Kind.WHOLE, Kind.REORDERED):
                written[delivery.table, delivery.chunk] = land(chunk, target, modified)
            else:
                land(_changed(staging.copy_of(chunk), delivery, rng), target, modified)
            landed.append(Landed(target, delivery.kind, modified))
    return landed


def _times(config: CustomersConfig, history: History) -> tuple[datetime, datetime]:
    """After when the first file lands, and when the last one does."""
    days = timedelta(days=config.chunks)
    if config.start is not None:
        if history.last is not None and config.start < history.last:
            raise LandingError(f"files have landed up to {history.last:%Y-%m-%dT%H:%M:%S} UTC: start after that")
        return config.start, config.start + days
    now = present()
    return (now - days if history.last is None else history.last), now


def _changed(copy: Path, delivery: Delivery, rng: Random) -> Path:
    """The copy of a chunk, after what is done to it."""
    if delivery.kind is Kind.TRUNCATED:
        truncate(copy, rng)
    elif delivery.kind is Kind.SHORT_OF_A_COLUMN:
        drop_column(copy, delivery.table)
    elif delivery.kind is Kind.EMPTY:
        empty(copy)
    return copy
