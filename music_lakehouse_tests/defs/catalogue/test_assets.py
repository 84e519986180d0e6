"""The jobs in process, on a database, a lake and a landing directory of the test's own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr
from pyspark.sql import SparkSession
from sqlalchemy import make_url

from music_lakehouse.definitions import build_definitions, defs
from music_lakehouse.settings import Settings
from music_lakehouse_tests.defs.catalogue.databases import Catalogue
from music_lakehouse_tests.defs.run_results import figures, outcomes
from music_lakehouse_tests.oracle.catalogue.compare import assert_lake_equals_oracle, assert_silver_is_the_database
from music_lakehouse_tests.postgres import PASSWORD, Postgres

pytestmark = pytest.mark.spark

JOB, SCAN = "catalogue_pipeline", "catalogue_key_scan"
WRONG = "wr0ng&pass/word"


class Place:
    """A lake of the test's own, and the jobs on it; Dagster's storage lies in files that can be looked through."""

    def __init__(self, root: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.instance = root, instance
        self.settings = Settings(lakehouse_root=str(root / "lake"), landing_root=root / "landing")
        self._monkeypatch = monkeypatch

    def execute(self, job: str, url: SecretStr) -> dg.ExecuteInProcessResult:
        self._monkeypatch.setenv("CATALOGUE_DATABASE_URL", url.get_secret_value())
        return (
            build_definitions(self.settings)
            .resolve_job_def(job)
            .execute_in_process(instance=self.instance, raise_on_error=False)
        )

    def files_with(self, text: str) -> list[Path]:
        """Everything that was written, of which a part is the text."""
        files = [path for path in self.root.rglob("*") if path.is_file()]
        assert len(files) > 5, "something was written"
        return [path for path in files if text.encode() in path.read_bytes()]


@pytest.fixture
def place(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    del spark  # The resource takes the session that is there.
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield Place(tmp_path, instance, monkeypatch)


def test_postgresql_goes_to_gold_and_its_password_is_nowhere(
    place: Place, postgres: Postgres, seed: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    url = postgres.new_database()
    catalogue = Catalogue(url, place.settings.landing_root)

    catalogue.simulate(streams=600, seed=seed)
    first = place.execute(JOB, url)
    assert first.success
    said = figures(first)
    for name in ("users", "artists", "tracks", "dates", "streams"):
        silver = said[f"silver/catalogue_{name}"]
        assert said[f"bronze/catalogue_{name}"]["rows_inserted"] == silver["rows_inserted"] > 0
    assert said["gold/catalogue_fact_stream"]["rows_inserted"] == 600
    assert set(outcomes(first)) == declared_checks(JOB), "each check that is declared was evaluated"
    assert {key for key, evaluation in outcomes(first).items() if not evaluation.passed} == set()

    wrong = postgres.url(make_url(url.get_secret_value()).database or "", password=WRONG)
    refused = place.execute(JOB, wrong)
    assert not refused.success

    catalogue.simulate(streams=200, seed=seed, rounds=1)
    catalogue.run("ALTER TABLE \"DimArtist\" ADD COLUMN label TEXT DEFAULT 'Own'")
    scanned = place.execute(SCAN, url)
    assert scanned.success
    said = figures(scanned)
    gone = said["landing/catalogue_key_scan/DimUser"]["rows_deleted"]
    assert gone == said["silver/catalogue_users"]["rows_deleted"] > 0
    assert said["bronze/catalogue_artists"]["columns_added"] == "label"
    declared_columns = outcomes(scanned)["bronze/catalogue_artists", "columns_declared"]
    assert (declared_columns.passed, declared_columns.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert set(outcomes(scanned)) == declared_checks(SCAN)
    assert_lake_equals_oracle(place.settings.lake_uri, catalogue.landing)
    assert_silver_is_the_database(place.settings.lake_uri, url.get_secret_value())

    audited = place.execute("audit", url)
    assert audited.success
    assert any(table == "gold/catalogue_fact_stream" for table, _ in outcomes(audited))

    written = caplog.text + "".join(capfd.readouterr())
    for run in (first, refused, scanned, audited):
        events = "".join(str(entry) for entry in place.instance.all_logs(run.run_id))
        assert len(events) > 1000
        written += events
    assert "refuses access" in written
    assert place.files_with("refuses access"), "Dagster's storage is among the files that are looked through"
    for secret in _secrets(PASSWORD, WRONG):
        assert secret not in written
        assert place.files_with(secret) == []


@pytest.mark.slow
def test_while_one_table_cannot_be_read_the_others_go_to_gold_and_the_run_says_which(place: Place) -> None:
    url = SecretStr(f"sqlite:///{place.root}/catalogue.db")
    catalogue = Catalogue(url, place.settings.landing_root)
    catalogue.user(1, 0)
    catalogue.artist(1, 0)
    catalogue.track(1, 0)
    catalogue.run('ALTER TABLE "DimArtist" RENAME TO kept')
    for number in (1, 2):
        catalogue.stream(number, number)
        result = place.execute(JOB, url)
        assert result.success
        readable = outcomes(result)["landing/catalogue/DimArtist", "table_readable"]
        assert (readable.passed, readable.severity) == (False, dg.AssetCheckSeverity.ERROR)
        assert "DimArtist: the database has no table of this name" in (readable.description or "")
        assert figures(result)["gold/catalogue_fact_stream"]["rows_inserted"] == 1
    catalogue.run('DROP TABLE IF EXISTS "DimArtist"', 'ALTER TABLE kept RENAME TO "DimArtist"')
    mended = place.execute(JOB, url)
    assert figures(mended)["gold/catalogue_dim_artist"]["rows_inserted"] == 1
    assert figures(mended)["gold/catalogue_fact_stream"]["rows_updated"] == 2, "the streams have their artist now"
    assert_lake_equals_oracle(place.settings.lake_uri, catalogue.landing)


def declared_checks(job: str) -> set[tuple[str, str]]:
    selected = defs.resolve_job_def(job).asset_layer.executable_asset_keys
    return {
        (check.asset_key.to_user_string(), check.name)
        for check in defs.resolve_asset_graph().asset_check_keys
        if check.asset_key in selected and not check.name.startswith("audit_")
    }


def _secrets(*passwords: str) -> list[str]:
    """The passwords as they are, and as a URL has them."""
    return [text for p in passwords for text in (p, p.replace("&", "%26").replace("/", "%2F"))]
