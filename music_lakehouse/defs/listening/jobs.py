"""The listening job: the pipeline."""

import dagster as dg

from music_lakehouse.defs.audit import whole_tables
from music_lakehouse.defs.listening.assets import ASSETS

# One process with one Spark session a run, and one writer a lake.
streaming_pipeline = dg.define_asset_job(
    "streaming_pipeline",
    selection=dg.AssetSelection.assets(*(a for a in ASSETS if isinstance(a, dg.AssetsDefinition)))
    - dg.AssetSelection.checks(whole_tables),
    description="Everything from Kafka to gold, once over what is available.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": str(6 * 3600)},
)
