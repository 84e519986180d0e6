"""What lands, as assets in process: no Spark."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from music_lakehouse.defs import shell
from music_lakehouse.defs.catalogue.extraction import ExtractionConfig, extracted, known_keys, scanned
from music_lakehouse.defs.catalogue.source import SOURCE_TABLES
from music_lakehouse.defs.failures import step_errors
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.locks import LakeLock
from music_lakehouse.resources.build import build_resources
from music_lakehouse.resources.database import CatalogueDatabase
from music_lakehouse.resources.lakehouse import LakehouseResource
from music_lakehouse.settings import Settings
from music_lakehouse_tests.defs.catalogue.databases import Catalogue, at
from music_lakehouse_tests.defs.run_results import figures, outcomes
from music_lakehouse_tests.postgres import Postgres

pytestmark = pytest.mark.thorough


class Place:
    """A lake of the test's own beside the catalogue, and the assets on them."""

    def __init__(self, catalogue: Catalogue, root: Path, instance: dg.DagsterInstance) -> None:
        self.catalogue, self.instance = catalogue, instance
        self.settings = Settings(lakehouse_root=str(root / "lake"), landing_root=catalogue.landing)

    def materialize(
        self, asset: dg.AssetsDefinition = extracted, config: Mapping[str, Any] | None = None
    ) -> dg.ExecuteInProcessResult:
        resources = {**build_resources(self.settings), "catalogue_database": CatalogueDatabase(patience_seconds=0.1)}
        return dg.materialize(
            [asset],
            resources=resources,
            instance=self.instance,
            run_config={"ops": {asset.op.name: {"config": dict(config or {})}}},
            raise_on_error=False,
        )

    def errors(self, result: dg.ExecuteInProcessResult) -> list[str]:
        return [str(error) for error in step_errors(self.instance, result.run_id)]


