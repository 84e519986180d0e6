"""The sensor of heart rates: another table of people brings a run too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from music_lakehouse.defs.heart_rate.assets import PEOPLE, RECORDINGS
from music_lakehouse.defs.heart_rate.sensors import heart_rate_files
from music_lakehouse.lakehouse.delta import TableState
from music_lakehouse.lakehouse.file_ingest import ingest_files
from music_lakehouse.lakehouse.files import file_digest
from music_lakehouse.lakehouse.positions import record_source_position
from music_lakehouse_tests.defs.file_sensors import SensedPlace, requested, skipped
from music_lakehouse_tests.defs.heart_rate.lakes import land, name_people, recording


class Place(SensedPlace):
    """A landing directory of recordings and the table of people."""

    def take(self) -> None:
        """As a run does, of which the sensor sees the ledger and the positions."""
        ingest_files(self.lake, RECORDINGS, self.landing)
        digest = file_digest(self.landing / "heart_rate" / PEOPLE.file_name)
        state = TableState(digest or "missing", 0)
        record_source_position(self.lake, PEOPLE.table.full_name, PEOPLE.file_name, state)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Place(tmp_path, instance, heart_rate_files)


def test_recordings_and_another_table_of_people_each_bring_a_run(place: Place) -> None:
    assert skipped(place.tick()) == "no new files"
    land(place.landing, "a.json", recording(1, 0))
    assert set(requested(place.tick()).tags) == {"files/heart_rate.recordings"}
    people = name_people(place.landing, "1,Anna Berg")
    both = requested(place.tick())
    assert set(both.tags) == {"files/heart_rate.recordings", "files/heart_rate.patient_info.csv"}
    place.take()
    assert skipped(place.tick()) == "no new files"
    name_people(place.landing, "1,Anna Lund")
    corrected = requested(place.tick())
    assert set(corrected.tags) == {"files/heart_rate.patient_info.csv"}
    assert corrected.run_key != both.run_key
    place.take()
    people.unlink()
    assert set(requested(place.tick()).tags) == {"files/heart_rate.patient_info.csv"}, "that it is gone is told once"
    place.take()
    assert skipped(place.tick()) == "no new files"
