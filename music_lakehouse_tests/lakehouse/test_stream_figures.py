"""What is made of a query's progress, and what is kept of it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.records import KEPT_DAYS, read_records
from music_lakehouse.lakehouse.stream_figures import (
    STREAMING,
    MicroBatch,
    figures_of,
    forget_old_batches,
    micro_batches,
    record_batches,
    recorded,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)


def progress(batch: int, rows: int, *, latest: int = 300, seconds: int = 2, **more: Any) -> dict[str, Any]:
    """What Spark 4.2 says of a micro-batch of a Kafka query, without the sums over sources: Spark Connect has none."""
    return {
        "id": "query",
        "runId": "run",
        "name": "raw.listen_events",
        "timestamp": f"2026-11-21T12:00:{batch:02}.500Z",
        "batchId": batch,
        "batchDuration": seconds * 1000,
        "durationMs": {"addBatch": 1500, "walCommit": 10, "triggerExecution": seconds * 1000},
        "sources": [
            {
                "description": "KafkaV2[Subscribe[listen_events]]",
                "endOffset": {"listen_events": {"0": 100 * (batch + 1), "1": 0}},
                "latestOffset": json.dumps({"listen_events": {"0": latest, "1": 0}}),
                "numInputRows": rows,
                "inputRowsPerSecond": 50.0 if batch else 0.0,
            }
        ],
        **more,
    }


@pytest.fixture
def lake(tmp_path: Path) -> LakePaths:
    return LakePaths(str(tmp_path / "lake"))


def test_a_micro_batch_has_what_spark_says_of_it() -> None:
    [first, second] = micro_batches([progress(0, 100), progress(0, 100), progress(1, 60), progress(2, 0)])

    assert first == MicroBatch(
        query="raw.listen_events",
        query_run_id="run",
        batch_id=0,
        started_at=NOON + timedelta(milliseconds=500),
        rows=100,
        input_rows_per_second=None,
        duration_ms=2000,
        phases={"add_batch_ms": 1500, "wal_commit_ms": 10},
        end_offsets=[{"listen_events": {"0": 100, "1": 0}}],
        lag=200,
    )
    assert first.processed_rows_per_second == 50
    assert (second.rows, second.input_rows_per_second, second.lag) == (60, 50.0, 100)


def test_of_a_source_that_is_not_kafka_nobody_knows_the_lag() -> None:
    ends = {"endOffset": {"reservoirVersion": 4}, "latestOffset": None}
    source = {"description": "DeltaSource[file:/lake]", "numInputRows": 100, **ends}
    [batch] = micro_batches([progress(0, 100, sources=[source])])

    assert (batch.lag, batch.end_offsets) == (None, [{"reservoirVersion": 4}])
    assert "lag" not in figures_of([batch])


def test_rows_that_were_scanned_several_times_count_once() -> None:
    [batch] = micro_batches([progress(1, 900)])

    assert (batch.counted(300).rows, batch.counted(300).processed_rows_per_second) == (300, 150)
    assert batch.counted(300).input_rows_per_second == pytest.approx(50 / 3)


def test_the_first_of_a_run_has_its_input_since_the_last_commit() -> None:
    [first, second] = micro_batches([progress(0, 100), progress(1, 100)])
    before = first.started_at - timedelta(seconds=10)

    assert first.arrived_since(before).input_rows_per_second == 10
    assert second.arrived_since(before) == second
    assert first.arrived_since(None).input_rows_per_second is None
    assert first.arrived_since(first.started_at).input_rows_per_second is None


def test_a_runs_figures_are_numbers_over_all_of_its_micro_batches() -> None:
    batches = [batch.arrived_since(NOON) for batch in micro_batches([progress(1, 100), progress(2, 300, seconds=6)])]

    assert figures_of([]) == {}
    assert figures_of(batches) == {
        "processed_rows_per_second": 50.0,
        "longest_batch_seconds": 6.0,
        "latest_offset_seconds": 0.0,
        "get_batch_seconds": 0.0,
        "query_planning_seconds": 0.0,
        "wal_commit_seconds": 0.02,
        "add_batch_seconds": 3.0,
        "commit_offsets_seconds": 0.0,
        "input_rows_per_second": 50.0,
        "lag": 0,
    }


def test_micro_batches_are_kept_in_one_commit(lake: LakePaths) -> None:
    record_batches(lake, [])
    assert lake.state(STREAMING) is None
    record_batches(lake, micro_batches([progress(0, 100), progress(1, 60)]))
    state = lake.state(STREAMING)
    assert state is not None
    assert state.version == 0
    [first, second] = sorted(read_records(lake, STREAMING), key=lambda row: row["batch_id"])
    assert (first["rows"], first["lag"], first["add_batch_ms"], first["get_batch_ms"]) == (100, 200, 1500, None)
    assert json.loads(second["end_offsets"]) == [{"listen_events": {"0": 200, "1": 0}}]


def test_what_queries_gathered_is_kept_in_one_commit_also_where_one_failed(lake: LakePaths) -> None:
    batches: list[MicroBatch] = []

    def run(lake: LakePaths) -> None:
        with recorded(lake, batches):
            batches.extend(micro_batches([progress(0, 100), progress(1, 60)]))
            raise ValueError("the other query failed")

    with pytest.raises(ValueError, match="the other query"):
        run(lake)
    assert len(read_records(lake, STREAMING)) == 2
    (Path(lake.root) / "file").write_text("")
    with pytest.raises(ValueError, match="the other query"):
        run(LakePaths(f"{lake.root}/file/nowhere"))
    with recorded(lake, batches):
        batches.clear()
    state = lake.state(STREAMING)
    assert state is not None
    assert state.version == 0


def test_what_is_older_than_ninety_days_is_removed_and_nothing_else(lake: LakePaths) -> None:
    assert not forget_old_batches(lake, NOON)
    record_batches(lake, micro_batches([progress(0, 100), progress(9, 100)]))
    between = NOON + timedelta(days=KEPT_DAYS, seconds=5)
    assert not forget_old_batches(lake, NOON)
    assert forget_old_batches(lake, between)
    assert [row["batch_id"] for row in read_records(lake, STREAMING)] == [9]
    state = lake.state(STREAMING)
    assert not forget_old_batches(lake, between)
    assert lake.state(STREAMING) == state
