"""The job that keeps all tables up, and Dagster's record of runs short: `table_maintenance`."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

import dagster as dg
from pydantic import Field

from music_lakehouse.defs.maintenance.runs import forget_events, forget_runs
from music_lakehouse.defs.maintenance.upkeep import LONGEST_COMMIT, Upkeep, keep_up, steps_behind
from music_lakehouse.lakehouse.changes import FEED_RETENTION
from music_lakehouse.lakehouse.checkpoints import remove_outdated
from music_lakehouse.lakehouse.errors import explained
from music_lakehouse.lakehouse.expectations import EXPECTATIONS, forget_old_results
from music_lakehouse.lakehouse.inventory import find_tables
from music_lakehouse.lakehouse.locks import LakeLock
from music_lakehouse.lakehouse.records import KEPT_DAYS
from music_lakehouse.lakehouse.stream_figures import STREAMING, forget_old_batches
from music_lakehouse.resources.lakehouse import LakehouseResource

# The lake's own tables, which are no assets.
BOOKKEEPING = "metrics"
# Of single runs, what is older than KEPT_DAYS goes.
OF_RUNS = {STREAMING: forget_old_batches, EXPECTATIONS: forget_old_results}


class MaintenanceConfig(dg.Config):
    """What a run of the job may be told."""

    retention_days: float = Field(
        default=float(FEED_RETENTION.days),
        ge=FEED_RETENTION.days,
        description="how long files are kept that only older versions need; the steps rely on seven days",
    )
    lock_wait_minutes: float = Field(
        default=30, ge=0, description="how long to wait while another run holds the lake; then the run fails"
    )


@dg.op(
    out=dg.Out(dg.Nothing),
    description="Compacts and vacuums every table that has something to gain from it; removes old checkpoints.",
)
def maintain_tables(context: dg.OpExecutionContext, config: MaintenanceConfig, lakehouse: LakehouseResource) -> None:
    """Waits for the run that holds the lake, and lets no other begin before its end; starts no JVM. A table that fails
    doesn't hold up the others."""
    done: dict[str, Upkeep] = {}
    errors: list[str] = []
    removed = 0

    def failed(what: str, error: Exception) -> None:
        errors.append(f"{what}: {explained(error, lake_root=lakehouse.root, brokers='') or error}")

    with LakeLock(lakehouse.root).held(context.run_id, wait_seconds=config.lock_wait_minutes * 60):
        for table, forget_old in OF_RUNS.items():
            if forget_old(lakehouse.paths, datetime.now(timezone.utc)):
                context.log.info(f"{table.full_name}: rows older than {KEPT_DAYS} days were removed")
        tables = find_tables(lakehouse.root)
        behind = steps_behind(lakehouse.paths, tables)
        retention = timedelta(days=config.retention_days) + LONGEST_COMMIT
        for name, uri in tables.items():
            try:
                own = name.startswith(f"{BOOKKEEPING}.")
                upkeep = keep_up(uri, retention=None if own else retention, waits_for=behind.get(name, ()))
            except Exception as error:
                failed(name, error)
                continue
            if upkeep is not None:
                done[name] = upkeep
                _tell(context, name, upkeep)
        try:
            removed = remove_outdated(lakehouse.paths)
        except Exception as error:
            failed("checkpoints", error)
    if removed:
        context.log.info(f"{removed} checkpoints were removed that no query asks for any more")
    summary = {**_summary(done), "checkpoints_removed": dg.MetadataValue.int(removed)}
    context.add_output_metadata(summary)
    if errors:
        raise dg.Failure("; ".join(errors), metadata=summary, allow_retries=False)


class RetentionConfig(dg.Config):
    """How long Dagster remembers."""

    run_retention_days: float = Field(
        default=14, ge=1, description="how long runs are kept that have ended, with their events and logs"
    )
    most_runs: int = Field(
        default=2000,
        ge=1,
        description="how many runs of a job that succeeded are kept, the newest; those that failed stay",
    )
    event_retention_days: float = Field(
        default=7, ge=1, description="how long it is kept what assets were told without a run, as in continuous mode"
    )


@dg.op(
    out=dg.Out(dg.Nothing),
    description="Removes old runs from Dagster's instance, with their events and logs, and old events without a run.",
)
def remove_old_runs(context: dg.OpExecutionContext, config: RetentionConfig) -> None:
    """Waits for nobody: runs that have ended change no more."""
    now = datetime.now(timezone.utc)
    before = now - timedelta(days=config.run_retention_days)
    runs = forget_runs(context.instance, before, most=config.most_runs)
    events = forget_events(context.instance, now - timedelta(days=config.event_retention_days))
    context.add_output_metadata({"runs_removed": runs, "events_removed": events})


@dg.job(
    name="table_maintenance",
    description="Makes small files few and removes files that no version needs any more, in every table of the lake; "
    "removes old runs and events from Dagster's instance.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": str(6 * 3600)},
)
def table_maintenance() -> None:
    maintain_tables()
    remove_old_runs()


def _tell(context: dg.OpExecutionContext, name: str, upkeep: Upkeep) -> None:
    """An observation of the table's asset, and a line of the log."""
    figures = _figures(upkeep)
    what = ", ".join(f"{key} {value}" for key, value in figures.items()) if upkeep.versions else "nothing to do"
    if upkeep.waits_for:
        what = f"not compacted before {', '.join(upkeep.waits_for)} took all of its rows; {what}"
    context.log.info(f"{name}: {what}")
    if not name.startswith(f"{BOOKKEEPING}."):
        context.log_event(dg.AssetObservation(asset_key=name.split(".", 1), description=what, metadata=figures))


def _figures(upkeep: Upkeep) -> dict[str, int]:
    before, after = upkeep.before, upkeep.after
    return {
        "files_before": before.files,
        "files_after": after.files,
        "bytes_before": before.size,
        "bytes_after": after.size,
        "stored_files_before": before.stored_files,
        "stored_files_after": after.stored_files,
        "stored_bytes_before": before.stored_size,
        "stored_bytes_after": after.stored_size,
        "versions_written": upkeep.versions,
    }


def _summary(done: Mapping[str, Upkeep]) -> dict[str, dg.MetadataValue]:
    """All tables, a line each, and what came of it together."""
    lines = [dg.TableRecord({"table": name, **_figures(upkeep)}) for name, upkeep in done.items()]
    before, after = [u.before for u in done.values()], [u.after for u in done.values()]
    return {
        "tables": dg.MetadataValue.int(len(done)),
        "tables_changed": dg.MetadataValue.int(sum(upkeep.versions > 0 for upkeep in done.values())),
        "files_before": dg.MetadataValue.int(sum(extent.files for extent in before)),
        "files_after": dg.MetadataValue.int(sum(extent.files for extent in after)),
        "stored_bytes_before": dg.MetadataValue.int(sum(extent.stored_size for extent in before)),
        "stored_bytes_after": dg.MetadataValue.int(sum(extent.stored_size for extent in after)),
        **({"by_table": dg.MetadataValue.table(lines)} if lines else {}),
    }
