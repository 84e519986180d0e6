from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from music_lakehouse_tests.benchmarks.spent import spent


def rows(*numbers: int) -> pa.Table:
    return pa.table({"n": pa.array(numbers, pa.int64())})


def test_files_and_seconds_are_those_of_the_commits_since_by_deltas_log(tmp_path: Path) -> None:
    for number in range(3):
        write_deltalake(tmp_path, rows(number), mode="append")
    DeltaTable(tmp_path).merge(rows(1), "s.n = t.n", source_alias="s", target_alias="t").when_matched_delete().execute()
    took = [entry["operationMetrics"]["execution_time_ms"] for entry in DeltaTable(tmp_path).history(2)]

    found = spent({"dagster/uri": str(tmp_path), "table_version": 3, "versions_written": 2, "duration_seconds": 1.5})

    assert (found.seconds, found.commits, found.files_added, found.files_removed) == (1.5, 2, 1, 1)
    assert found.written == sum(took) / 1000
    assert (found.planning, found.add_batch, found.checkpoint) == (None, None, None)


def test_phases_are_those_of_the_micro_batches(tmp_path: Path) -> None:
    # As Spark writes it: without the time that it took.
    log = tmp_path / "_delta_log" / f"{7:020}.json"
    log.parent.mkdir()
    actions = [{"commitInfo": {"operationMetrics": {"numAddedFiles": "2"}}}, {"txn": {}}, {"add": {}}, {"add": {}}]
    log.write_text("\n".join(map(json.dumps, actions)))
    step = {"dagster/uri": str(tmp_path), "table_version": 7, "versions_written": 1, "duration_seconds": 3.0}
    phases = {"query_planning_seconds": 0.5, "add_batch_seconds": 2.0}
    notes = {"wal_commit_seconds": 0.25, "commit_offsets_seconds": 0.125}

    found = spent({**step, **phases, **notes})

    assert (found.planning, found.add_batch, found.checkpoint, found.written) == (0.5, 2.0, 0.375, None)
    assert (found.commits, found.files_added, found.files_removed) == (1, 2, 0)


def test_a_table_that_was_not_written_spent_its_seconds_without_a_commit(tmp_path: Path) -> None:
    found = spent({"dagster/uri": str(tmp_path), "table_version": 7, "versions_written": 0, "duration_seconds": 3.0})

    assert (found.seconds, found.written, found.commits, found.files_added, found.files_removed) == (3.0, None, 0, 0, 0)
