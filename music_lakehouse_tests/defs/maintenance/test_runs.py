from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import dagster as dg
import pytest

from music_lakehouse.defs.maintenance.runs import forget_runs

HOME = Path(__file__).parents[3] / "dagster.yaml"


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

    assert forget_runs(instance, now) == len(gone)

    assert ids(instance) == stayed
    assert {shown, recent} <= stayed
    left = [str(path) for path in tmp_path.rglob("*") if any(run_id in str(path) for run_id in gone)]
    assert left == []
    assert instance.get_run_by_id(gone[0]) is None
    assert [log for log in instance.all_logs(shown) if log.run_id == shown]
    materialization = instance.get_latest_materialization_event(dg.AssetKey("seldom"))
    assert materialization is not None
    assert materialization.run_id == shown
    assert forget_runs(instance, now) == 0
