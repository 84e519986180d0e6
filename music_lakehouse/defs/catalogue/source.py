"""The tables of the operational database; to load one more into bronze, add its line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from music_lakehouse.lakehouse.database import Database
from music_lakehouse.lakehouse.landing import Landing
from music_lakehouse.lakehouse.sql_source import SourceTable, are_all_missing

SOURCE_TABLES: Mapping[str, SourceTable] = {
    "catalogue_users": SourceTable("DimUser", key="user_id", watermark="updated_at", scd_type=2),
    "catalogue_artists": SourceTable("DimArtist", key="artist_id", watermark="updated_at", scd_type=2),
    "catalogue_tracks": SourceTable("DimTrack", key="track_id", watermark="updated_at", scd_type=2),
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


def nothing_to_read(database: Database) -> str | None:
    """That the database has none of the tables, with the remedy; None where it has one at least. Raises DatabaseError
    where it doesn't say."""
    tables = SOURCE_TABLES.values()
    if not are_all_missing(database, tables):
        return None
    names = ", ".join(table.name for table in tables)
    return (
        f"{database.name} has none of the tables {names}: `music-lakehouse simulate catalogue` makes and fills them, "
        "or set CATALOGUE_DATABASE_URL to a database that has them"
    )
