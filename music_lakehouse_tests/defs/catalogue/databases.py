"""Databases that tests change as they like, and lakes that are kept from them without Dagster."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import sqlalchemy as sa
from pydantic import SecretStr

from music_lakehouse.defs.catalogue.assets import SOURCES
from music_lakehouse.defs.catalogue.extraction import known_keys
from music_lakehouse.defs.catalogue.source import SOURCE_TABLES, landing_of
from music_lakehouse.defs.catalogue.steps import STEPS
from music_lakehouse.defs.catalogue.tables import TABLES
from music_lakehouse.lakehouse.database import Database
from music_lakehouse.lakehouse.file_ingest import Ingested, ingest_files
from music_lakehouse.lakehouse.key_scan import Scanned, scan_keys
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.sql_source import Extracted, extract
from music_lakehouse.lakehouse.steps import StepReport, run_step
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.simulator.catalogue_database import METADATA, Counted, change, fill

EPOCH = datetime(2025, 1, 1, tzinfo=timezone.utc)


def at(hours: float) -> str:
    """So many hours after the year began, as SQLite keeps it."""
    return (EPOCH + timedelta(hours=hours)).replace(tzinfo=None).isoformat(" ", "milliseconds")


class Catalogue:
    """A database with the catalogue's tables, empty at first, and the directory in which its rows land."""

    def __init__(self, url: SecretStr, landing: Path) -> None:
        self.url, self.landing = url, landing
        self.database = Database(url, setting="CATALOGUE_DATABASE_URL", patience=0.2)
        self.database.write("the test", METADATA.create_all)

    def run(self, *statements: str) -> None:
        def work(connection: sa.Connection) -> None:
            for statement in statements:
                connection.exec_driver_sql(statement)

        self.database.write("the test", work)

    def simulate(self, *, streams: int, seed: int, rounds: int = 0) -> None:
        """Fill it, where it is empty, or change it by so many rounds."""
        if not fill(self.database, Counted(), streams=streams, seed=seed):
            for _ in range(rounds):
                change(self.database, Counted(), streams=streams, seed=seed)

    def user(self, user_id: object, hours: float | None, name: str = "Ann", plan: str = "free") -> None:
        self._put("DimUser", "user_id", user_id, user_name=name, subscription_type=plan, updated_at=_moment(hours))

    def artist(self, artist_id: int, hours: float, name: str = "The Band") -> None:
        self._put("DimArtist", "artist_id", artist_id, artist_name=name, updated_at=_moment(hours))

    def track(self, track_id: int, hours: float, *, artist: int = 1, name: str = "Tune", seconds: object = 180) -> None:
        values = {"track_name": name, "artist_id": artist, "duration_sec": seconds, "updated_at": _moment(hours)}
        self._put("DimTrack", "track_id", track_id, **values)

    def day(self, date_key: int, day: str | None) -> None:
        self._put("DimDate", "date_key", date_key, date=day)

    def stream(
        self, stream_id: int, hours: float | None, *, user: int | None = 1, track: int = 1, seconds: object = 60
    ) -> None:
        values = {"user_id": user, "track_id": track, "date_key": 20250101, "listen_duration": seconds}
        self._put("FactStream", "stream_id", stream_id, **values, stream_timestamp=_moment(hours))

    def _put(self, table: str, key: str, number: object, **values: object) -> None:
        """Insert the row, or change the one that is there; it has these values and no others."""
        names = ", ".join(f'"{name}"' for name in (key, *values))
        literals = ", ".join(map(_literal, (number, *values.values())))
        self.run(
            f'DELETE FROM "{table}" WHERE {key} = {number}', f'INSERT INTO "{table}" ({names}) VALUES ({literals})'
        )

    def land(self, *, full_refresh: bool = False) -> dict[str, Extracted]:
        """Let land what is new; of each table what was read."""
        return {
            name: extract(self.database, table, landing_of(self.landing, table), full_refresh=full_refresh)
            for name, table in SOURCE_TABLES.items()
        }

    def scan(self, lake: Lake, *, allow_empty: bool = True) -> dict[str, Scanned]:
        """Let land what differs from what the lake knows."""
        return {
            name: scan_keys(
                self.database,
                table,
                landing_of(self.landing, table),
                known_keys(lake, name),
                allow_empty=allow_empty,
            )
            for name, table in SOURCE_TABLES.items()
        }


def take_files(lake: Lake, landing: Path) -> dict[Table, Ingested]:
    """Take what landed into bronze, and no further."""
    return {table: ingest_files(lake, source, landing) for table, source in SOURCES.items()}


def take(lake: Lake, landing: Path) -> tuple[dict[Table, Ingested], dict[Table, StepReport]]:
    """What a run does to the tables of the lake; what was taken of the files, and what each step did."""
    taken = take_files(lake, landing)
    return taken, {table: run_step(lake, step) for table, step in STEPS.items()}


def versions(lake: Lake) -> dict[str, int]:
    """The newest version of each table."""
    states = {name: lake.state(table) for name, table in TABLES.items()}
    return {name: -1 if state is None else state.version for name, state in states.items()}


def _moment(hours: float | None) -> str | None:
    return None if hours is None else at(hours)


def _literal(value: object) -> str:
    return "NULL" if value is None else str(value) if isinstance(value, int) else f"'{value}'"
