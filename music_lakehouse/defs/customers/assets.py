"""The customers tables as assets: each a thin shell over what takes its sources into it."""

from collections.abc import Iterator
from functools import partial

import dagster as dg

from music_lakehouse.defs.customers.landed import LANDED, LandedTable
from music_lakehouse.defs.customers.steps import STEPS, judged_changes
from music_lakehouse.defs.customers.tables import BRONZE
from music_lakehouse.defs.customers.transforms.rows import RULES
from music_lakehouse.defs.shell import (
    asset_spec,
    check_specs,
    column_schema,
    materialized,
    retried,
    side_by_side,
    version_of,
)
from music_lakehouse.defs.stages import build_stage
from music_lakehouse.lakehouse.changes import Change
from music_lakehouse.lakehouse.csv_rows import csv_rows
from music_lakehouse.lakehouse.expectations import RuleResult, count_failures, results
from music_lakehouse.lakehouse.file_ingest import FileSource, ingest_files, waiting_files
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.steps import in_stages
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.resources.files import Landing
from music_lakehouse.resources.lakehouse import LakehouseResource

# What a row of TPC-H has at least: more rows than there are do no harm.
_BYTES_A_ROW = 100


def landing_key(landed: LandedTable) -> dg.AssetKey:
    return dg.AssetKey(["landing", *landed.directory.split("/")])


SOURCES: dict[Table, FileSource] = {
    BRONZE[landed]: FileSource(
        BRONZE[landed], landed.directory, "*.csv", partial(csv_rows, columns=landed.column_names)
    )
    for landed in LANDED
}


@dg.multi_asset(
    name="customers_landed",
    specs=[asset_spec(BRONZE[landed], deps=[landing_key(landed)]) for landed in LANDED],
    check_specs=[spec for table in BRONZE.values() for spec in check_specs(table)],
    can_subset=True,
)
@retried
def landed_rows(
    context: dg.AssetExecutionContext, lakehouse: LakehouseResource, landing: Landing
) -> Iterator[dg.MaterializeResult]:
    """Every row of every landed file, once, as text. Its rules say which rows silver refuses."""
    lake = lakehouse.lake
    landed_tables = {table: landed for landed, table in BRONZE.items()}

    def take(table: Table) -> dg.MaterializeResult:
        before = version_of(lake, table)
        taken = ingest_files(lake, SOURCES[table], landing.path)
        return materialized(
            context,
            lake,
            table,
            before=before,
            rule_results=_judge_new(lake, landed_tables[table], before),
            metadata={
                "rows_inserted": taken.rows,
                "rows_rescued": taken.rescued,
                "files_loaded": len(taken.loaded),
                "files_repeated": len(taken.repeated),
                "files_unreadable": len(taken.unreadable),
                "files_changed": len(taken.changed),
                "files_unfinished": len(taken.unfinished),
                "duration_seconds": taken.seconds,
            },
        )

    size = sum(file.size for source in SOURCES.values() for file in waiting_files(lake, source, landing.path))
    lake.expect(size // _BYTES_A_ROW)
    yield from side_by_side(context, lake, SOURCES, take)


def _judge_new(lake: Lake, landed: LandedTable, before: int) -> list[RuleResult]:
    """How the rules fare over the rows that were added after the version."""
    table, state = BRONZE[landed], lake.state(BRONZE[landed])
    if state is None or state.version == before:
        return results(RULES[table], {})
    rows = judged_changes(lake, Change(lake, table, state, before), landed)
    return results(RULES[table], rows.agg(*count_failures(RULES[table])).collect()[0].asDict())


STAGE_NAMES = ("customers_latest", "customers_versions", "customers_sales")
STAGES = [build_stage(name, steps) for name, steps in zip(STAGE_NAMES, in_stages(STEPS.values()), strict=True)]

DIRECTORIES = [
    dg.AssetSpec(
        landing_key(landed),
        group_name="landing",
        kinds={"csv"},
        owners=[BRONZE[landed].owner],
        description=f"CSV files with TPC-H's {landed.name} in LANDING_ROOT/{landed.directory}.",
        metadata={"dagster/column_schema": column_schema(landed.columns)},
    )
    for landed in LANDED
]

ASSETS: list[dg.AssetsDefinition | dg.AssetSpec] = [*DIRECTORIES, landed_rows, *STAGES]
"""All customers assets, and the directories that they come from."""
