"""The sensor of heart rates: another table of people brings a run too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import dagster as dg
import pytest
from pyspark.sql import SparkSession

from music_lakehouse.definitions import defs
from music_lakehouse.defs.heart_rate.assets import PEOPLE, RECORDINGS
from music_lakehouse.defs.heart_rate.sensors import heart_rate_files
from music_lakehouse.lakehouse.changes import record_source_position
from music_lakehouse.lakehouse.delta import TableState
from music_lakehouse.lakehouse.file_ingest import ingest_files
from music_lakehouse.lakehouse.files import file_digest
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.resources.build import build_resources
from music_lakehouse.settings import Settings
from music_lakehouse_tests.defs.heart_rate.lakes import land, name_people, recording


class Place:
    """A lake without Spark and a landing directory, and the sensor on them."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.instance, self.landing = instance, root / "landing"
        self.settings = Settings(lakehouse_root=str(root / "lake"), landing_root=self.landing)

    def tick(self) -> dg.RunRequest | dg.SkipReason:
        with dg.build_sensor_context(
            self.instance, resources=build_resources(self.settings), repository_def=defs.get_repository_def()
        ) as context:
            result = heart_rate_files(context)
        assert isinstance(result, (dg.RunRequest, dg.SkipReason))
        return result

    def take(self) -> None:
        """As a run does, of which the sensor sees the ledger and the positions."""
        lake = Lake(self.settings.lake_uri, cast(SparkSession, None))
        ingest_files(lake, RECORDINGS, self.landing)
        digest = file_digest(self.landing / "heart_rate" / PEOPLE.file_name)
        record_source_position(lake, PEOPLE.table.full_name, PEOPLE.file_name, TableState(digest or "missing", 0))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Place(tmp_path, instance)


def requested(result: dg.RunRequest | dg.SkipReason) -> dg.RunRequest:
    assert isinstance(result, dg.RunRequest), result
    return result


def is_quiet(result: dg.RunRequest | dg.SkipReason) -> bool:
    return isinstance(result, dg.SkipReason) and result.skip_message == "no new files"


def test_recordings_and_another_table_of_people_each_bring_a_run(place: Place) -> None:
    assert is_quiet(place.tick())
    land(place.landing, "a.json", recording(1, 0))
    assert set(requested(place.tick()).tags) == {"files/heart_rate.recordings"}
    people = name_people(place.landing, "1,Anna Berg")
    both = requested(place.tick())
    assert set(both.tags) == {"files/heart_rate.recordings", "files/heart_rate.patient_info.csv"}
    place.take()
    assert is_quiet(place.tick())
    name_people(place.landing, "1,Anna Lund")
    corrected = requested(place.tick())
    assert set(corrected.tags) == {"files/heart_rate.patient_info.csv"}
    assert corrected.run_key != both.run_key
    place.take()
    people.unlink()
    assert set(requested(place.tick()).tags) == {"files/heart_rate.patient_info.csv"}, "that it is gone is told once"
    place.take()
    assert is_quiet(place.tick())
