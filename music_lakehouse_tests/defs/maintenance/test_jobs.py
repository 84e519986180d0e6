"""The job over a small lake: what it does to which tables, what it tells, and whom it waits for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time
from deltalake import DeltaTable

from music_lakehouse.definitions import build_definitions
from music_lakehouse.defs.listening.catalog import TABLES
from music_lakehouse.defs.maintenance.schedules import daily_maintenance
from music_lakehouse.lakehouse.delta import TableState
from music_lakehouse.lakehouse.inventory import figures, find_tables
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.locks import LakeLock, current_holder, spark_children
from music_lakehouse.lakehouse.positions import record_source_position
from music_lakehouse.settings import Settings
from music_lakehouse_tests.defs.listening.small_lakes import sound_tables, write, write_all
from music_lakehouse_tests.oracle.lake import read_table

pytestmark = pytest.mark.thorough

SONGS, LISTENS, RAW_LISTENS = "silver.dim_songs", "bronze.listen_events", "raw.listen_events"


@pytest.fixture
def lake(tmp_path: Path) -> LakePaths:
    """All tables of a few messages, each row twice, in two commits."""
    lake = LakePaths(str(tmp_path / "lake"))
    tables = sound_tables(tmp_path)
    write_all(lake, tables)
    for name, rows in tables.items():
        write(lake, TABLES[name], rows, mode="append")
    return lake


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def run(lake: LakePaths, instance: dg.DagsterInstance, **config: float) -> dg.ExecuteInProcessResult:
    job = build_definitions(Settings(lakehouse_root=lake.root)).resolve_job_def("table_maintenance")
    return job.execute_in_process(
        run_config={"ops": {"maintain_tables": {"config": config}}}, instance=instance, raise_on_error=False
    )


def observed(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """What was told of each table's asset."""
    found = {}
    for event in result.filter_events(lambda event: event.event_type_value == "ASSET_OBSERVATION"):
        observation = event.asset_observation_data.asset_observation
        found[".".join(observation.asset_key.path)] = {key: m.value for key, m in observation.metadata.items()}
    return found


def summary(result: dg.ExecuteInProcessResult, op: str = "maintain_tables") -> dict[str, Any]:
    [output] = result.filter_events(lambda event: event.event_type_value == "STEP_OUTPUT" and event.step_key == op)
    metadata = output.step_output_data.metadata
    return {key: value.value for key, value in metadata.items()}


def versions(lake: LakePaths) -> dict[str, int]:
    return {name: DeltaTable(uri).version() for name, uri in find_tables(lake.root).items()}


def error(result: dg.ExecuteInProcessResult) -> str:
    [failure] = result.filter_events(lambda event: event.event_type_value == "STEP_FAILURE")
    return str(failure.step_failure_data.error)


def test_every_table_is_kept_up_and_tells_what_it_had_and_has(lake: LakePaths, instance: dg.DagsterInstance) -> None:
    record_source_position(lake, "silver.copy", SONGS, table_state(lake, SONGS))
    record_source_position(lake, "silver.copy", LISTENS, table_state(lake, LISTENS))
    rows = {name: sorted(map(str, read_table(lake.root, name))) for name in find_tables(lake.root)}
    jvms = spark_children()
    result = run(lake, instance)

    assert result.success
    told = observed(result)
    assert set(told) == {name for name in rows if not name.startswith("metrics.")}
    songs = told[SONGS]
    assert (songs["files_before"], songs["files_after"], songs["versions_written"]) == (2, 1, 1)
    assert songs["bytes_after"] < songs["bytes_before"] < songs["stored_bytes_after"]
    assert {name: sorted(map(str, read_table(lake.root, name))) for name in rows} == rows
    assert summary(result)["tables"] == len(rows)
    assert summary(result)["files_after"] < summary(result)["files_before"]
    by_table = {record.data["table"]: record.data for record in summary(result)["by_table"].records}
    assert "metrics.positions" in by_table
    assert by_table[SONGS]["files_before"] == 2
    assert spark_children() == jvms


@dg.job
def nothing() -> None:
    pass


def test_runs_that_ended_two_weeks_ago_are_removed(lake: LakePaths, instance: dg.DagsterInstance) -> None:
    now = datetime.now(timezone.utc)
    ended = {}
    for days in (15, 13):
        with freeze_time(now - timedelta(days=days)):
            ended[days] = nothing.execute_in_process(instance=instance).run_id
    result = run(lake, instance)

    assert summary(result, "remove_old_runs") == {"runs_removed": 1, "events_removed": 0}
    assert {run.run_id for run in instance.get_runs()} == {ended[13], result.run_id}


