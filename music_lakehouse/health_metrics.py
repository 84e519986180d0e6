"""The lake's health in Prometheus's text format: what the dashboard's page "Is it well?" asks, as figures to collect.

No JVM. Logs and small tables are read, and of these only what has another version than at the last time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from threading import Lock
from typing import Any

import pyarrow as pa
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from music_lakehouse.dashboard import health
from music_lakehouse.defs.catalog import QUARANTINES, TABLES
from music_lakehouse.defs.job_runs import LastRun
from music_lakehouse.lakehouse.delta import TableState
from music_lakehouse.lakehouse.expectations import EXPECTATIONS
from music_lakehouse.lakehouse.kafka_access import BROKER_ERRORS
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.stream_figures import PHASES, STREAMING
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.settings import Settings

PREFIX = "music_lakehouse"
KEPT_SECONDS = 5.0

Versions = tuple[TableState | None, ...]


class HealthCollector(Collector):
    """The figures of one lake, its topics and its jobs' runs. Asked again within `kept_seconds`, it gives the same."""

    def __init__(
        self, settings: Settings, runs: Callable[[], Iterable[LastRun]], *, kept_seconds: float = KEPT_SECONDS
    ) -> None:
        self._settings = settings
        self._lake = LakePaths(settings.lake_uri)
        self._runs = runs
        self._kept_seconds = kept_seconds
        self._answers: dict[str, tuple[Versions, pa.Table]] = {}
        self._metrics: Sequence[Metric] = ()
        self._until = 0.0
        self._asking = Lock()

    def collect(self) -> Iterable[Metric]:
        with self._asking:
            if time.monotonic() >= self._until:
                self._metrics = list(self._ask())
                self._until = time.monotonic() + self._kept_seconds
            return self._metrics

    def _ask(self) -> Iterator[Metric]:
        started = time.monotonic()
        yield from self._of_topics()
        yield from self._of_tables()
        yield from self._of_quarantine()
        yield from self._of_checks()
        yield from self._of_streams()
        yield from self._of_runs()
        yield _gauge("collecting_seconds", "How long it took to ask for all of this", (), [((), _since(started))])

    def _answer(self, question: Callable[[LakePaths], pa.Table], tables: Iterable[Table]) -> list[dict[str, Any]]:
        """What the question says of the lake, asked anew only where one of the tables has another version."""
        versions, name = tuple(self._lake.state(table) for table in tables), question.__name__
        if self._answers.get(name, (None, None))[0] != versions:
            self._answers[name] = (versions, question(self._lake))
        rows: list[dict[str, Any]] = self._answers[name][1].to_pylist()
        return rows

    def _of_topics(self) -> Iterator[Metric]:
        try:
            topics = health.lag(self._lake, self._settings).to_pylist()
        except BROKER_ERRORS:
            topics = None
        yield _gauge("kafka_up", "Whether a Kafka broker answered", (), [((), float(topics is not None))])
        found = [topic for topic in topics or () if topic["waiting"] is not None]
        lag = [((topic["topic"],), topic["waiting"]) for topic in found]
        lost = [((topic["topic"],), float(topic["state"] == "lost")) for topic in found]
        yield _gauge("topic_lag_messages", "Messages of the topic that its raw table lacks", ("topic",), lag)
        yield _gauge("topic_messages_lost", "Whether messages are gone that were never read", ("topic",), lost)

    def _of_tables(self) -> Iterator[Metric]:
        rows, now = self._answer(health.freshness, TABLES.values()), datetime.now(timezone.utc)

        def of(name: str, what: str, value: Callable[[dict[str, Any]], float | None]) -> Metric:
            values = [((row["table"],), value(row)) for row in rows]
            return _gauge(name, what, ("table",), [(labels, number) for labels, number in values if number is not None])

        def age(moment: datetime | None) -> float | None:
            return None if moment is None else (now - moment).total_seconds()

        yield of("table_rows", "Rows of the table", lambda row: row["rows"])
        yield of("table_bytes", "Bytes of the files that hold the table's rows", lambda row: row["bytes"])
        yield of("table_version", "The table's newest version", lambda row: row["version"])
        yield of(
            "table_commit_age_seconds",
            "Seconds since the last commit that wrote rows, if one of the last twenty did",
            lambda row: age(row["changed"]),
        )
        yield of("table_newest_event_age_seconds", "Seconds since the newest event", lambda row: age(row["newest"]))

    def _of_quarantine(self) -> Iterator[Metric]:
        labels = ("pipeline", "source", "reason")
        rows = self._answer(health.quarantine_by_source, QUARANTINES.values())
        values = [(tuple(str(row[label]) for label in labels), row["rows"]) for row in rows]
        yield _gauge("quarantine_rows", "Rows in quarantine; one counts for each of its reasons", labels, values)

    def _of_checks(self) -> Iterator[Metric]:
        labels = ("table", "check", "kind")
        rows = self._answer(health.failing_checks, (EXPECTATIONS,))
        values = [(tuple(row[label] for label in labels), row["failed"]) for row in rows]
        what = "Rows that break a check or rule which fails, when it was last evaluated"
        yield _gauge("failing_check_rows", what, labels, values)
        yield _gauge("failing_checks", "Checks and rules that fail", (), [((), len(rows))])

    def _of_streams(self) -> Iterator[Metric]:
        rows, now = self._answer(health.streaming, (STREAMING,)), datetime.now(timezone.utc)

        def of(column: str, what: str, *, name: str = "", scale: float = 1) -> Metric:
            values = [((row["query"],), row[column] * scale) for row in rows if row[column] is not None]
            return _gauge(f"stream_{name or column}", f"{what}, of the last micro-batch", ("query",), values)

        yield of("rows", "Rows that it took")
        yield of("input_rows_per_second", "Rows that came a second")
        yield of("processed_rows_per_second", "Rows a second while it ran")
        yield of("duration_ms", "How long it took", name="batch_seconds", scale=0.001)
        yield of("lag", "Messages that Kafka had behind it", name="lag_messages")
        ages = [((row["query"],), (now - row["started_at"]).total_seconds()) for row in rows]
        yield _gauge("stream_batch_age_seconds", "Seconds since the last micro-batch began", ("query",), ages)
        phases = [
            ((row["query"], column.removesuffix("_ms")), row[column] / 1000)
            for row in rows
            for column in PHASES.values()
            if row[column] is not None
        ]
        what = "How long a phase of the last micro-batch took"
        yield _gauge("stream_phase_seconds", what, ("query", "phase"), phases)

    def _of_runs(self) -> Iterator[Metric]:
        runs, now = list(self._runs()), time.time()
        states = [((run.job, run.state), 1.0) for run in runs]
        seconds = [((run.job,), (run.ended or now) - run.started) for run in runs if run.started is not None]
        starts = [((run.job,), now - run.started) for run in runs if run.started is not None]
        yield _gauge("last_run_state", "1 for the state of the job's newest run", ("job", "state"), states)
        yield _gauge("last_run_seconds", "How long the job's newest run took, or has run", ("job",), seconds)
        yield _gauge("last_run_age_seconds", "Seconds since the job's newest run began", ("job",), starts)


def registry(
    settings: Settings, runs: Callable[[], Iterable[LastRun]], *, kept_seconds: float = KEPT_SECONDS
) -> CollectorRegistry:
    """A registry with the lake's health and nothing else; `generate_latest` makes it text."""
    found = CollectorRegistry()
    found.register(HealthCollector(settings, runs, kept_seconds=kept_seconds))
    return found


def _gauge(
    name: str, what: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", what, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def _since(started: float) -> float:
    return time.monotonic() - started
