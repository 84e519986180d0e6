"""The sensor of landed files: what is asked for, and when it isn't."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from music_lakehouse.defs import triggers
from music_lakehouse.defs.customers.assets import SOURCES
from music_lakehouse.defs.customers.sensors import customers_files
from music_lakehouse.lakehouse.file_ingest import ingest_files
from music_lakehouse.lakehouse.locks import LakeLock
from music_lakehouse_tests.defs.file_sensors import SensedPlace, requested, skipped
from music_lakehouse_tests.oracle.customers.examples import customer, land, order

JOB = "customers_pipeline"


class Place(SensedPlace):
    """A landing directory of customers' files."""

    def take(self) -> None:
        """As a run does."""
        for source in SOURCES.values():
            ingest_files(self.lake, source, self.landing)

    def end_run(self, request: dg.RunRequest, status: dg.DagsterRunStatus, number: int) -> None:
        self.instance.add_run(
            dg.DagsterRun(
                job_name=JOB, run_id=f"{number}0000000-0000-4000-8000-000000000000", status=status, tags=request.tags
            )
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Place(tmp_path, instance, customers_files)


def test_a_run_is_asked_for_once_for_files_that_the_lake_lacks(place: Place) -> None:
    assert skipped(place.tick()) == "no new files"
    land(place.landing, "customer", "a.csv", 0, customer(1))
    first = requested(place.tick())
    assert set(first.tags) == {"files/customers.customer"}
    assert requested(place.tick()).run_key == first.run_key
    land(place.landing, "orders", "a.csv", 0, order(1, 1))
    assert requested(place.tick()).run_key != first.run_key
    place.take()
    assert skipped(place.tick()) == "no new files"


def test_a_file_that_grew_after_it_was_read_brings_one_run_that_reports_it(place: Place) -> None:
    land(place.landing, "customer", "a.csv", 0, customer(1))
    place.take()
    land(place.landing, "customer", "a.csv", 0, customer(1), customer(2))
    requested(place.tick())
    place.take()
    assert skipped(place.tick()) == "no new files"


def test_after_a_run_that_failed_the_next_one_waits_and_has_a_key_of_its_own(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(place.landing, "customer", "a.csv", 0, customer(1))
    first = requested(place.tick())
    place.end_run(first, dg.DagsterRunStatus.FAILURE, 1)
    assert "1 new in customers/customer; attempt 2 in" in skipped(place.tick())
    monkeypatch.setattr(triggers, "FIRST_WAIT_SECONDS", 0.0)
    again = requested(place.tick())
    assert again.tags == first.tags
    assert again.run_key != first.run_key


def test_while_another_run_holds_the_lake_nothing_is_asked_for(place: Place) -> None:
    land(place.landing, "customer", "a.csv", 0, customer(1))
    lock = LakeLock(place.settings.lake_uri)
    lock.acquire("run-17")
    try:
        assert skipped(place.tick()) == "run run-17 holds the lake"
    finally:
        lock.release()
    requested(place.tick())
