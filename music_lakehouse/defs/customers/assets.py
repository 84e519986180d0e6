"""The customers tables as assets: each a thin shell over what takes its sources into it."""

from functools import partial

import dagster as dg

from music_lakehouse.defs.customers.landed import LANDED
from music_lakehouse.defs.customers.steps import STEPS, judged_changes
from music_lakehouse.defs.customers.tables import BRONZE
from music_lakehouse.defs.landed_files import build_landed_tables, landing_spec
from music_lakehouse.defs.stages import build_stage
from music_lakehouse.lakehouse.csv_rows import csv_rows
from music_lakehouse.lakehouse.file_ingest import FileSource
from music_lakehouse.lakehouse.steps import in_stages
from music_lakehouse.lakehouse.tables import Table

SOURCES: dict[Table, FileSource] = {
    BRONZE[landed]: FileSource(
        BRONZE[landed], landed.directory, "*.csv", partial(csv_rows, columns=landed.column_names)
    )
    for landed in LANDED
}

landed_rows = build_landed_tables(
    "customers_landed",
    SOURCES,
    {BRONZE[landed]: partial(judged_changes, landed=landed) for landed in LANDED},
    description="Every row of every landed file, once, as text. Its rules say which rows silver refuses.",
)

STAGE_NAMES = ("customers_latest", "customers_versions", "customers_sales")
STAGES = [build_stage(name, steps) for name, steps in zip(STAGE_NAMES, in_stages(STEPS.values()), strict=True)]

DIRECTORIES = [
    landing_spec(
        landed.directory,
        f"CSV files with TPC-H's {landed.name} in LANDING_ROOT/{landed.directory}.",
        BRONZE[landed],
        kind="csv",
        columns=landed.columns,
    )
    for landed in LANDED
]

ASSETS: list[dg.AssetsDefinition | dg.AssetSpec] = [*DIRECTORIES, landed_rows, *STAGES]
"""All customers assets, and the directories that they come from."""
