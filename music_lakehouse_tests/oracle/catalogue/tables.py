"""Every silver and gold table and the quarantine, from the landed files."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

from music_lakehouse_tests.oracle.catalogue.files import Record, records
from music_lakehouse_tests.oracle.catalogue.history import versions
from music_lakehouse_tests.oracle.catalogue.schema import SOURCES, Source
from music_lakehouse_tests.oracle.values import Row, Tables

QUARANTINE, FACTS, DAYS = "bronze.quarantine_catalogue", "gold.catalogue_fact_stream", "gold.catalogue_dim_date"
USERS, ARTISTS, TRACKS, DATES, STREAMS = SOURCES
NOUNS = {USERS.name: "user", ARTISTS.name: "artist", TRACKS.name: "track"}
DIMENSIONS = {source.name: f"gold.catalogue_dim_{NOUNS[source.name]}" for source in (USERS, ARTISTS, TRACKS)}
TABLE_KEYS: dict[str, tuple[str, ...]] = {
    QUARANTINE: ("source_filename", "row_number"),
    **{f"silver.{source.table}": (source.key,) for source in SOURCES},
    **{table: (f"{NOUNS[name]}_version_key",) for name, table in DIMENSIONS.items()},
    DAYS: (DATES.key,),
    FACTS: (STREAMS.key,),
}
"""What identifies a row of each table that is compared."""


def tables_of(landing_root: Path) -> Tables:
    """All tables that the files below `landing_root`/catalogue make."""
    tables: Tables = {QUARANTINE: []}
    for source in SOURCES:
        landed = records(landing_root, source)
        tables[QUARANTINE] += [_refused(record, source) for record in landed if record.reasons]
        by_key: dict[Any, list[Record]] = defaultdict(list)
        for record in landed:
            if not record.reasons:
                by_key[record.row[source.key]].append(record)
        tables[f"silver.{source.table}"] = [rows[-1].row for rows in by_key.values() if not rows[-1].deleted]
        if source.name in DIMENSIONS:
            told = [version for rows in by_key.values() for version in versions(rows, source.key)]
            tables[DIMENSIONS[source.name]] = [_named(version, NOUNS[source.name]) for version in told]
    tables[DAYS] = tables[f"silver.{DATES.table}"]
    tables[FACTS] = _facts(tables)
    return tables


def _refused(record: Record, source: Source) -> Row:
    return {
        "table": source.name,
        "source_filename": record.file,
        "row_number": record.number,
        "reasons": record.reasons,
    }


def _named(version: Row, noun: str) -> Row:
    return {f"{noun}_version_key": version["version_key"], **_without(version, "version_key")}


def _without(row: Row, name: str) -> Row:
    return {column: value for column, value in row.items() if column != name}


def _facts(tables: Tables) -> list[Row]:
    by_key: dict[str, dict[Any, list[Row]]] = {}
    for source in (USERS, ARTISTS, TRACKS):
        grouped: dict[Any, list[Row]] = defaultdict(list)
        for version in sorted(tables[DIMENSIONS[source.name]], key=lambda row: row["start_at"]):
            grouped[version[source.key]].append(version)
        by_key[source.name] = grouped

    def held(source: Source, key: Any, at: datetime) -> Row:
        """The version that held, the first one where the moment is before all; an empty row where none did."""
        found = by_key[source.name].get(key, [])
        if found and at < found[0]["start_at"]:
            return found[0]
        return next((v for v in found if v["start_at"] <= at and (v["end_at"] is None or at < v["end_at"])), {})

    facts = []
    for stream in tables[f"silver.{STREAMS.table}"]:
        at = stream["stream_timestamp"]
        user, track = held(USERS, stream["user_id"], at), held(TRACKS, stream["track_id"], at)
        artist = held(ARTISTS, track.get("artist_id"), at)
        facts.append(
            {
                **stream,
                "user_version_key": user.get("user_version_key"),
                "artist_version_key": artist.get("artist_version_key"),
                "track_version_key": track.get("track_version_key"),
            }
        )
    return facts
