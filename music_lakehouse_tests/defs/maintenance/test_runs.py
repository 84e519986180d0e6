from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import dagster as dg
import pytest
import yaml

from music_lakehouse.defs.maintenance import runs
from music_lakehouse.defs.maintenance.runs import forget_events, forget_runs
from music_lakehouse_tests.postgres import Postgres

pytestmark = pytest.mark.thorough

HOME = Path(__file__).parents[3] / "dagster.yaml"
MOST = 1000


@dg.asset
def often() -> dg.MaterializeResult:
    print("something")
    return dg.MaterializeResult(metadata={"rows": 1})


@dg.asset
def seldom() -> None:
    pass


@dg.job
def not_begun() -> None:
    pass


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance on disk, configured as the platform's."""
    (tmp_path / "dagster.yaml").write_text(HOME.read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def run(instance: dg.DagsterInstance, *assets: dg.AssetsDefinition) -> str:
    return dg.materialize(list(assets), instance=instance).run_id


def ids(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def test_old_runs_go_with_all_that_is_theirs_and_those_that_assets_show_stay(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    shown = run(instance, often, seldom)
    gone = [run(instance, often), run(instance, often)]
    instance.create_run_for_job(not_begun)
    now = datetime.now(timezone.utc)
    recent = run(instance, often)
    stayed = ids(instance) - set(gone)

    assert forget_runs(instance, now, most=MOST) == len(gone)

    assert ids(instance) == stayed
    assert {shown, recent} <= stayed
    left = [str(path) for path in tmp_path.rglob("*") if any(run_id in str(path) for run_id in gone)]
    assert left == []
    assert instance.get_run_by_id(gone[0]) is None
    assert [log for log in instance.all_logs(shown) if log.run_id == shown]
    materialization = instance.get_latest_materialization_event(dg.AssetKey("seldom"))
    assert materialization is not None
    assert materialization.run_id == shown
    assert forget_runs(instance, now, most=MOST) == 0


@pytest.mark.parametrize("page", [2, 1000])
def test_of_each_job_so_many_runs_stay_that_succeeded_and_all_that_failed(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(runs, "RUNS_AT_ONCE", page)
    failed = instance.create_run_for_job(not_begun)
    instance.report_run_failed(failed)
    of_assets = [run(instance, often) for _ in range(5)]
    done = [not_begun.execute_in_process(instance=instance).run_id for _ in range(3)]
    long_ago = datetime(2024, 1, 1, tzinfo=timezone.utc)

    assert forget_runs(instance, long_ago, most=2) == 4

    assert ids(instance) == {failed.run_id, *of_assets[-2:], *done[-2:]}
    assert forget_runs(instance, long_ago, most=2) == 0


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance with its storage in files of SQLite, or in PostgreSQL."""
    config = yaml.safe_load(HOME.read_text())
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.new_database().get_secret_value().replace("postgresql:", "postgresql+psycopg2:")
        del config["event_log_storage"]
        config["storage"] = {"postgres": {"postgres_url": url}}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def test_of_what_assets_were_told_without_a_run_the_old_goes_and_the_newest_stays(
    stored: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "EVENTS_AT_ONCE", 3)
    table, topic, seldom_told = dg.AssetKey(["gold", "streams"]), dg.AssetKey(["kafka", "topic"]), dg.AssetKey("seldom")
    of_run = run(stored, often)
    for number in range(10):
        stored.report_runless_asset_event(dg.AssetMaterialization(table, metadata={"n": number}))
        stored.report_runless_asset_event(dg.AssetObservation(topic, metadata={"n": number}))
        for name in ("key_unique", "keys_resolve"):
            stored.report_runless_asset_event(
                dg.AssetCheckEvaluation(asset_key=table, check_name=name, passed=number % 2 == 0, metadata={})
            )
        if number == 0:
            stored.report_runless_asset_event(dg.AssetMaterialization(seldom_told))
        if number == 7:
            moment = datetime.now(timezone.utc)

    assert forget_events(stored, moment) == 8 + 8 + 2 * 8
    assert forget_events(stored, moment) == 0

    for records in (stored.fetch_materializations(table, limit=20), stored.fetch_observations(topic, limit=20)):
        told = [record.asset_materialization or record.asset_observation for record in records.records]
        assert [one.metadata["n"].value for one in told if one is not None] == [9, 8]
    for name in ("key_unique", "keys_resolve"):
        history = stored.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(table, name), limit=20)
        assert len(history) == 2
    assert stored.get_latest_materialization_event(seldom_told) is not None, "the newest, however old"
    assert [log for log in stored.all_logs(of_run) if log.run_id == of_run]
    assert forget_events(stored, datetime.now(timezone.utc)) == 1 + 1 + 3


@dg.asset_check(asset=often)
def as_often() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True, metadata={"rows": 1})


@dg.asset_check(asset=seldom)
def as_seldom() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False)


def test_what_checks_found_goes_with_its_run_but_for_the_newest_of_each(
    stored: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "EVENTS_AT_ONCE", 3)
    once = dg.materialize([often, seldom, as_often, as_seldom], instance=stored).run_id
    for _ in range(5):
        dg.materialize([often, seldom, as_often], instance=stored)

    assert forget_runs(stored, datetime.now(timezone.utc), most=MOST) == 5

    assert once not in ids(stored)
    checks = {name: dg.AssetCheckKey(asset.key, name) for name, asset in (("as_often", often), ("as_seldom", seldom))}
    left = {
        name: stored.event_log_storage.get_asset_check_execution_history(key, limit=20) for name, key in checks.items()
    }
    assert [record.run_id for record in left["as_seldom"]] == [once], "the newest, though its run is gone"
    assert [record.run_id in ids(stored) for record in left["as_often"]] == [True]
