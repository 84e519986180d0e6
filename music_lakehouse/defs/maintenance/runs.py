"""Dagster's own record, which it keeps for ever: of runs, some two megabytes each, and of what assets were told without
a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster._core.instance.utils import RUNLESS_RUN_ID
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.base import EventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from music_lakehouse.defs.job_runs import ENDED

# Of SQLite one process writes at a time.
EVENTS_AT_ONCE = 1000
RUNS_AT_ONCE = 1000

Connect = Callable[[], AbstractContextManager[sa.Connection]]


def forget_runs(instance: dg.DagsterInstance, before: datetime, *, most: int) -> int:
    """Remove the runs that ended before the moment, and of each job those that succeeded but for the newest `most`,
    with their events, what their checks found, and what they printed; return how many. Of each check the newest stays.

    Runs stay to which the last materialization of an asset belongs: what the asset's page shows is theirs. May be
    killed and repeated.
    """
    shown = _last_runs_of_assets(instance)
    ended = instance.get_run_ids(dg.RunsFilter(statuses=ENDED, updated_before=before))
    forgotten = {*ended, *_succeeded_but_for_the_newest(instance, most)} - shown
    for run_id in forgotten:
        _forget(instance, run_id)
    _forget_checks(instance.event_log_storage, sorted(forgotten))
    return len(forgotten)


def _succeeded_but_for_the_newest(instance: dg.DagsterInstance, most: int) -> Iterator[str]:
    succeeded = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])
    newer: Counter[str] = Counter()
    cursor = None
    while page := instance.get_runs(succeeded, cursor=cursor, limit=RUNS_AT_ONCE):
        for run in page:
            if newer[run.job_name] >= most:
                yield run.run_id
            newer[run.job_name] += 1
        cursor = page[-1].run_id


def _last_runs_of_assets(instance: dg.DagsterInstance) -> set[str]:
    last = (record.asset_entry.last_materialization for record in instance.get_asset_records())
    return {entry.run_id for entry in last if entry is not None}


def _forget(instance: dg.DagsterInstance, run_id: str) -> None:
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    instance.delete_run(run_id)
    events = instance.event_log_storage
    if isinstance(events, SqliteEventLogStorage):
        # Files of a run's own, which are empty now and no smaller: the database, its log and its index of that.
        for suffix in ("", "-wal", "-shm"):
            Path(events.path_for_shard(run_id) + suffix).unlink(missing_ok=True)


def _forget_checks(storage: EventLogStorage, runs: Sequence[str]) -> None:
    """Dagster leaves them where it deletes a run: a hundred rows of each run of the streaming pipeline."""
    if not isinstance(storage, SqlEventLogStorage):
        return
    checks = AssetCheckExecutionsTable.c
    for first in range(0, len(runs), RUNS_AT_ONCE):
        of_runs = checks.run_id.in_(runs[first : first + RUNS_AT_ONCE])
        _remove(storage.index_connection, sa.true(), of_runs, checks.asset_key, checks.check_name)


def forget_events(instance: dg.DagsterInstance, before: datetime) -> int:
    """Remove what assets and checks were told before the moment without a run: what the topics were seen to hold, and
    the micro-batches of continuous mode; return how many events. Of each asset and check the newest stays. May be
    killed and repeated.

    Dagster has no command for it but one that removes the newest too. Storage that isn't SQL stays as it is.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    events, checks = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c
    moment = before.astimezone(timezone.utc).replace(tzinfo=None)
    old = checks.evaluation_event_timestamp < moment
    _remove(storage.index_connection, checks.run_id == RUNLESS_RUN_ID, old, checks.asset_key, checks.check_name)
    of_assets, old = events.run_id == RUNLESS_RUN_ID, events.timestamp < moment
    removed = _remove(storage.index_connection, of_assets, old, events.asset_key, events.dagster_event_type)
    if isinstance(storage, SqliteEventLogStorage):
        # What has a file a run has one for these too, which nobody reads.
        _remove(partial(storage.run_connection, RUNLESS_RUN_ID), of_assets, old)
    return removed


def _remove(
    connect: Connect, among: sa.ColumnElement[bool], old: sa.ColumnElement[bool], *newest_of: sa.Column[str]
) -> int:
    """Remove, among these rows, the old ones, but for the newest of each group; return how many."""
    table = newest_of[0].table if newest_of else SqlEventLogStorageTable
    removed = 0
    with connect() as connection:
        newest = sa.select(sa.func.max(table.c.id)).where(among).group_by(*newest_of)
        kept = connection.scalars(newest).all() if newest_of else []
    while True:
        with connect() as connection:
            due = sa.select(table.c.id).where(among, old, table.c.id.not_in(kept)).order_by(table.c.id)
            ids = connection.scalars(due.limit(EVENTS_AT_ONCE)).all()
            connection.execute(sa.delete(table).where(table.c.id.in_(ids)))
        removed += len(ids)
        if len(ids) < EVENTS_AT_ONCE:
            return removed
