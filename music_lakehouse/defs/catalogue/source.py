"""The tables of the operational database; to load one more into bronze, add its line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from music_lakehouse.lakehouse.landing import Landing
from music_lakehouse.lakehouse.sql_source import SourceTable

SOURCE_TABLES: Mapping[str, SourceTable] = {
    "catalogue_users": SourceTable("DimUser", key="user_id", watermark="updated_at"),
    "catalogue_artists": SourceTable("DimArtist", key="artist_id", watermark="updated_at"),
    "catalogue_tracks": SourceTable("DimTrack", key="track_id", watermark="updated_at"),
    "catalogue_dates": SourceTable("DimDate", key="date_key"),
    "catalogue_streams": SourceTable("FactStream", key="stream_id", watermark="stream_timestamp"),
}
"""The source's tables, by the names that they have in bronze and silver."""


def directory_of(table: SourceTable) -> str:
    """Where the table's files land, below LANDING_ROOT."""
    return f"catalogue/{table.name}"


def landing_of(landing_root: Path, table: SourceTable) -> Landing:
    """Where the table's files land: `LANDING_ROOT/catalogue/<table>/`."""
    return Landing(landing_root / directory_of(table))
