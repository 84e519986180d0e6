"""The five tables: their names, columns, types, keys, and what a row can't do without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Any

Coercion = Callable[[Any], Any]
INT_MAX = 2**31 - 1


def text(value: Any) -> str:
    return str(value)


def upper(value: Any) -> str:
    return str(value).upper()


def whole(value: Any) -> int:
    return int(value)


def small(value: Any) -> int | None:
    """Of 32 bits; beyond them it doesn't fit."""
    return int(value) if abs(int(value)) <= INT_MAX else None


def day(value: Any) -> date | None:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(str(value)).date()
    except ValueError:
        return None


def moment(value: Any) -> datetime | None:
    """An instant, from ISO text or a timestamp; in UTC where it says no zone."""
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found.replace(tzinfo=timezone.utc) if found.tzinfo is None else found.astimezone(timezone.utc)


@dataclass(frozen=True)
class Source:
    """A table of the database: `name` there, `table` in silver."""

    name: str
    table: str
    key: str
    columns: Mapping[str, Coercion]
    required: tuple[str, ...]
    positive: tuple[str, ...] = ()


SOURCES = (
    Source(
        "DimUser",
        "catalogue_users",
        "user_id",
        {
            "user_id": whole,
            "user_name": upper,
            "country": text,
            "subscription_type": text,
            "start_date": day,
            "end_date": day,
            "updated_at": moment,
        },
        required=("updated_at",),
    ),
    Source(
        "DimArtist",
        "catalogue_artists",
        "artist_id",
        {"artist_id": whole, "artist_name": text, "genre": text, "country": text, "updated_at": moment},
        required=("updated_at",),
    ),
    Source(
        "DimTrack",
        "catalogue_tracks",
        "track_id",
        {
            "track_id": whole,
            "track_name": text,
            "artist_id": whole,
            "album_name": text,
            "duration_sec": small,
            "release_date": day,
            "updated_at": moment,
        },
        required=("updated_at",),
        positive=("duration_sec",),
    ),
    Source(
        "DimDate",
        "catalogue_dates",
        "date_key",
        {"date_key": whole, "date": day, "day": small, "month": small, "year": small, "weekday": text},
        required=("date",),
    ),
    Source(
        "FactStream",
        "catalogue_streams",
        "stream_id",
        {
            "stream_id": whole,
            "user_id": whole,
            "track_id": whole,
            "date_key": whole,
            "listen_duration": small,
            "device_type": text,
            "stream_timestamp": moment,
        },
        required=("date_key", "stream_timestamp"),
        positive=("listen_duration",),
    ),
)
