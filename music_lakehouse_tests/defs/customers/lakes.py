"""Lakes that are kept from landed files, without Dagster."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from music_lakehouse.defs.customers.assets import SOURCES
from music_lakehouse.defs.customers.steps import STEPS
from music_lakehouse.defs.customers.tables import TABLES
from music_lakehouse.lakehouse.file_ingest import Ingested, ingest_files
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.steps import run_step
from music_lakehouse.lakehouse.tables import Table


def take_files(lake: Lake, landing_root: Path) -> dict[Table, Ingested]:
    """Take what landed into bronze, and no further."""
    return {table: ingest_files(lake, source, landing_root) for table, source in SOURCES.items()}


def run_all(lake: Lake, landing_root: Path) -> dict[Table, Ingested]:
    """What a run of the pipeline does to the tables; what was taken of the files, by bronze table."""
    taken = take_files(lake, landing_root)
    for step in STEPS.values():
        run_step(lake, step)
    lake.release()
    return taken


def versions(lake: Lake) -> dict[str, int]:
    """The newest version of each table."""
    states = {name: lake.state(table) for name, table in TABLES.items()}
    return {name: -1 if state is None else state.version for name, state in states.items()}


def deliver(files: Iterable[Path], source: Path, target: Path) -> None:
    """Let the files below `source` land below `target`, with their modification times."""
    for file in files:
        landed = target / file.relative_to(source)
        landed.parent.mkdir(parents=True, exist_ok=True)
        written = landed.with_name(f".{landed.name}")
        shutil.copy2(file, written)
        os.replace(written, landed)


def landed_below(root: Path) -> list[Path]:
    """All landed files, in the order of their modification times."""
    return sorted((root / "customers").glob("*/*.csv"), key=lambda path: (path.stat().st_mtime_ns, path.name))
