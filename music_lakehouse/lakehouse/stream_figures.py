"""What Structured Streaming says of its micro-batches, and the table that keeps it: `metrics.streaming`.

It is taken from `query.recentProgress` when a query has ended, not from a StreamingQueryListener: both have the same
figures, but a listener in Python makes the JVM call back into Python, through a server and a thread of its own, for
each event of each query, and its events may come after the query has ended. Spark Connect has `recentProgress` too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.records import KEPT_DAYS, append_records, remove_records
from music_lakehouse.lakehouse.tables import Column, Table

PHASES = {
    "latestOffset": "latest_offset_ms",
    "getBatch": "get_batch_ms",
    "queryPlanning": "query_planning_ms",
    "walCommit": "wal_commit_ms",
    "addBatch": "add_batch_ms",
    "commitOffsets": "commit_offsets_ms",
}
"""Spark's names of the phases of a micro-batch, and the columns that have their durations."""

STREAMING = Table(
    layer="metrics",
    name="streaming",
    description="One row a micro-batch with rows of a streaming query, as Spark reported it; of a query that made more "
    "than a hundred in one run, the last hundred. Rows that are older than 90 days go with `table_maintenance`.",
    columns=(
        Column("query", "STRING", "the query, by the table that it writes"),
        Column("query_run_id", "STRING", "Spark's id of the query's run: each start has another"),
        Column("batch_id", "BIGINT", "the micro-batch's number in the query's checkpoint"),
        Column("started_at", "TIMESTAMP", "when it began, UTC"),
        Column("rows", "BIGINT", "rows that it took"),
        Column(
            "input_rows_per_second",
            "DOUBLE",
            "these by the seconds since the micro-batch before it began, or, of a run's first, since the table's last "
            "commit; null where there is none",
        ),
        Column("processed_rows_per_second", "DOUBLE", "these by the seconds that it took"),
        Column("duration_ms", "BIGINT", "how long it took, in milliseconds"),
        Column("latest_offset_ms", "BIGINT", "of it, to ask the source how far it reaches"),
        Column("get_batch_ms", "BIGINT", "of it, to take the offsets' rows from the source"),
        Column("query_planning_ms", "BIGINT", "of it, to plan"),
        Column("wal_commit_ms", "BIGINT", "of it, to write the offsets to the checkpoint"),
        Column("add_batch_ms", "BIGINT", "of it, to compute the rows and commit them to the table"),
        Column("commit_offsets_ms", "BIGINT", "of it, to note in the checkpoint that it is done"),
        Column("end_offsets", "STRING", "the sources' offsets up to which it took rows, as JSON"),
        Column("lag", "BIGINT", "messages that Kafka had behind these; null where the source doesn't count them"),
    ),
    key=("query_run_id", "batch_id"),
)


@dataclass(frozen=True)
class MicroBatch:
    """A micro-batch: the columns of `metrics.streaming`. `phases` are milliseconds, by their columns."""

    query: str
    query_run_id: str
    batch_id: int
    started_at: datetime
    rows: int
    input_rows_per_second: float | None
    duration_ms: int
    phases: Mapping[str, int]
    end_offsets: Sequence[Any]
    lag: int | None

    @property
    def processed_rows_per_second(self) -> float:
        return self.rows * 1000 / max(self.duration_ms, 1)

    def counted(self, rows: int) -> MicroBatch:
        """The same with so many rows: Spark counts those of a `foreachBatch` at each of its scans."""
        rate = self.input_rows_per_second
        return replace(self, rows=rows, input_rows_per_second=rate and rate * rows / max(self.rows, 1))

    def arrived_since(self, moment: datetime | None) -> MicroBatch:
        """The same, with its input since the moment where Spark knows of no micro-batch before."""
        if moment is None or self.input_rows_per_second is not None:
            return self
        seconds = (self.started_at - moment).total_seconds()
        return replace(self, input_rows_per_second=self.rows / seconds) if seconds > 0 else self


def micro_batches(progress: Iterable[Mapping[str, Any]]) -> tuple[MicroBatch, ...]:
    """The micro-batches with rows that a query's progress tells of, each once, in their order."""
    found = {p["batchId"]: _micro_batch(p) for p in progress if _of_sources(p, "numInputRows")}
    return tuple(found[number] for number in sorted(found))


def record_batches(lake: LakePaths, batches: Iterable[MicroBatch]) -> None:
    """Keep the micro-batches in `metrics.streaming`, in one commit; none where there are none."""
    append_records(lake, STREAMING, [_record(batch) for batch in batches])


