"""The catalogue tables as assets: each a thin shell over what takes its sources into it."""

from functools import partial

import dagster as dg

from music_lakehouse.defs.catalogue.entities import ENTITIES
from music_lakehouse.defs.catalogue.extraction import extracted, scan_key, scanned
from music_lakehouse.defs.catalogue.source import SOURCE_TABLES, directory_of
from music_lakehouse.defs.catalogue.steps import STEPS, judged_changes
from music_lakehouse.defs.catalogue.tables import BRONZE
from music_lakehouse.defs.landed_files import build_landed_tables
from music_lakehouse.defs.stages import build_stage
from music_lakehouse.lakehouse.file_ingest import FileSource
from music_lakehouse.lakehouse.parquet_rows import parquet_rows
from music_lakehouse.lakehouse.steps import in_stages
from music_lakehouse.lakehouse.tables import Table

# Compressed, of many rows in a file; of few the file's own parts count for more.
_BYTES_A_ROW = 20

SOURCES: dict[Table, FileSource] = {
    BRONZE[name]: FileSource(BRONZE[name], directory_of(source), "[0-9]*Z-*.parquet", parquet_rows, evolves=True)
    for name, source in SOURCE_TABLES.items()
}
LANDED = build_landed_tables(
    "catalogue_landed",
    SOURCES,
    {BRONZE[entity.name]: partial(judged_changes, entity=entity) for entity in ENTITIES},
    description="Every row that landed of the database, once. Its rules say which rows silver refuses.",
    also_from=lambda table: [scan_key(table.name)],
    bytes_a_row=_BYTES_A_ROW,
)

STAGE_NAMES = ("catalogue_latest", "catalogue_dimensions", "catalogue_facts")
STAGES = [build_stage(name, steps) for name, steps in zip(STAGE_NAMES, in_stages(STEPS.values()), strict=True)]

LAKE_ASSETS: list[dg.AssetsDefinition] = [LANDED, *STAGES]
ASSETS: list[dg.AssetsDefinition] = [extracted, scanned, *LAKE_ASSETS]
"""All catalogue assets: what lands, by watermark and by the key scan, and the tables."""
