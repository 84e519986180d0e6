"""All tables of the listening pipeline, by their full names."""

from __future__ import annotations

from music_lakehouse.defs.listening.gold_tables import GOLD
from music_lakehouse.defs.listening.silver_tables import SILVER
from music_lakehouse.defs.listening.tables import BRONZE, QUARANTINE, RAW, REFERENCE_SONGS, REFERENCE_STATES
from music_lakehouse.lakehouse.tables import Table

TABLES: dict[str, Table] = {
    table.full_name: table
    for table in (
        *RAW.values(),
        *BRONZE.values(),
        QUARANTINE,
        REFERENCE_SONGS,
        REFERENCE_STATES,
        *SILVER,
        *GOLD,
    )
}