def test_a_second_run_writes_no_version(lake: LakePaths, instance: dg.DagsterInstance) -> None:
    run(lake, instance)
    before = versions(lake)
    result = run(lake, instance)

    assert result.success
    assert versions(lake) == before
    assert summary(result)["tables_changed"] == 0
    assert observed(result)[SONGS]["versions_written"] == 0


def test_a_table_whose_follower_is_behind_waits(lake: LakePaths, instance: dg.DagsterInstance) -> None:
    state = table_state(lake, RAW_LISTENS)
    record_source_position(lake, LISTENS, RAW_LISTENS, TableState(state.table_id, state.version - 1))
    before = versions(lake)
    result = run(lake, instance)

    assert result.success
    assert versions(lake)[RAW_LISTENS] == before[RAW_LISTENS]
    assert versions(lake)[SONGS] == before[SONGS] + 1
    [event] = [
        event.asset_observation_data.asset_observation
        for event in result.filter_events(lambda event: event.event_type_value == "ASSET_OBSERVATION")
        if event.asset_observation_data.asset_observation.asset_key.path == RAW_LISTENS.split(".")
    ]
    assert event.description is not None
    assert f"not compacted before {LISTENS}" in event.description


def test_a_table_that_fails_does_not_hold_up_the_others(lake: LakePaths, instance: dg.DagsterInstance) -> None:
    songs = DeltaTable(find_tables(lake.root)[SONGS])
    songs.alter.set_table_properties({"delta.deletedFileRetentionDuration": "interval 30 days"})
    result = run(lake, instance)

    assert not result.success
    assert f"{SONGS}: " in error(result)
    assert "retention" in error(result)
    assert LISTENS not in error(result)
    kept = figures(find_tables(lake.root)["gold.active_users"])
    assert kept is not None
    assert kept.operation == "OPTIMIZE"
    assert current_holder(lake.root) is None
    assert run(lake, instance, retention_days=30).success


def test_no_retention_is_shorter_than_the_steps_rely_on(lake: LakePaths, instance: dg.DagsterInstance) -> None:
    before = versions(lake)
    assert not run(lake, instance, retention_days=6).success
    assert versions(lake) == before


def test_while_another_run_holds_the_lake_it_waits(lake: LakePaths, instance: dg.DagsterInstance) -> None:
    before = versions(lake)
    other = LakeLock(lake.root)
    other.acquire("the pipeline")
    try:
        refused = run(lake, instance, lock_wait_minutes=0)
        assert not refused.success
        assert "the pipeline" in error(refused)
        assert versions(lake) == before
        threading.Timer(2, other.release).start()
        assert run(lake, instance, lock_wait_minutes=1).success
    finally:
        other.release()
    assert versions(lake) != before
    assert current_holder(lake.root) is None


def test_checkpoints_that_no_query_asks_for_any_more_are_removed(lake: LakePaths, instance: dg.DagsterInstance) -> None:
    raw, bronze = table_state(lake, RAW_LISTENS).table_id, table_state(lake, LISTENS).table_id
    used, former = (Path(lake.checkpoint(f"{LISTENS}/{source}-{bronze}")) for source in (raw, uuid4()))
    for checkpoint in (used, former):
        (checkpoint / "offsets").mkdir(parents=True)

    result = run(lake, instance)

    assert summary(result)["checkpoints_removed"] == 1
    assert (used.exists(), former.exists()) == (True, False)


def test_an_empty_lake_has_nothing_to_keep_up(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    result = run(LakePaths(str(tmp_path)), instance)
    assert result.success
    assert summary(result)["tables"] == 0


def test_files_of_bookkeeping_that_nothing_needs_go_after_an_hour(
    lake: LakePaths, instance: dg.DagsterInstance
) -> None:
    record_source_position(lake, "silver.copy", SONGS, table_state(lake, SONGS))
    left = [Path(find_tables(lake.root)[name], "never-committed.parquet") for name in ("metrics.positions", SONGS)]
    for file in left:
        file.write_bytes(b"half a file")
        os.utime(file, (time.time() - 7200,) * 2)

    assert run(lake, instance).success

    assert [file.exists() for file in left] == [False, True]


def test_the_schedule_is_daily_and_on_from_the_start() -> None:
    assert (daily_maintenance.job_name, daily_maintenance.cron_schedule, daily_maintenance.execution_timezone) == (
        "table_maintenance",
        "0 5 * * *",
        "UTC",
    )
    assert daily_maintenance.default_status is dg.DefaultScheduleStatus.RUNNING


def table_state(lake: LakePaths, name: str) -> TableState:
    state = lake.state(TABLES[name])
    assert state is not None
    return state
