"""Small hand-written loads for the oracle's own tests."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from music_lakehouse_tests.oracle.values import Row

NOON = datetime(2025, 3, 1, 12, tzinfo=timezone.utc)


def at(hours: float) -> datetime:
    """The instant that many hours after NOON."""
    return NOON + timedelta(hours=hours)


def load(root: Path, source: str, hours: float, *rows: Row) -> None:
    """Lands the rows as one load that began that many hours after NOON."""
    directory = root / "catalogue" / source
    directory.mkdir(parents=True, exist_ok=True)
    marks: dict[str, Any] = {"_rescued_data": None, "_deleted": False, "_extracted_at": at(hours)}
    names = sorted({name for row in rows for name in row} - set(marks))
    content = [{**dict.fromkeys(names), **marks, **row} for row in rows]
    name = f"{at(hours).strftime('%Y%m%dT%H%M%S%fZ')}-00000.parquet"
    pq.write_table(pa.Table.from_pylist(content), directory / name)


def user(user_id: int | None, hours: float | None, name: str = "Ann", plan: str = "free") -> Row:
    moment = None if hours is None else at(hours)
    return {"user_id": user_id, "user_name": name, "subscription_type": plan, "updated_at": moment}


def artist(artist_id: int, hours: float, name: str = "The Band") -> Row:
    return {"artist_id": artist_id, "artist_name": name, "updated_at": at(hours)}


def track(track_id: int, hours: float, artist_id: int = 1, seconds: int | None = 180) -> Row:
    return {"track_id": track_id, "artist_id": artist_id, "duration_sec": seconds, "updated_at": at(hours)}


def stream(stream_id: int, hours: float, user_id: int = 1, track_id: int = 1, seconds: int | None = 60) -> Row:
    return {
        "stream_id": stream_id,
        "user_id": user_id,
        "track_id": track_id,
        "date_key": 20250301,
        "listen_duration": seconds,
        "stream_timestamp": at(hours),
    }


def gone(key: str, number: int) -> Row:
    return {key: number, "_deleted": True}
