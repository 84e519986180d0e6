"""The assets in process, on a lake and a landing directory of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from music_lakehouse.definitions import build_definitions, defs
from music_lakehouse.defs.heart_rate.tables import TABLES
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.heart_rate.config import HeartRateConfig
from music_lakehouse.simulator.heart_rate.simulation import land_heart_rates
from music_lakehouse_tests.defs.heart_rate.lakes import land, name_people, recording
from music_lakehouse_tests.defs.run_results import figures, outcomes
from music_lakehouse_tests.oracle.heart_rate.compare import assert_lake_equals_oracle

pytestmark = pytest.mark.spark

JOB = "heart_rate_pipeline"


class Place:
    """A lake and a landing directory of a test's own, and the jobs on them."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.lake, self.landing, self.instance = root / "lake", root / "landing", instance

    def execute(self, job: str, files_a_commit: int = 1) -> dg.ExecuteInProcessResult:
        settings = Settings(
            lakehouse_root=str(self.lake),
            landing_root=self.landing,
            heart_rate_max_files_per_trigger=files_a_commit,
        )
        return (
            build_definitions(settings)
            .resolve_job_def(job)
            .execute_in_process(instance=self.instance, raise_on_error=False)
        )


@pytest.fixture
def place(spark: SparkSession, tmp_path: Path) -> Iterator[Place]:
    del spark  # The resource takes the session that is there.
    with dg.DagsterInstance.ephemeral() as instance:
        yield Place(tmp_path, instance)


def test_a_run_says_what_it_changed_and_the_next_one_changes_nothing(place: Place, seed: int) -> None:
    start = datetime(2024, 3, 1)
    land_heart_rates(place.landing, HeartRateConfig(files=6, recordings=100, seed=seed, start=start, dirty=0.02))
    first = place.execute(JOB)
    assert first.success
    said = figures(first)
    assert_lake_equals_oracle(place.lake, place.landing)
    raw = said["bronze/heart_rate"]
    assert raw["files_loaded"] == 10
    assert raw["versions_written"] == 9 + 1, "a commit a file, but for the empty one, and one that made the table"
    assert raw["rows_inserted"] == (
        said["silver/heart_rate"]["rows_inserted"] + said["bronze/quarantine_heart_rate"]["rows_inserted"]
    )
    assert said["bronze/dim_patients"]["rows_inserted"] == 34
    assert said["gold/heart_rate_by_patient"]["rows_inserted"] == 35

    checked = outcomes(first)
    selected = defs.resolve_job_def(JOB).asset_layer.executable_asset_keys
    assert {key.to_user_string() for key in selected} == {f"{t.layer}/{t.name}" for t in TABLES.values()}
    declared = {
        (check.asset_key.to_user_string(), check.name)
        for check in defs.resolve_asset_graph().asset_check_keys
        if check.asset_key in selected and not check.name.startswith("audit_")
    }
    assert set(checked) == declared, "each check that is declared was evaluated"
    assert {key for key, e in checked.items() if not e.passed and e.severity is dg.AssetCheckSeverity.ERROR} == set()
    assert checked["bronze/heart_rate", "not_an_array"].metadata["failed"].value == 3

    second = place.execute(JOB)
    assert second.success
    assert {table: figure["table_version"] for table, figure in figures(second).items()} == {
        table: figure["table_version"] for table, figure in said.items()
    }
    assert place.execute("audit").success
    for table in TABLES.values():
        marked = DeltaTable(place.lake / table.layer / table.name).metadata().configuration.get("contains_pii")
        assert (marked == "true") == table.contains_pii
    tags = {spec.key.path[-1] for spec in defs.resolve_all_asset_specs() if "contains_pii" in spec.tags}
    assert {"dim_patients", "heart_rate", "heart_rate_by_patient"} <= tags


def test_what_is_wrong_with_a_file_is_a_warning_and_the_run_goes_on(place: Place) -> None:
    for name, minute in (("a.json", 0), ("b.json", 1), ("c.json", 2), ("d.json", 3)):
        land(place.landing, name, recording(1, minute))
    first = place.execute(JOB, files_a_commit=3)
    assert first.success
    assert figures(first)["bronze/heart_rate"]["versions_written"] == 2 + 1, "three files a commit"
    readable = outcomes(first)["bronze/dim_patients", "file_readable"]
    assert (readable.passed, readable.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "patient_info.csv is not there" in str(readable.metadata["problems"].value)
    known = outcomes(first)["silver/heart_rate", "person_known"]
    assert (known.passed, known.severity) == (False, dg.AssetCheckSeverity.WARN)

    name_people(place.landing, "1,Anna Berg")
    land(place.landing, "a.json", recording(1, 0), recording(1, 9))
    result = place.execute(JOB)
    assert result.success
    changed = outcomes(result)["bronze/heart_rate", "files_unchanged"]
    assert (changed.passed, changed.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "heart_rate/recordings/a.json: it changed" in str(changed.metadata["files"].value)
    assert figures(result)["silver/heart_rate"]["rows_updated"] == 4
    assert outcomes(result)["bronze/dim_patients", "file_readable"].passed
