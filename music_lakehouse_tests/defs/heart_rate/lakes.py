"""Lakes that are kept from landed files, without Dagster."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from music_lakehouse.defs.heart_rate.assets import PEOPLE, RECORDINGS
from music_lakehouse.defs.heart_rate.steps import STEPS
from music_lakehouse.defs.heart_rate.tables import TABLES
from music_lakehouse.lakehouse.file_ingest import Ingested, ingest_files
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.reference import load_reference
from music_lakehouse.lakehouse.steps import run_step
from music_lakehouse_tests.oracle.values import Row

NOON_US = 1_709_294_400_000_000
"""2024-03-01 12:00 UTC."""


def run_all(lake: Lake, landing_root: Path) -> Ingested:
    """What a run of the pipeline does to the tables; what was taken of the files."""
    taken = ingest_files(lake, RECORDINGS, landing_root)
    load_reference(lake, PEOPLE, landing_root / "heart_rate")
    for step in STEPS.values():
        run_step(lake, step)
    return taken


def versions(lake: Lake) -> dict[str, int]:
    """The newest version of each table."""
    states = {name: lake.state(table) for name, table in TABLES.items()}
    return {name: -1 if state is None else state.version for name, state in states.items()}


def recording(mrn: object, minutes: float, rate: object = 70.5, **more: Any) -> Row:
    """A recording so many minutes after noon."""
    return {"device_id": 5, "mrn": mrn, "time": NOON_US + 60e6 * minutes, "heartrate": rate, **more}


def land(root: Path, name: str, *recordings: Any, hours: float = 0) -> Path:
    """Let a file land, so many hours after noon."""
    return land_content(root, name, json.dumps(recordings, indent=1), hours=hours)


def land_content(root: Path, name: str, content: str | bytes, *, hours: float = 0) -> Path:
    path = root / "heart_rate" / "recordings" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    seconds = NOON_US / 1e6 + 3600 * hours
    os.utime(path, (seconds, seconds))
    return path


def name_people(root: Path, *lines: str) -> Path:
    file = root / "heart_rate" / "patient_info.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(["mrn,name", *lines, ""]), encoding="utf-8")
    return file
