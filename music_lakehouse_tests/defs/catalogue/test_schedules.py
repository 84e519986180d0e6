from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from music_lakehouse.defs.catalogue.schedules import catalogue_key_scan_schedule, catalogue_schedule
from music_lakehouse.lakehouse.locks import LakeLock
from music_lakehouse.resources.build import build_resources
from music_lakehouse.settings import Settings
from music_lakehouse_tests.defs.catalogue.databases import Catalogue
from music_lakehouse_tests.postgres import PASSWORD, Postgres

pytestmark = pytest.mark.thorough

SCHEDULES = [catalogue_schedule, catalogue_key_scan_schedule]


def tick(schedule: dg.ScheduleDefinition, place: Path) -> dg.RunRequest | dg.SkipReason:
    resources = build_resources(Settings(lakehouse_root=str(place / "lake")))
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_schedule_context(instance=instance, resources=resources) as context,
    ):
        result = schedule(context)
    assert isinstance(result, (dg.RunRequest, dg.SkipReason))
    return result


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.name)
def test_without_a_database_a_tick_says_how_to_make_one_and_asks_for_nothing(
    schedule: dg.ScheduleDefinition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATALOGUE_DATABASE_URL", f"sqlite:///{tmp_path}/catalogue.db")

    skipped = tick(schedule, tmp_path)

    assert isinstance(skipped, dg.SkipReason)
    assert "music-lakehouse simulate catalogue" in str(skipped.skip_message)
    (tmp_path / "catalogue.db").touch()
    skipped = tick(schedule, tmp_path)
    assert isinstance(skipped, dg.SkipReason)
    assert f"{tmp_path}/catalogue.db has none of the tables DimUser, DimArtist" in str(skipped.skip_message)
    assert "`music-lakehouse simulate catalogue` makes and fills them" in str(skipped.skip_message)
    catalogue = Catalogue(SecretStr(f"sqlite:///{tmp_path}/catalogue.db"), tmp_path)
    assert isinstance(tick(schedule, tmp_path), dg.RunRequest)
    catalogue.run('DROP TABLE "DimUser"')
    assert isinstance(tick(schedule, tmp_path), dg.RunRequest), "a run that fails says which table is lacking"


def test_a_server_without_the_tables_is_skipped_and_one_that_is_down_is_left_to_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres: Postgres
) -> None:
    url = postgres.new_database()
    monkeypatch.setenv("CATALOGUE_DATABASE_URL", url.get_secret_value())
    skipped = tick(catalogue_schedule, tmp_path)
    assert isinstance(skipped, dg.SkipReason)
    assert "has none of the tables" in str(skipped.skip_message)
    assert PASSWORD not in str(skipped.skip_message)
    postgres.stop()
    try:
        assert isinstance(tick(catalogue_schedule, tmp_path), dg.RunRequest), "which is tried again, and alerted of"
    finally:
        postgres.start()
    Catalogue(url, tmp_path)
    assert isinstance(tick(catalogue_schedule, tmp_path), dg.RunRequest)


def test_while_a_run_holds_the_lake_a_tick_asks_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "catalogue.db").touch()
    monkeypatch.setenv("CATALOGUE_DATABASE_URL", f"sqlite:///{tmp_path}/catalogue.db")
    lock = LakeLock(str(tmp_path / "lake"))
    lock.acquire("run-17")
    try:
        skipped = tick(catalogue_schedule, tmp_path)
    finally:
        lock.release()
    assert isinstance(skipped, dg.SkipReason)
    assert "run-17" in str(skipped.skip_message)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.name)
def test_a_url_that_makes_no_sense_is_said_without_its_password(
    schedule: dg.ScheduleDefinition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATALOGUE_DATABASE_URL", "postgresql://app:s3cret@host:port/name")

    skipped = tick(schedule, tmp_path)

    assert isinstance(skipped, dg.SkipReason)
    assert "CATALOGUE_DATABASE_URL" in str(skipped.skip_message)
    assert "s3cret" not in str(skipped.skip_message)
