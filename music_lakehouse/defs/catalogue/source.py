"""The tables of the operational database; to load one more, add its line."""

from __future__ import annotations

from pathlib import Path

from music_lakehouse.lakehouse.landing import Landing
from music_lakehouse.lakehouse.sql_source import SourceTable

SOURCE_TABLES = (
    SourceTable("DimUser", key="user_id", watermark="updated_at"),
    SourceTable("DimArtist", key="artist_id", watermark="updated_at"),
    SourceTable("DimTrack", key="track_id", watermark="updated_at"),
    SourceTable("DimDate", key="date_key"),
    SourceTable("FactStream", key="stream_id", watermark="stream_timestamp"),
)


def landing_of(landing_root: Path, table: SourceTable) -> Landing:
    """Where the table's files land: `LANDING_ROOT/catalogue/<table>/`."""
    return Landing(landing_root / "catalogue" / table.name)
