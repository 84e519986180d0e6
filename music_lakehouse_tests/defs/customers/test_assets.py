"""The assets in process, on a lake and a landing directory of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest
from pyspark.sql import SparkSession

from music_lakehouse.definitions import build_definitions, defs
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.customers.config import CustomersConfig
from music_lakehouse.simulator.customers.simulation import land_customers
from music_lakehouse_tests.defs.run_results import figures, outcomes
from music_lakehouse_tests.oracle.customers.compare import assert_lake_equals_oracle
from music_lakehouse_tests.oracle.customers.examples import customer, land

pytestmark = pytest.mark.spark

JOB = "customers_pipeline"


class Place:
    """A lake and a landing directory of a test's own, and the jobs on them."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings, self.instance = settings, instance

    def execute(self, job: str) -> dg.ExecuteInProcessResult:
        return (
            build_definitions(self.settings)
            .resolve_job_def(job)
            .execute_in_process(instance=self.instance, raise_on_error=False)
        )


@pytest.fixture
def place(spark: SparkSession, tmp_path: Path) -> Iterator[Place]:
    del spark  # The resource takes the session that is there.
    settings = Settings(lakehouse_root=str(tmp_path / "lake"), landing_root=tmp_path / "landing")
    with dg.DagsterInstance.ephemeral() as instance:
        yield Place(settings, instance)


def test_a_run_says_what_it_changed_and_the_next_one_changes_nothing(place: Place, seed: int) -> None:
    landing = place.settings.landing_root
    start = datetime(2024, 3, 1)
    land_customers(landing, CustomersConfig(scale=0.001, chunks=4, seed=seed, start=start, dirty=0.02))
    first = place.execute(JOB)
    assert first.success
    said = figures(first)
    assert_lake_equals_oracle(place.settings.lake_uri, landing)
    for name in ("customer", "orders", "lineitem"):
        raw = said[f"bronze/{name}_raw"]
        assert raw["rows_inserted"] == raw["dagster/row_count"] > raw["rows_rescued"] > 0
        landed = len(list((landing / "customers" / name).iterdir()))
        assert (raw["files_loaded"], raw["files_repeated"]) == (landed - 1, 1)
        assert said[f"silver/{name}"]["rows_inserted"] == said[f"silver/{name}"]["dagster/row_count"] > 0

    checked = outcomes(first)
    selected = defs.resolve_job_def(JOB).asset_layer.executable_asset_keys
    declared = {
        (check.asset_key.to_user_string(), check.name)
        for check in defs.resolve_asset_graph().asset_check_keys
        if check.asset_key in selected and not check.name.startswith("audit_")
    }
    assert set(checked) == declared, "each check that is declared was evaluated"
    assert {key for key, e in checked.items() if not e.passed and e.severity is dg.AssetCheckSeverity.ERROR} == set()
    assert (
        checked["bronze/customer_raw", "malformed"].metadata["failed"].value
        == said["bronze/customer_raw"]["rows_rescued"]
    )

    second = place.execute(JOB)
    assert second.success
    again = figures(second)
    assert {table: figure["table_version"] for table, figure in again.items()} == {
        table: figure["table_version"] for table, figure in said.items()
    }
    assert place.execute("audit").success


def test_what_is_wrong_with_a_file_is_a_warning_and_the_run_goes_on(place: Place) -> None:
    landing = place.settings.landing_root
    land(landing, "customer", "a.csv", 0, customer(1))
    assert place.execute(JOB).success
    land(landing, "customer", "a.csv", 0, customer(1), customer(2))
    land(landing, "customer", "b.csv", 1, customer(3))
    result = place.execute(JOB)
    assert result.success
    changed = outcomes(result)["bronze/customer_raw", "files_unchanged"]
    assert (changed.passed, changed.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "customers/customer/a.csv: it changed" in str(changed.metadata["files"].value)
    assert figures(result)["gold/dim_customer"]["rows_inserted"] == 1
