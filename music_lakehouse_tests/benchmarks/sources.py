"""The pipelines of other sources than Kafka, as the benchmark measures them: what fills a source, and what is added."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import chain, islice
from pathlib import Path
from random import Random

import duckdb

from music_lakehouse.lakehouse.database import Database
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.catalogue_database import Counted, change, fill
from music_lakehouse.simulator.customers.changes import changed, redated
from music_lakehouse.simulator.customers.config import CustomersConfig
from music_lakehouse.simulator.customers.plan import Kind
from music_lakehouse.simulator.customers.simulation import land_customers
from music_lakehouse.simulator.customers.tpch import COLUMNS, Customer, Sale, Tpch
from music_lakehouse.simulator.heart_rate.config import HeartRateConfig
from music_lakehouse.simulator.heart_rate.simulation import land_heart_rates
from music_lakehouse.simulator.landing import Staging, land


@dataclass(frozen=True)
class Source:
    """A pipeline, and what its source is filled with.

    `size` is that of a full load by default; the first history is a tenth of it. `fill` fills the source of these
    settings with a history of a size, by a seed, `add` adds the increment of a number, the same size whatever the
    history; each gives how many `rows` (their name in the plural) there are now to be loaded.
    """

    job: str
    title: str
    rows: str
    size: float
    fill: Callable[[Settings, float, int], int]
    add: Callable[[Settings, int], int]


CHUNKS = 10
CHANGED_CUSTOMERS, NEW_ORDERS = 1_000, 2_500
# Far beyond those of any history.
_FIRST_NEW_ORDER = 10_000_000_000


def _fill_customers(settings: Settings, scale: float, seed: int) -> int:
    """A history of ten days that ended two days ago: as in a shop, no order is dated ahead of what is added now."""
    start = datetime.now(timezone.utc).replace(tzinfo=None) - timedelta(days=CHUNKS + 2)
    landed = land_customers(settings.landing_root, CustomersConfig(scale=scale, chunks=CHUNKS, seed=seed, start=start))
    loaded = [file.path for file in landed if file.kind is not Kind.AGAIN]
    return sum(_rows_of(file) for file in loaded if file.parent.name == "lineitem")


def _rows_of(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(1 for _ in lines) - 1


def _add_customers(settings: Settings, number: int) -> int:
    """A thousand customers drawn from all of the history, changed, and 2,500 orders of today by them."""
    rng, now = Random(number), datetime.now(timezone.utc)
    customers = [changed(customer, rng) for customer in _some_customers(settings.landing_root, number)]
    root = settings.landing_root / "customers"
    with Staging(settings.landing_root) as staging:
        tpch = Tpch(staging.path / "tpch", scale=0.01, parts=1)
        first = _FIRST_NEW_ORDER + number * NEW_ORDERS * 10
        sales = [
            _renumbered(redated(sale, now.date()), first + place, customers[place % len(customers)].c_custkey)
            for place, sale in enumerate(islice(tpch.sales(1), NEW_ORDERS))
        ]
        lines = list(chain.from_iterable(sale.lines for sale in sales))
        for table, rows in (("customer", customers), ("orders", [sale.order for sale in sales]), ("lineitem", lines)):
            staged = staging.path / f"{table}.csv"
            with staged.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(COLUMNS[table])
                writer.writerows(rows)
            land(staged, root / table / f"{table}_increment_{number:03d}.csv", now)
    return len(lines)


def _some_customers(landing_root: Path, number: int) -> list[Customer]:
    """Customers as one of the landed files has them, the same number from a history of any size."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"""
            SELECT DISTINCT ON (c_custkey) {", ".join(Customer._fields)}
            FROM read_csv('{landing_root}/customers/customer/customer_0*.csv', all_varchar = true, union_by_name = true)
            ORDER BY hash(c_custkey || ' {number}') LIMIT {CHANGED_CUSTOMERS}
            """
        ).fetchall()
    return [Customer._make(row) for row in rows]


def _renumbered(sale: Sale, order_key: int, customer_key: str) -> Sale:
    order = sale.order._replace(o_orderkey=str(order_key), o_custkey=customer_key)
    return Sale(order, tuple(line._replace(l_orderkey=str(order_key)) for line in sale.lines))


STREAMS_ADDED = 10_000


def _fill_catalogue(settings: Settings, streams: float, seed: int) -> int:
    fill(_catalogue(settings), Counted(), streams=int(streams), seed=seed)
    return int(streams)


def _add_streams(settings: Settings, number: int) -> int:
    """An hour of the database's time: new streams, and users, artists and tracks that came, changed or went."""
    change(_catalogue(settings), Counted(), streams=STREAMS_ADDED, seed=number)
    return STREAMS_ADDED


def _catalogue(settings: Settings) -> Database:
    return Database(settings.catalogue_database_url, setting="CATALOGUE_DATABASE_URL")


RECORDINGS_A_FILE = 10_000
MOST_FILES_ADDED = 20


def _fill_heart_rates(settings: Settings, files: float, seed: int) -> int:
    """What is added later is simulated now, and waits beside the landing directory: so it goes on in time."""
    simulated = _simulated(settings)
    config = HeartRateConfig(
        files=int(files) + MOST_FILES_ADDED,
        recordings=RECORDINGS_A_FILE,
        seed=seed,
        dirty=0.01,
        start=datetime(2025, 1, 1),
    )
    land_heart_rates(simulated, config)
    landing = settings.landing_root / "heart_rate"
    landing.mkdir(parents=True)
    shutil.copy2(simulated / "heart_rate" / "patient_info.csv", landing)
    for _ in range(int(files)):
        _add_recordings(settings, 0)
    return int(files) * RECORDINGS_A_FILE


def _add_recordings(settings: Settings, number: int) -> int:
    """The next file."""
    del number
    next_file = min((_simulated(settings) / "heart_rate" / "recordings").glob("*Z.json"))
    landing = settings.landing_root / "heart_rate" / "recordings"
    landing.mkdir(exist_ok=True)
    shutil.move(next_file, landing)
    return RECORDINGS_A_FILE


def _simulated(settings: Settings) -> Path:
    return settings.landing_root.with_name("simulated")


SOURCES = {
    "catalogue": Source(
        job="catalogue_pipeline",
        title="A SQL database's streams, from SQLite to catalogue_fact_stream",
        rows="streams",
        size=1_000_000,
        fill=_fill_catalogue,
        add=_add_streams,
    ),
    "customers": Source(
        job="customers_pipeline",
        title="TPC-H's customers, orders and line items, from CSV files to fact_sales",
        rows="line items",
        size=1.0,
        fill=_fill_customers,
        add=_add_customers,
    ),
    "heart_rate": Source(
        job="heart_rate_pipeline",
        title="Heart rates, from JSON files of 10,000 to heart_rate_hourly",
        rows="recordings",
        size=100,
        fill=_fill_heart_rates,
        add=_add_recordings,
    ),
}
"""By pipeline. Another one is a declaration more."""
