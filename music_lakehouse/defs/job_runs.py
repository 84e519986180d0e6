"""The runs of a job as Dagster knows them, as far as a sensor that asks for runs has to."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import dagster as dg

from music_lakehouse.defs.failures import LASTING_ERRORS, PASSING_ERRORS, step_errors
from music_lakehouse.defs.triggers import EndedRun, LockState, OpenRun, look_at_open_runs, run_key
from music_lakehouse.lakehouse import locks

# So many runs that failed in a row make the longest wait.
RUNS_LOOKED_AT = 8
OPEN = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def look_at_jobs(context: dg.SensorEvaluationContext, jobs: Iterable[str], root: str) -> str | None:
    """Why no run of the jobs is due while one is in progress, or holds the lake (and doesn't lend it); reports runs
    that were killed as failed. The sensor's cursor has what the last tick saw."""
    runs = [run for job in jobs for run in open_runs(context.instance, job)]
    file = locks.lock_file(root)
    holder = locks.read_holder(file)
    if holder is not None and holder.lends and holder.alive and holder.run_id not in {run.run_id for run in runs}:
        if locks.is_wanted(file):
            return f"another run waits for the lake, which run {holder.run_id} lends"
        holder = None
    found = look_at_open_runs(
        [OpenRun(run.run_id, queued=run.status is dg.DagsterRunStatus.QUEUED) for run in runs],
        None if holder is None else LockState(holder.run_id, holder.alive),
        json.loads(context.cursor) if context.cursor else {},
        time.time(),
    )
    context.update_cursor(json.dumps(found.unlocked))
    for run in runs:
        if run.run_id in found.dead:
            context.log.warning(f"run {run.run_id} was killed: it is reported as failed")
            context.instance.report_run_failed(
                run, "The run's process is gone, and the lake's lock with it: it was killed. Nothing is lost by that."
            )
    return found.busy


def open_runs(instance: dg.DagsterInstance, job: str) -> list[dg.DagsterRun]:
    """The runs of the job that haven't ended as far as Dagster knows."""
    return list(instance.get_runs(dg.RunsFilter(job_name=job, statuses=OPEN)))


def ended_runs(instance: dg.DagsterInstance, job: str) -> list[EndedRun]:
    """The last runs of the whole job that have ended, the newest first; any number of some of its assets may be between
    them."""
    return [_ended(instance, record) for record in islice(_whole_runs(instance, job), RUNS_LOOKED_AT)]


def _whole_runs(instance: dg.DagsterInstance, job: str) -> Iterator[dg.RunRecord]:
    wanted, before = dg.RunsFilter(job_name=job, statuses=ENDED), None
    while records := instance.get_run_records(wanted, limit=RUNS_LOOKED_AT, cursor=before):
        yield from (record for record in records if not record.dagster_run.asset_selection)
        before = records[-1].dagster_run.run_id


@dataclass(frozen=True)
class LastRun:
    """The newest run of a job: its state, such as SUCCESS or STARTED, and when it began and ended (epoch seconds)."""

    job: str
    state: str
    started: float | None
    ended: float | None


def last_runs(instance: dg.DagsterInstance, jobs: Iterable[str]) -> list[LastRun]:
    """The newest run of each of the jobs that ever ran."""
    found = [instance.get_run_records(dg.RunsFilter(job_name=job), limit=1) for job in jobs]
    return [
        LastRun(record.dagster_run.job_name, record.dagster_run.status.value, record.start_time, record.end_time)
        for records in found
        for record in records
    ]


def request_run(instance: dg.DagsterInstance, job: str, tags: Mapping[str, str]) -> dg.RunRequest:
    """The request of the next attempt at what the tags say."""
    attempt = instance.get_runs_count(dg.RunsFilter(job_name=job, tags=dict(tags)))
    return dg.RunRequest(run_key=run_key(tags, attempt), tags=tags)


def _ended(instance: dg.DagsterInstance, record: dg.RunRecord) -> EndedRun:
    run = record.dagster_run
    failed = run.status is dg.DagsterRunStatus.FAILURE
    errors = {error.class_name for error in step_errors(instance, run.run_id)} if failed else set()
    return EndedRun(
        run.run_id,
        succeeded=run.status is dg.DagsterRunStatus.SUCCESS,
        ended=record.end_time or record.create_timestamp.timestamp(),
        tags=run.tags,
        lasting=bool(errors) and errors <= LASTING_ERRORS,
        # Of a run that was killed there is no error at all.
        passing=failed and errors <= PASSING_ERRORS,
    )
