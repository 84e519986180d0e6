"""All tables of the listening pipeline, by their full names."""

from __future__ import annotations

from music_lakehouse.defs.listening.gold_tables import GOLD
from music_lakehouse.defs.listening.silver_tables import SILVER
from music_lakehouse.defs.listening.tables import BRONZE, QUARANTINE, RAW, REFERENCE_SONGS, REFERENCE_STATES
from music_lakehouse.lakehouse.expectations import EXPECTATIONS
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


def find_table(full_name: str) -> Table:
    """The declaration of `layer.name`, one of these tables or the history of their checks.

    Raises LookupError where there is no such table.
    """
    if full_name == EXPECTATIONS.full_name:
        return EXPECTATIONS
    if full_name not in TABLES:
        raise LookupError(f"there is no table {full_name}: tables are {', '.join(TABLES)}")
    return TABLES[full_name]
