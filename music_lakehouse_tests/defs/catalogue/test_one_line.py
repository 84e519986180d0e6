"""A table of the source that is declared in one line, in a process of its own: tables are declared at import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sqlite3, sys
from pathlib import Path
from music_lakehouse.defs.catalogue import source
from music_lakehouse.lakehouse.sql_source import SourceTable, extract

source.SOURCE_TABLES = {**source.SOURCE_TABLES, "catalogue_labels": SourceTable("DimLabel", "label_id", "updated_at")}

from music_lakehouse.defs.catalogue.assets import SOURCES
from music_lakehouse.defs.catalogue.extraction import known_keys
from music_lakehouse.defs.catalogue.tables import BRONZE
from music_lakehouse.definitions import defs
from music_lakehouse.lakehouse.database import Database
from music_lakehouse.lakehouse.file_ingest import ingest_files
from music_lakehouse.lakehouse.key_scan import scan_keys
from music_lakehouse.lakehouse.lake import Lake
from pydantic import SecretStr

job = defs.resolve_job_def("catalogue_pipeline").asset_layer.executable_asset_keys
print(sorted(key.to_user_string() for key in job if "abel" in key.to_user_string()))
root = Path(sys.argv[1])
connection = sqlite3.connect(root / "catalogue.db")
connection.execute("CREATE TABLE DimLabel (label_id INTEGER PRIMARY KEY, label_name TEXT, updated_at TEXT)")
connection.execute("INSERT INTO DimLabel VALUES (1, 'Own', '2025-01-01'), (2, 'Other', '2025-01-02')")
connection.commit()
database = Database(SecretStr(f"sqlite:///{root}/catalogue.db"), setting="CATALOGUE_DATABASE_URL")
table, bronze = source.SOURCE_TABLES["catalogue_labels"], BRONZE["catalogue_labels"]
landing, lake = source.landing_of(root, table), Lake(str(root / "lake"), None)
lake.create(bronze)
print(known_keys(lake, "catalogue_labels").num_rows)
extract(database, table, landing)
print(sorted(ingest_files(lake, SOURCES[bronze], root).new_columns))
connection.execute("DELETE FROM DimLabel WHERE label_id = 2")
connection.commit()
print(known_keys(lake, "catalogue_labels").sort_by("label_id").to_pylist())
print(scan_keys(database, table, landing, known_keys(lake, "catalogue_labels")).deleted)
ingest_files(lake, SOURCES[bronze], root)
print(known_keys(lake, "catalogue_labels").sort_by("label_id").to_pylist())
"""

WITH_A_HISTORY = """
from music_lakehouse.defs.catalogue import source
from music_lakehouse.lakehouse.sql_source import SourceTable
from music_lakehouse.lakehouse.tables import Column

label = SourceTable("DimLabel", "label_id", "updated_at", scd_type=2)
source.SOURCE_TABLES = {**source.SOURCE_TABLES, "catalogue_labels": label}

from music_lakehouse.defs.catalogue import entities

columns = (Column("label_id", "BIGINT", "the label"), Column("label_name", "STRING", "its name"))
labels = entities.Entity("catalogue_labels", "label", (*columns, entities.ARTISTS.columns[-1]), ("updated_at",))
entities.ENTITIES, entities.DIMENSIONS = (*entities.ENTITIES, labels), (*entities.DIMENSIONS, labels)

from music_lakehouse.defs.catalogue.tables import FACT_STREAM
from music_lakehouse.definitions import defs

job = defs.resolve_job_def("catalogue_pipeline").asset_layer.executable_asset_keys
print(sorted(key.to_user_string() for key in job if "label" in key.to_user_string().lower()))
print([name for name in FACT_STREAM.column_names if name.endswith("_version_key")])
"""


def run(program: str, *arguments: str) -> list[str]:
    """The lines that the program prints."""
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.thorough
def test_an_entity_with_a_history_has_silver_and_gold_and_no_part_in_the_fact() -> None:
    assert run(WITH_A_HISTORY) == [
        "['bronze/catalogue_labels', 'gold/catalogue_dim_label', 'landing/catalogue/DimLabel', "
        "'silver/catalogue_labels']",
        "['user_version_key', 'artist_version_key', 'track_version_key']",
    ]


@pytest.mark.thorough
def test_one_line_extracts_a_table_scans_its_keys_and_takes_it_to_bronze(tmp_path: Path) -> None:
    assert run(PROGRAM, str(tmp_path)) == [
        "['bronze/catalogue_labels', 'landing/catalogue/DimLabel']",
        "0",
        "['label_id', 'label_name', 'updated_at']",
        "[{'label_id': 1, 'updated_at': '2025-01-01'}, {'label_id': 2, 'updated_at': '2025-01-02'}]",
        "1",
        "[{'label_id': 1, 'updated_at': '2025-01-01'}]",
    ]
