"""How the running platform stands: what waits in Kafka, how fast events come, the last run, failing checks."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from music_lakehouse.dashboard.health import failing_checks
from music_lakehouse.defs.listening.backlogs import find_backlogs, rows_behind_gold
from music_lakehouse.defs.listening.gold_tables import WIDE_STREAMS
from music_lakehouse.lakehouse.delta import TableState
from music_lakehouse.lakehouse.expectations import EXPECTATIONS
from music_lakehouse.lakehouse.kafka_access import BROKER_ERRORS
from music_lakehouse.lakehouse.lake import LakePaths

if TYPE_CHECKING:
    import dagster as dg

    from music_lakehouse.settings import Settings

RATE_SECONDS = 30.0
BROKER_SECONDS = 1.0
EVENTS = "page_view_events"
"""A page view and its listen event are one event: there are as many events as page views."""


@dataclass(frozen=True)
class Seen:
    """What was seen at one look. `kafka` says why Kafka told nothing, and is empty where it did.

    `unread` are messages that raw lacks, `behind` listen events that gold.wide_streams may lack, `streams` its rows,
    `rate` events a second of the last half minute (None until that is known), `run` the newest run, `failing` the
    checks that weren't passed when they were evaluated last.
    """

    kafka: str = ""
    unread: int = 0
    behind: int = 0
    rate: float | None = None
    streams: int = 0
    run: str = ""
    failing: tuple[str, ...] = ()


class Looker:
    """Looks at Kafka, the lake and Dagster's instance; starts no JVM."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self._settings = settings
        self._instance = instance
        self._lake = LakePaths(settings.lake_uri)
        self._ends: deque[tuple[float, int]] = deque()
        self._checks: tuple[TableState | None, tuple[str, ...]] = (None, ())

    def look(self) -> Seen:
        kafka, unread, behind = "", 0, rows_behind_gold(self._lake)
        try:
            backlogs, missing = find_backlogs(self._lake, self._settings, timeout_seconds=BROKER_SECONDS)
        except BROKER_ERRORS as error:
            kafka = str(error)
        else:
            kafka = f"topics that don't exist yet: {', '.join(missing)}" if missing else ""
            unread = sum(backlog.unread for backlog in backlogs)
            behind += sum(backlog.unread for backlog in backlogs if backlog.event == "listen_events")
            ends = [sum(one.topic.end_offsets.values()) for one in backlogs if one.event == EVENTS]
            self._ends.extend((time.monotonic(), end) for end in ends)
        return Seen(
            kafka=kafka,
            unread=unread,
            behind=behind,
            rate=self._rate(),
            streams=self._lake.rows(WIDE_STREAMS),
            run=self._last_run(),
            failing=self._failing(),
        )

    def _rate(self) -> float | None:
        while len(self._ends) > 2 and self._ends[1][0] <= time.monotonic() - RATE_SECONDS:
            self._ends.popleft()
        if len(self._ends) < 2:
            return None
        (first, before), (last, now) = self._ends[0], self._ends[-1]
        return max(0.0, (now - before) / (last - first))

    def _last_run(self) -> str:
        for record in self._instance.get_run_records(limit=1):
            run = record.dagster_run
            took = f" in {record.end_time - record.start_time:.0f} s" if record.end_time and record.start_time else ""
            began = datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp(), timezone.utc)
            return f"{run.job_name} {run.status.value.lower()}{took}, begun {began:%H:%M:%S} UTC"
        return ""

    def _failing(self) -> tuple[str, ...]:
        state = self._lake.state(EXPECTATIONS)
        if state != self._checks[0]:
            rows = failing_checks(self._lake).to_pylist() if state is not None else []
            self._checks = (state, tuple(f"{row['table']} {row['check']} ({row['kind']})" for row in rows))
        return self._checks[1]
