"""Small hand-written files for the oracle's own tests."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

from music_lakehouse_tests.oracle.customers.schema import SOURCES

NOON = datetime(2024, 3, 1, 12, tzinfo=timezone.utc)
HEADERS = {table: ",".join(source.columns) for table, source in SOURCES.items()}


def at(hours: float) -> datetime:
    """The instant that many hours after NOON."""
    return NOON + timedelta(hours=hours)


def land(root: Path, table: str, name: str, hours: float, *lines: str, header: str | None = None) -> Path:
    """Lands a file of these lines below `root`/customers, that many hours after NOON."""
    return land_content(root, table, name, hours, "".join(f"{line}\n" for line in [header or HEADERS[table], *lines]))


def land_content(root: Path, table: str, name: str, hours: float, content: str | bytes) -> Path:
    """Lands a file of this content."""
    path = root / "customers" / table / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    nanoseconds = round(at(hours).timestamp() * 1000) * 1_000_000
    os.utime(path, ns=(nanoseconds, nanoseconds))
    return path


def customer(key: object, *, address: str = "Main Street", balance: object = "1.50", segment: str = "BUILDING") -> str:
    """A line of customer."""
    return f"{key},Customer#{key},{address},3,13-100,{balance},{segment},quiet"


def order(key: object, customer_key: object, day: str = "1996-01-02", *, priority: str = "0") -> str:
    """A line of orders."""
    return f"{key},{customer_key},O,100.00,{day},1-URGENT,Clerk#1,{priority},quiet"


def item(key: object, number: object = 1, *, price: str = "100.00", discount: str = "0.05") -> str:
    """A line of lineitem."""
    return f"{key},2,3,{number},5,{price},{discount},0.02,N,O,1996-03-01,1996-03-02,1996-03-03,NONE,RAIL,quiet"
