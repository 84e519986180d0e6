"""The heart_rate job: from landed files to gold."""

import dagster as dg

from music_lakehouse.defs.audit import whole_tables
from music_lakehouse.defs.heart_rate.assets import ASSETS

heart_rate_pipeline = dg.define_asset_job(
    "heart_rate_pipeline",
    selection=dg.AssetSelection.assets(*(a for a in ASSETS if isinstance(a, dg.AssetsDefinition)))
    - dg.AssetSelection.checks(whole_tables),
    description="Everything from the landed heart rates and the table of people to gold, once over what is there.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": str(6 * 3600)},
)
