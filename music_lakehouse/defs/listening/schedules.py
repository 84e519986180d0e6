"""What runs by the clock: the reference files where they changed. It runs from the start, as it costs nothing while the
files stay as they are."""

import dagster as dg

from music_lakehouse.defs.job_runs import open_runs
from music_lakehouse.defs.listening.assets import ASSETS, REFERENCES
from music_lakehouse.defs.listening.continuous import continuous_pipeline
from music_lakehouse.defs.listening.jobs import streaming_pipeline
from music_lakehouse.defs.shell import asset_key
from music_lakehouse.lakehouse.reference import is_outdated
from music_lakehouse.resources.files import ReferenceFiles
from music_lakehouse.resources.lakehouse import LakehouseResource


@dg.schedule(
    name="reference_files",
    job=streaming_pipeline,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Loads songs.csv and state_codes.csv, with everything downstream, where they changed and no message "
    "comes that would bring a run of the whole pipeline.",
)
def reference_files_schedule(
    context: dg.ScheduleEvaluationContext, lakehouse: LakehouseResource, reference_files: ReferenceFiles
) -> dg.RunRequest | dg.SkipReason:
    if any(open_runs(context.instance, job.name) for job in (streaming_pipeline, continuous_pipeline)):
        return dg.SkipReason("a run of the pipeline is in progress, which loads the reference files too")
    changed = [r for r in REFERENCES if is_outdated(lakehouse.paths, r, reference_files.path)]
    if not changed:
        return dg.SkipReason("the reference files are those that were loaded last")
    tables = dg.AssetSelection.assets(*(asset_key(reference.table) for reference in changed))
    written = [asset for asset in ASSETS if isinstance(asset, dg.AssetsDefinition)]
    selection = tables.downstream().resolve(written)
    return dg.RunRequest(
        asset_selection=sorted(selection),
        # Without these, the audit's checks of the tables would run too.
        asset_check_keys=[key for asset in written for key in asset.check_keys if key.asset_key in selection],
        tags={"reference_files": ", ".join(reference.file_name for reference in changed)},
    )
