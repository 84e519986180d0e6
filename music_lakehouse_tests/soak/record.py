"""What a soak was, and what came of it: all that is judged and shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow as pa

from music_lakehouse.defs.failures import step_errors
from music_lakehouse.defs.job_runs import ENDED
from music_lakehouse.defs.listening.gold_tables import WIDE_STREAMS
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse_tests.soak.faults import Happened
from music_lakehouse_tests.soak.watch import Sample

_RESTARTED = re.compile(r"^(\d\d:\d\d:\d\d) (.+?): it is started again in")
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Run:
    """A run in Dagster: from when to when (epoch seconds; None where it never began, or has not ended), how it ended,
    and of what it failed."""

    run_id: str
    job: str
    status: str
    since: float | None
    until: float | None
    errors: tuple[str, ...] = ()

    @property
    def succeeded(self) -> bool:
        return self.status == dg.DagsterRunStatus.SUCCESS.value

    @property
    def ended(self) -> bool:
        return self.status in {status.value for status in ENDED}


@dataclass(frozen=True)
class Death:
    """That a part of `up` died, as `up` told it: in which second (of the epoch)."""

    at: float
    told: str


@dataclass(frozen=True)
class Commit:
    """A commit of gold.wide_streams: when (epoch seconds), how many streams it brought, and how old these were, from
    the event to the commit, in seconds: the median, and the 95th percentile."""

    at: float
    streams: int
    median: float
    slow: float


@dataclass(frozen=True)
class Record:
    """All of a soak. `began` is when the first run had succeeded, `stopped` when the events ended (epoch seconds).

    `drain` are the seconds until gold had all of them, None where it never had; `differences` what the oracle has
    otherwise, `failing` the checks that fail at the end, `left` what was left behind, `blind` how many looks failed.
    """

    rate: float
    dirty: float
    seed: int
    began: float
    stopped: float
    happened: Sequence[Happened]
    samples: Sequence[Sample]
    runs: Sequence[Run]
    deaths: Sequence[Death]
    commits: Sequence[Commit]
    drain: float | None
    messages: int
    events: int
    differences: str
    failing: Sequence[str]
    left: Sequence[str]
    blind: int


def runs_of(instance: dg.DagsterInstance) -> list[Run]:
    """All runs that Dagster knows of, the oldest first."""
    return [
        Run(
            record.dagster_run.run_id,
            record.dagster_run.job_name,
            record.dagster_run.status.value,
            record.start_time,
            record.end_time,
            tuple(map(str, step_errors(instance, record.dagster_run.run_id))),
        )
        for record in reversed(instance.get_run_records())
    ]


def deaths_in(log: Path, since: float) -> list[Death]:
    """Which parts died, by what `up` printed since that moment; its lines have the time of the day, UTC."""
    found, last = [], datetime.fromtimestamp(since, timezone.utc).replace(microsecond=0)
    for line in log.read_text(errors="replace").splitlines():
        said = _RESTARTED.match(line)
        if said is not None:
            clock = datetime.strptime(said[1], "%H:%M:%S")
            moment = last.replace(hour=clock.hour, minute=clock.minute, second=clock.second)
            last = moment if moment >= last else moment + _DAY
            found.append(Death(last.timestamp(), said[2]))
    return found


def commits_of(lake: LakePaths) -> list[Commit]:
    """The commits that brought streams into gold, by the change feed of gold.wide_streams."""
    table = lake.open(WIDE_STREAMS)
    if table is None:
        return []
    columns = ["timestamp", "_change_type", "_commit_version", "_commit_timestamp"]
    feed = pa.table(table.load_cdf(starting_version=0, columns=columns))
    asked = """
        WITH arrived AS (
            SELECT epoch(_commit_timestamp) AS committed, epoch("timestamp") AS happened
            FROM feed WHERE _change_type = 'insert'
        )
        SELECT committed, count(*), median(committed - happened), quantile_cont(committed - happened, 0.95)
        FROM arrived GROUP BY committed ORDER BY committed
    """
    with duckdb.connect() as connection:
        connection.register("feed", feed)
        return [Commit(*row) for row in connection.execute(asked).fetchall()]
