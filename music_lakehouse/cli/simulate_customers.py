"""`music-lakehouse simulate customers`: customers, orders and line items as CSV files that land."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from music_lakehouse.cli.console import say, show_table, size
from music_lakehouse.cli.progress import waiting

EXAMPLE = (
    "Example: music-lakehouse simulate customers --scale 0.01 --chunks 8\n\n"
    "With faults in rows and files: music-lakehouse simulate customers --dirty 0.02"
)


def customers(
    scale: Annotated[
        float, typer.Option(min=0.001, max=1000, help="Size of TPC-H; 1 is 150,000 customers and 1 GB.")
    ] = 0.01,
    chunks: Annotated[int, typer.Option(min=1, max=200, help="Files that each table is cut into.")] = 8,
    seed: Annotated[int, typer.Option(help="The same seed, start and landed files give the same bytes.")] = 1,
    dirty: Annotated[
        float, typer.Option(min=0, max=1, help="Share of rows with a fault, as 0.02; above 0 also files with faults.")
    ] = 0.0,
    start: Annotated[
        datetime | None,
        typer.Option(
            help="When the first file lands, UTC, a chunk a day; by default such that the last one lands now."
        ),
    ] = None,
) -> None:
    """Land TPC-H's customers, orders and line items as CSV files below LANDING_ROOT/customers.

    Customers change from chunk to chunk. Called again, more of them land, and those that are there change.
    """
    from music_lakehouse.settings import Settings
    from music_lakehouse.simulator.customers.config import CustomersConfig
    from music_lakehouse.simulator.customers.plan import Kind
    from music_lakehouse.simulator.customers.simulation import land_customers

    config = CustomersConfig(scale=scale, chunks=chunks, seed=seed, dirty=dirty, start=start)
    with waiting("Landing customers, orders and line items"):
        landed = land_customers(Settings().landing_root, config)
    rows = []
    for directory in dict.fromkeys(file.path.parent for file in landed):
        files = [file for file in landed if file.path.parent == directory]
        odd = ", ".join(f"{file.path.name} {file.kind.value}" for file in files if file.kind is not Kind.WHOLE)
        total = sum(file.path.stat().st_size for file in files)
        rows.append((str(directory), len(files), size(total), odd))
    show_table(("directory", "files", "size", "among them"), rows, right=("files", "size"))
    first, last = (f"{file.modified:%Y-%m-%d %H:%M}" for file in (landed[0], landed[-1]))
    say(f"{len(landed)} files landed from {first} to {last} UTC")
