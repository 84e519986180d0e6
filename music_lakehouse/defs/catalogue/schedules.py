"""When the database is read: by the clock, as it says nothing by itself. Both run from the start, and skip where there
is no database, or nothing in it that could be read."""

from typing import TYPE_CHECKING

import dagster as dg

from music_lakehouse.defs.catalogue.jobs import catalogue_key_scan, catalogue_pipeline
from music_lakehouse.defs.catalogue.source import nothing_to_read
from music_lakehouse.lakehouse.database import DatabaseError
from music_lakehouse.lakehouse.locks import current_holder
from music_lakehouse.resources.database import CatalogueDatabase
from music_lakehouse.resources.lakehouse import LakehouseResource

if TYPE_CHECKING:
    # What dg.define_asset_job returns, which Dagster doesn't export.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def _build_schedule(
    name: str, job: "UnresolvedAssetJobDefinition", cron: str, description: str
) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )
    def by_the_clock(
        context: dg.ScheduleEvaluationContext, lakehouse: LakehouseResource, catalogue_database: CatalogueDatabase
    ) -> dg.RunRequest | dg.SkipReason:
        try:
            found = catalogue_database.database
        except DatabaseError as error:
            return dg.SkipReason(str(error))
        holder = current_holder(lakehouse.root)
        if holder is not None and not holder.lends:
            return dg.SkipReason(f"the lake is held by {holder}: what is new is read at the next tick")
        try:
            nothing = nothing_to_read(found)
        except DatabaseError as error:
            # A run tries again, and where that is in vain it fails, which is told to whoever is alerted.
            context.log.warning(str(error))
            nothing = None
        if nothing is not None:
            return dg.SkipReason(nothing)
        context.log.info(f"reading {found.name}")
        return dg.RunRequest()

    return by_the_clock


catalogue_schedule = _build_schedule(
    "catalogue_schedule",
    catalogue_pipeline,
    "*/15 * * * *",
    "Reads what is new in the catalogue's SQL database, every 15 minutes; nothing where there is no database.",
)
catalogue_key_scan_schedule = _build_schedule(
    "catalogue_key_scan_schedule",
    catalogue_key_scan,
    "0 3 * * *",
    "Compares all keys of the catalogue's SQL database with those that the lake knows, at three in the morning UTC.",
)
