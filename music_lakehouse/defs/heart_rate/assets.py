"""The heart_rate tables as assets: each a thin shell over what takes its sources into it."""

from collections.abc import Iterator
from functools import partial

import dagster as dg

from music_lakehouse.defs.heart_rate.steps import STEPS, judged_changes
from music_lakehouse.defs.heart_rate.tables import (
    DIM_PATIENTS,
    FIELDS,
    HEART_RATE,
    MEASURED,
    PEOPLE_DIRECTORY,
    PEOPLE_FILE,
    RECORDINGS_DIRECTORY,
)
from music_lakehouse.defs.heart_rate.transforms.people import dim_patients
from music_lakehouse.defs.landed_files import build_landed_tables, landing_key, landing_spec
from music_lakehouse.defs.reference_files import follow_reference, reference_check_specs
from music_lakehouse.defs.shell import asset_spec, retried
from music_lakehouse.defs.stages import build_stage
from music_lakehouse.lakehouse.file_ingest import FileSource
from music_lakehouse.lakehouse.json_rows import json_rows
from music_lakehouse.lakehouse.lake import MOST_ROWS_OF_A_SMALL_CHANGE
from music_lakehouse.lakehouse.reference import Reference
from music_lakehouse.lakehouse.steps import in_stages
from music_lakehouse.resources.files import Landing
from music_lakehouse.resources.lakehouse import LakehouseResource

_PEOPLE_PATH = f"{PEOPLE_DIRECTORY}/{PEOPLE_FILE}"

# Two files of one content are two times the recordings: every recording is a row.
RECORDINGS = FileSource(
    HEART_RATE, RECORDINGS_DIRECTORY, "*.json", partial(json_rows, columns=FIELDS), most_files=1, repeats=True
)
# Were it taken for empty while it is gone, all recordings would be nobody's.
PEOPLE = Reference(DIM_PATIENTS, PEOPLE_FILE, DIM_PATIENTS.columns, dim_patients, keeps=True)

recordings = build_landed_tables(
    "heart_rate_landed",
    {HEART_RATE: RECORDINGS},
    {HEART_RATE: judged_changes},
    description="Every element of every landed file, once, as text. Its rules say which silver refuses.",
)


@dg.multi_asset(
    name="heart_rate_people",
    specs=[asset_spec(DIM_PATIENTS, deps=[landing_key(_PEOPLE_PATH)])],
    check_specs=reference_check_specs(PEOPLE),
)
@retried
def people(
    context: dg.AssetExecutionContext, lakehouse: LakehouseResource, landing: Landing
) -> Iterator[dg.MaterializeResult]:
    """The people, as far as their file can be read."""
    lake = lakehouse.lake
    lake.expect(MOST_ROWS_OF_A_SMALL_CHANGE)
    yield follow_reference(context, lake, PEOPLE, landing.path / PEOPLE_DIRECTORY)


STAGE_NAMES = ("heart_rate_refused", "heart_rate_typed", "heart_rate_hours", "heart_rate_averages")
STAGES = [build_stage(name, steps) for name, steps in zip(STAGE_NAMES, in_stages(STEPS.values()), strict=True)]

LANDED = [
    landing_spec(
        RECORDINGS_DIRECTORY,
        f"JSON files in LANDING_ROOT/{RECORDINGS_DIRECTORY}, each an array of recordings.",
        HEART_RATE,
        kind="json",
        columns=MEASURED,
    ),
    landing_spec(
        _PEOPLE_PATH,
        f"The CSV file LANDING_ROOT/{_PEOPLE_PATH}, which says who the people are. Personal data.",
        DIM_PATIENTS,
        kind="csv",
        columns=DIM_PATIENTS.columns,
    ),
]

ASSETS: list[dg.AssetsDefinition | dg.AssetSpec] = [*LANDED, recordings, people, *STAGES]
"""All heart_rate assets, and the files that they come from."""
