from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from music_lakehouse.instance.event_log import MOST_CONNECTIONS, KeptSqliteEventLogStorage
from music_lakehouse_tests.end_to_end.live import PROJECT
from music_lakehouse_tests.waiting import eventually

pytestmark = pytest.mark.thorough


@dg.asset(check_specs=[dg.AssetCheckSpec("is_there", asset="table")])
def table() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"rows": 7}, check_results=[dg.AssetCheckResult(passed=True)])


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def storage(instance: dg.DagsterInstance) -> KeptSqliteEventLogStorage:
    found = instance.event_log_storage
    assert isinstance(found, KeptSqliteEventLogStorage)
    return found


def told(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    return [entry.dagster_event_type.value for entry in instance.all_logs(run_id) if entry.dagster_event_type]


def test_dagsters_own_storage_reads_what_is_written_and_the_other_way_round(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    ours = dg.materialize([table], instance=instance).run_id
    other_home = tmp_path / "dagsters"
    other_home.mkdir()
    (other_home / "history").symlink_to(tmp_path / "history")
    with dg.DagsterInstance.from_config(str(other_home)) as dagsters:
        assert type(dagsters.event_log_storage) is SqliteEventLogStorage
        theirs = dg.materialize([table], instance=dagsters).run_id
        seen = told(dagsters, ours)

        assert seen == told(instance, ours)
        assert told(dagsters, theirs) == told(instance, theirs) == seen
        assert {"ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION", "RUN_SUCCESS"} <= {
            name.replace("PIPELINE", "RUN") for name in seen
        }
        for each in (instance, dagsters):
            last = each.get_latest_materialization_event(dg.AssetKey("table"))
            assert last is not None
            assert last.run_id == theirs


def test_connections_are_kept_and_not_more_than_so_many(instance: dg.DagsterInstance) -> None:
    for _ in range(MOST_CONNECTIONS + 3):
        dg.materialize([table], instance=instance)
    engines = storage(instance)._engines
    index = engines["index"]

    dg.materialize([table], instance=instance)

    assert len(engines) == MOST_CONNECTIONS
    assert engines["index"] is index


def test_who_watches_a_run_sees_its_events_as_they_are_told(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run = instance.create_run_for_job(dg.Definitions(assets=[table]).resolve_implicit_global_asset_job_def())
    seen: list[str] = []
    with dg.DagsterInstance.from_config(str(tmp_path)) as webserver:
        webserver.watch_event_logs(run.run_id, None, lambda entry, cursor: seen.append(entry.message))

        instance.report_engine_event("it is on its way", run)

        eventually(lambda: "it is on its way" in seen, "it is seen", 30)


def test_what_a_killed_process_told_is_there(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run = instance.create_run_for_job(dg.Definitions(assets=[table]).resolve_implicit_global_asset_job_def())
    program = f"""
import dagster as dg, os, signal
instance = dg.DagsterInstance.get()
instance.report_engine_event("before the end", instance.get_run_by_id({run.run_id!r}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)

    assert done.returncode == -signal.SIGKILL
    assert "before the end" in [entry.message for entry in instance.all_logs(run.run_id)]
