from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from music_lakehouse.defs.catalogue.source import SOURCE_TABLES, landing_of
from music_lakehouse.lakehouse.database import Database
from music_lakehouse.lakehouse.sql_source import extract
from music_lakehouse.simulator.catalogue_database import METADATA, Counted, change, fill

TABLES = SOURCE_TABLES.values()


def test_every_table_of_the_simulated_database_is_listed_with_its_key_and_its_watermark() -> None:
    indexed = {name: [c.name for c in table.columns if c.index] for name, table in METADATA.tables.items()}
    keys = {name: [c.name for c in table.primary_key.columns] for name, table in METADATA.tables.items()}

    assert {table.name: [table.key] for table in TABLES} == keys
    assert {table.name: [table.watermark] if table.watermark else [] for table in TABLES} == indexed


def test_what_a_round_changes_is_what_lands(tmp_path: Path) -> None:
    database = Database(SecretStr(f"sqlite:///{tmp_path}/catalogue.db"), setting="CATALOGUE_DATABASE_URL")
    filled, changed = Counted(), Counted()
    fill(database, filled, streams=1000, seed=1)
    first = {table.name: extract(database, table, landing_of(tmp_path, table)).landed for table in TABLES}
    change(database, changed, streams=100, seed=1)
    second = {table.name: extract(database, table, landing_of(tmp_path, table)).landed for table in TABLES}

    assert first == {name: counts.new for name, counts in filled.items()}
    assert second["FactStream"] == 100
    assert second["DimDate"] == changed["DimDate"].new == 0
    assert 0 < second["DimTrack"] <= changed["DimTrack"].new + changed["DimTrack"].changed
    assert {path.name for path in (tmp_path / "catalogue").iterdir()} == {table.name for table in TABLES}