@pytest.fixture
def place(catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    yield from _place(catalogue, tmp_path, monkeypatch)


@pytest.fixture
def place_of_a_server(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """The same, of a database of PostgreSQL's."""
    yield from _place(Catalogue(postgres.new_database(), tmp_path / "landing"), tmp_path, monkeypatch)


def _place(catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("CATALOGUE_DATABASE_URL", catalogue.url.get_secret_value())
    # What passes by itself is tried again at once.
    monkeypatch.setattr(shell, "FIRST_RETRY_SECONDS", 0.0)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Place(catalogue, tmp_path, instance)


def test_a_load_says_what_landed_of_each_table_and_a_full_refresh_lands_all_again(place: Place) -> None:
    place.catalogue.user(1, 0)
    place.catalogue.stream(1, 0)

    first, second = (figures(place.materialize()) for _ in range(2))
    again = figures(place.materialize(config={"full_refresh": True}))

    users = [said["landing/catalogue/DimUser"] for said in (first, second, again)]
    assert [(said["rows_read"], said["rows_inserted"], said["files"], said["full"]) for said in users] == [
        (1, 1, 1, True),
        (1, 0, 0, False),
        (1, 1, 1, True),
    ]
    assert set(first) == {
        f"landing/catalogue/{name}" for name in ("DimUser", "DimArtist", "DimTrack", "DimDate", "FactStream")
    }
    assert ExtractionConfig().full_refresh is False


def test_columns_that_were_added_or_lost_are_told_and_warned_of(place: Place) -> None:
    place.catalogue.user(1, 0)
    checked = outcomes(place.materialize())
    assert all(evaluation.passed for evaluation in checked.values())
    place.catalogue.run('ALTER TABLE "DimUser" ADD COLUMN email TEXT', 'ALTER TABLE "DimUser" DROP COLUMN country')

    result = place.materialize()

    said = figures(result)["landing/catalogue/DimUser"]
    assert (said["columns_added"], said["columns_lost"]) == ("email", "country")
    check = outcomes(result)["landing/catalogue/DimUser", "columns_unchanged"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["columns_lost"].value == "country"
    assert result.success


def test_without_a_database_one_line_says_how_to_make_one(place: Place, tmp_path: Path) -> None:
    (tmp_path / "catalogue.db").unlink()

    result = place.materialize()

    [error] = place.errors(result)
    assert not result.success
    assert error.count("\n") == 0
    assert f"there is no catalogue database {tmp_path}/catalogue.db" in error
    assert "`music-lakehouse simulate catalogue` makes one" in error
    assert not place.catalogue.landing.exists()


def test_a_database_without_the_tables_is_one_line_with_what_makes_them(place: Place) -> None:
    place.catalogue.run(*(f'DROP TABLE "{table.name}"' for table in SOURCE_TABLES.values()))

    [error] = place.errors(place.materialize())

    assert error.count("\n") == 0
    assert "has none of the tables DimUser, DimArtist" in error
    assert "`music-lakehouse simulate catalogue` makes and fills them" in error


def unreadable(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """By asset, what the check says of the tables that could not be read."""
    checked = {asset: e for (asset, name), e in outcomes(result).items() if name == "table_readable"}
    assert {e.severity for e in checked.values()} == {dg.AssetCheckSeverity.ERROR}
    return {asset: evaluation.description or "" for asset, evaluation in checked.items() if not evaluation.passed}


def retries(result: dg.ExecuteInProcessResult) -> int:
    return len([e for e in result.all_events if e.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY])


def test_a_table_that_cannot_be_read_is_an_error_of_its_own_and_the_others_go_on(place: Place) -> None:
    place.catalogue.stream(1, 0)
    place.catalogue.run('DROP TABLE "DimUser"', 'ALTER TABLE "DimTrack" RENAME COLUMN track_id TO id')

    result = place.materialize()

    assert result.success, "what is downstream goes on with the others"
    told = unreadable(result)
    assert set(told) == {"landing/catalogue/DimUser", "landing/catalogue/DimTrack"}
    assert "DimUser: the database has no table of this name" in told["landing/catalogue/DimUser"]
    assert "DimTrack: the table has no column track_id" in told["landing/catalogue/DimTrack"]
    assert figures(result)["landing/catalogue/FactStream"]["rows_inserted"] == 1
    assert retries(result) == 0, "to try again would be in vain"

    scanned_keys = place.materialize(scanned)

    assert scanned_keys.success
    assert set(unreadable(scanned_keys)) == {
        "landing/catalogue_key_scan/DimUser",
        "landing/catalogue_key_scan/DimTrack",
    }


def test_a_table_that_is_locked_in_the_middle_of_a_load_is_tried_again_and_the_others_go_on(
    place_of_a_server: Place, tmp_path: Path
) -> None:
    place, catalogue = place_of_a_server, place_of_a_server.catalogue
    catalogue.user(1, 0)
    catalogue.track(1, 0)
    catalogue.stream(1, 0)

    def locked(connection: sa.Connection) -> dg.ExecuteInProcessResult:
        connection.exec_driver_sql('LOCK TABLE "DimTrack" IN ACCESS EXCLUSIVE MODE')
        return place.materialize()

    result = catalogue.database.write("the test", locked)
    again = place.materialize()

    assert result.success
    assert retries(result) == shell.MOST_RETRIES
    assert "is locked by another program" in unreadable(result)["landing/catalogue/DimTrack"]
    assert figures(result)["landing/catalogue/FactStream"]["rows_inserted"] == 0, "landed by the first try"
    assert figures(again)["landing/catalogue/DimTrack"]["rows_inserted"] == 1
    assert unreadable(again) == {}
    assert [len(list((tmp_path / "landing").glob(f"catalogue/{name}/*"))) for name in ("DimUser", "FactStream")] == [
        1,
        1,
    ]


def test_a_database_that_is_locked_is_tried_again_and_nothing_is_lost(place: Place, tmp_path: Path) -> None:
    place.catalogue.user(1, 0)
    place.materialize()
    place.catalogue.user(2, 1)
    with closing(sqlite3.connect(tmp_path / "catalogue.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        result = place.materialize()
        other.execute("ROLLBACK")

    [error] = place.errors(result)
    assert "is locked by another program" in error
    assert retries(result) == shell.MOST_RETRIES
    assert figures(place.materialize())["landing/catalogue/DimUser"]["rows_inserted"] == 1


def test_a_server_that_is_down_is_tried_again_and_what_is_new_lands_when_it_is_up(
    postgres: Postgres, place_of_a_server: Place
) -> None:
    place = place_of_a_server
    place.catalogue.user(1, 0)
    postgres.stop()
    try:
        result = place.materialize()
    finally:
        postgres.start()
    again = figures(place.materialize())

    [error] = place.errors(result)
    assert "does not answer" in error
    assert retries(result) == shell.MOST_RETRIES
    assert again["landing/catalogue/DimUser"]["rows_inserted"] == 1


def test_while_another_run_holds_the_lake_nothing_lands(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.catalogue.user(1, 0)
    monkeypatch.setattr(shell, "MOST_RETRIES", 0)
    lock = LakeLock(place.settings.lake_uri)
    lock.acquire("run-17")
    resources = build_resources(place.settings)
    held = LakehouseResource(spark=resources["spark"], root=place.settings.lake_uri, lock_wait_seconds=0.1)
    try:
        result = dg.materialize(
            [extracted], resources={**resources, "lakehouse": held}, instance=place.instance, raise_on_error=False
        )
    finally:
        lock.release()

    [error] = place.errors(result)
    assert "run-17" in error
    assert not place.catalogue.landing.exists()


def test_a_scan_lands_what_the_lake_does_not_know_and_tells_of_a_table_that_is_empty(place: Place) -> None:
    place.catalogue.user(1, 0)
    place.catalogue.stream(1, 0)

    said = figures(place.materialize(scanned))

    assert said["landing/catalogue_key_scan/DimUser"] | {"duration_seconds": 0} == {
        "keys": 1,
        "rows_deleted": 0,
        "rows_updated": 1,
        "files": 1,
        "duration_seconds": 0,
    }


def test_of_a_lake_without_tables_nothing_is_known(tmp_path: Path) -> None:
    for name in ("catalogue_users", "catalogue_dates"):
        assert known_keys(LakePaths(str(tmp_path)), name).num_rows == 0
    assert at(0) == "2025-01-01 00:00:00.000"
