"""The catalogue jobs: from the database to gold, by watermark and by comparing all keys."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from music_lakehouse.defs.audit import whole_tables
from music_lakehouse.defs.catalogue.assets import LAKE_ASSETS
from music_lakehouse.defs.catalogue.extraction import extracted, scanned

_TAGS = {"dagster/max_runtime": str(6 * 3600)}

catalogue_pipeline = dg.define_asset_job(
    "catalogue_pipeline",
    selection=dg.AssetSelection.assets(extracted, *LAKE_ASSETS) - dg.AssetSelection.checks(whole_tables),
    description="Everything from the catalogue's SQL database to gold: what is new or changed by its watermark.",
    executor_def=dg.in_process_executor,
    tags=_TAGS,
)

catalogue_key_scan = dg.define_asset_job(
    "catalogue_key_scan",
    selection=dg.AssetSelection.assets(scanned, *LAKE_ASSETS) - dg.AssetSelection.checks(whole_tables),
    description="Compares all keys of the catalogue's SQL database with those that the lake knows, and takes what was "
    "deleted, and what no watermark told of, to gold.",
    executor_def=dg.in_process_executor,
    tags=_TAGS,
)

RUN_OPTIONS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "full_refresh": {catalogue_pipeline.name: {"ops": {extracted.op.name: {"config": {"full_refresh": True}}}}},
    "allow_empty": {catalogue_key_scan.name: {"ops": {scanned.op.name: {"config": {"allow_empty": True}}}}},
}
"""What a run of a job may be told, as its run config: by option and job."""
