from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from music_lakehouse.instance.event_log import MOST_ENGINES, KeptSqliteEventLogStorage
from music_lakehouse_tests.dagster_home import open_instance
from music_lakehouse_tests.end_to_end.live import PROJECT

pytestmark = pytest.mark.thorough


@dg.asset(check_specs=[dg.AssetCheckSpec("is_there", asset="table")])
def table() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"rows": 7}, check_results=[dg.AssetCheckResult(passed=True)])


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
    with open_instance(tmp_path) as instance:
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
    with open_instance(other_home) as dagsters:
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


def test_engines_are_kept_and_not_more_than_so_many(instance: dg.DagsterInstance) -> None:
    for _ in range(MOST_ENGINES + 3):
        dg.materialize([table], instance=instance)
    engines = storage(instance)._engines
    index = engines["index"]

    dg.materialize([table], instance=instance)

    assert len(engines) == MOST_ENGINES
    assert engines["index"] is index


def test_a_runs_events_are_in_its_file_once_they_are_told(instance: dg.DagsterInstance) -> None:
    run_id = dg.materialize([table], instance=instance).run_id
    file = Path(storage(instance).path_for_shard(run_id))

    assert not file.with_name(f"{file.name}-wal").exists(), "what waits in another file is not seen to come"
    assert file.stat().st_size > 0
