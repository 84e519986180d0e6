"""The daily summaries computed again by day, in process."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from pyspark.sql import SparkSession

from music_lakehouse.definitions import build_definitions, defs
from music_lakehouse.defs.listening.backfill import daily_summaries
from music_lakehouse.defs.listening.catalog import TABLES
from music_lakehouse.defs.listening.steps.summaries import DAILY
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.resources.build import build_resources
from music_lakehouse.settings import Settings
from music_lakehouse_tests.defs.listening.small_lakes import sound_tables, write, write_all
from music_lakehouse_tests.oracle.lake import read_table
from music_lakehouse_tests.oracle.values import Row, Tables

FIRST, SECOND, THIRD, EMPTY = "2023-11-15", "2023-11-16", "2023-11-17", "2023-11-18"


class Place:
    """A lake whose summaries were spoilt: a row too many on an empty day, a wrong figure and a missing row."""

    def __init__(self, directory: Path) -> None:
        self.settings = Settings(lakehouse_root=str(directory / "lake"), reference_root=directory)
        self.lake = LakePaths(self.settings.lake_uri)
        self.tables: Tables = sound_tables(directory)
        write_all(self.lake, self.tables)
        for table in DAILY:
            rows = [dict(row) for row in self.tables[table.full_name]]
            stale = {**rows[0], "date_part": rows[0]["date_part"].fromisoformat(EMPTY)}
            write(self.lake, table, [{**row, "unique_songs": 99} for row in rows if str(row["date_part"]) != SECOND])
            write(self.lake, table, [stale], mode="append")

    def run(self, **chosen: object) -> dg.ExecuteInProcessResult:
        job = build_definitions(self.settings).resolve_job_def("daily_summaries_backfill")
        return job.execute_in_process(**chosen)  # type: ignore[arg-type]

    def rows(self, *days: str) -> dict[str, list[Row]]:
        return {t.full_name: of_days(read_table(self.lake.root, t.full_name), days) for t in DAILY}

    def right(self, *days: str) -> dict[str, list[Row]]:
        return {t.full_name: of_days(self.tables[t.full_name], days) for t in DAILY}


def of_days(rows: list[Row], days: tuple[str, ...]) -> list[Row]:
    of_them = [{key: row[key] for key in sorted(row)} for row in rows if str(row["date_part"]) in days]
    return sorted(of_them, key=str)


@pytest.fixture
def place(spark: SparkSession, tmp_path: Path) -> Place:
    del spark  # The resource takes the session that is there.
    return Place(tmp_path)


@pytest.mark.spark
def test_chosen_days_are_computed_again_and_others_stay(place: Place) -> None:
    assert {TABLES[table.full_name] for table in DAILY} == set(DAILY)

    assert place.run(partition_key=FIRST, raise_on_error=False).success is False, "the other days are still wrong"
    assert place.rows(FIRST) == place.right(FIRST) != place.right()
    assert place.rows(SECOND) == place.right(), "nobody chose it"

    resources = build_resources(place.settings)
    tags = {"dagster/asset_partition_range_start": SECOND, "dagster/asset_partition_range_end": EMPTY}
    done = dg.materialize([daily_summaries], resources=resources, tags=tags)

    assert done.success
    days = (FIRST, SECOND, THIRD, EMPTY)
    assert place.rows(*days) == place.right(*days)
    assert place.rows(EMPTY) == {table.full_name: [] for table in DAILY}
    [materialization] = done.asset_materializations_for_node("daily_summaries")[:1]
    assert materialization.metadata["daily_user_summary/rows_deleted"].value == 1
    versions = [place.lake.state(table) for table in DAILY]
    assert place.run(partition_key=SECOND).success
    assert [place.lake.state(table) for table in DAILY] == versions, "where nothing differs, nothing is written"


def test_a_backfill_is_one_run_and_the_pipeline_has_no_partitions() -> None:
    assert daily_summaries.backfill_policy == dg.BackfillPolicy.single_run()
    pipeline = defs.resolve_job_def("streaming_pipeline")
    assert pipeline.partitions_def is None
    assert daily_summaries.key not in pipeline.asset_layer.executable_asset_keys
