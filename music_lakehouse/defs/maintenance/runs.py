"""Dagster's own record of runs: about a megabyte each, which Dagster keeps for ever."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path

import dagster as dg
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from music_lakehouse.defs.job_runs import ENDED


def forget_runs(instance: dg.DagsterInstance, before: datetime) -> int:
    """Remove the runs that ended before the moment, with their events and what they printed; return how many.

    Runs stay to which the last materialization of an asset belongs: what the asset's page shows is theirs. May be
    killed and repeated.
    """
    shown = _last_runs_of_assets(instance)
    ended = instance.get_run_ids(dg.RunsFilter(statuses=ENDED, updated_before=before))
    forgotten = [run_id for run_id in ended if run_id not in shown]
    for run_id in forgotten:
        _forget(instance, run_id)
    return len(forgotten)


def _last_runs_of_assets(instance: dg.DagsterInstance) -> set[str]:
    last = (record.asset_entry.last_materialization for record in instance.get_asset_records())
    return {entry.run_id for entry in last if entry is not None}


def _forget(instance: dg.DagsterInstance, run_id: str) -> None:
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    instance.delete_run(run_id)
    events = instance.event_log_storage
    if isinstance(events, SqliteEventLogStorage):
        with suppress(FileNotFoundError):
            # A file a run, which is empty now and no smaller.
            Path(events.path_for_shard(run_id)).unlink()