@contextmanager
def recorded(lake: LakePaths, batches: Sequence[MicroBatch]) -> Iterator[None]:
    """Keeps the micro-batches that queries have gathered meanwhile, in one commit for all of them, also where one of
    the queries failed: eight commits a run would take a third of a second."""
    try:
        yield
    except Exception:
        try:
            record_batches(lake, batches)
        except Exception as error:
            # A full disk, for example: what the query failed of is to be told, not this.
            logging.getLogger(__name__).warning("the figures of micro-batches are lost: %s", error)
        raise
    record_batches(lake, batches)


def forget_old_batches(lake: LakePaths, now: datetime) -> bool:
    """Remove the rows that are older than `KEPT_DAYS` before now, in one commit; say whether there were any."""
    return remove_records(lake, STREAMING, "started_at", before=now - timedelta(days=KEPT_DAYS))


def figures_of(batches: Sequence[MicroBatch]) -> dict[str, float]:
    """What a query's run did, as numbers that can be plotted over runs: micro-batches, rows a second, seconds of the
    longest micro-batch and of each phase, and what Kafka had behind the last one. Nothing where there were no rows."""
    if not batches:
        return {}
    rows, arriving = sum(batch.rows for batch in batches), [b for b in batches if b.input_rows_per_second]
    took = sum(batch.duration_ms for batch in batches)
    found = {
        "processed_rows_per_second": rows * 1000 / max(took, 1),
        "longest_batch_seconds": max(batch.duration_ms for batch in batches) / 1000,
        **{
            column.removesuffix("_ms") + "_seconds": sum(batch.phases.get(column, 0) for batch in batches) / 1000
            for column in PHASES.values()
        },
    }
    if arriving:
        waited = sum(batch.rows / (batch.input_rows_per_second or 1) for batch in arriving)
        found["input_rows_per_second"] = sum(batch.rows for batch in arriving) / waited
    if batches[-1].lag is not None:
        found["lag"] = batches[-1].lag
    return found


def _micro_batch(progress: Mapping[str, Any]) -> MicroBatch:
    durations = progress.get("durationMs", {})
    return MicroBatch(
        query=progress.get("name") or progress["id"],
        query_run_id=progress["runId"],
        batch_id=progress["batchId"],
        started_at=datetime.fromisoformat(progress["timestamp"].replace("Z", "+00:00")),
        rows=int(_of_sources(progress, "numInputRows")),
        # 0 of a run's first, for want of one before.
        input_rows_per_second=_of_sources(progress, "inputRowsPerSecond") or None,
        duration_ms=durations.get("triggerExecution", progress.get("batchDuration", 0)),
        phases={column: durations[phase] for phase, column in PHASES.items() if phase in durations},
        end_offsets=[offsets(source.get("endOffset")) for source in progress["sources"]],
        lag=_lag(progress["sources"]),
    )


def _of_sources(progress: Mapping[str, Any], figure: str) -> float:
    """The figure of all sources: classic Spark gives the sum too, Spark Connect doesn't."""
    return sum(source.get(figure) or 0 for source in progress["sources"])


def offsets(value: Any) -> Any:
    """A source's offsets, which classic Spark gives as text and Spark Connect as they are."""
    return json.loads(value) if isinstance(value, str) else value


def _lag(sources: Iterable[Mapping[str, Any]]) -> int | None:
    """Messages between the end of the micro-batch and that of the topics; None where no source is Kafka."""
    behind = None
    for source in sources:
        end, latest = offsets(source.get("endOffset")), offsets(source.get("latestOffset"))
        if source.get("description", "").startswith("Kafka") and end and latest:
            of_source = [latest[topic][p] - end[topic].get(p, 0) for topic in latest for p in latest[topic]]
            behind = (behind or 0) + sum(of_source)
    return behind


def _record(batch: MicroBatch) -> dict[str, Any]:
    return {
        "query": batch.query,
        "query_run_id": batch.query_run_id,
        "batch_id": batch.batch_id,
        "started_at": batch.started_at,
        "rows": batch.rows,
        "input_rows_per_second": batch.input_rows_per_second,
        "processed_rows_per_second": batch.processed_rows_per_second,
        "duration_ms": batch.duration_ms,
        **{column: batch.phases.get(column) for column in PHASES.values()},
        "end_offsets": json.dumps(batch.end_offsets),
        "lag": batch.lag,
    }
