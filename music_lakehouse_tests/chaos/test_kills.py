"""A run that is killed with -9, anywhere and any part of it, is made good by the next one."""

from __future__ import annotations

import random
import time
from pathlib import Path

import psutil
import pytest
from pyspark.sql import SparkSession

from music_lakehouse.defs.listening.tables import BRONZE, RAW
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.repair import write_anew
from music_lakehouse_tests.chaos.lab import Lab, kill_at
from music_lakehouse_tests.chaos.runner import Fault

pytestmark = [pytest.mark.chaos, pytest.mark.spark, pytest.mark.kafka]

# In the order in which a run comes to them, so that each kill has the work of the runs before it behind it.
IN_A_FIRST_LOAD = [Fault("parse_batch", "after", "bronze.page_view_events", victim="python")]
IN_AN_INCREMENT = [
    Fault("ingest_batches", "at_commit", "raw.listen_events"),
    Fault("merge", "during", "silver.dim_users", milliseconds=300, victim="jvm"),
]
# The full suite's.
EVERYWHERE_IN_A_FIRST_LOAD = [
    Fault("create", "after", "raw.listen_events"),
    Fault("ingest_batches", "before", "raw.listen_events"),
    Fault("ingest_batches", "at_commit", "raw.listen_events", victim="jvm"),
    Fault("ingest_batches", "after", "raw.page_view_events", victim="python"),
    Fault("record_read_up_to", "after", "raw.auth_events"),
    Fault("append", "before", "bronze.listen_events"),
    Fault("append", "during", "bronze.listen_events", milliseconds=200, victim="jvm"),
    Fault("append", "at_commit", "bronze.listen_events"),
    Fault("append", "before", "bronze.quarantine"),
    Fault("append", "after", "bronze.quarantine", victim="python"),
    Fault("parse_batch", "after", "bronze.page_view_events"),
    Fault("append", "after", "silver.dim_users"),
    Fault("record_positions", "before", "silver.dim_songs", victim="jvm"),
    Fault("append", "before", "gold.fact_streams", victim="python"),
    Fault("append", "at_commit", "gold.fact_streams"),
    Fault("append", "after", "gold.wide_streams"),
    Fault("record_positions", "after", "gold.artist_popularity"),
]
EVERYWHERE_IN_AN_INCREMENT = [
    Fault("ingest_batches", "at_commit", "raw.listen_events"),
    Fault("append", "before", "bronze.quarantine", call=2, victim="jvm"),
    Fault("merge", "before", "silver.dim_users"),
    Fault("merge", "during", "silver.dim_users", milliseconds=300),
    Fault("merge", "at_commit", "silver.dim_users", victim="python"),
    Fault("record_positions", "before", "silver.user_profiles"),
    Fault("merge", "at_commit", "silver.user_sessions", victim="jvm"),
    Fault("record_positions", "before", "gold.fact_streams"),
    # The summaries by day get new rows only: the names are others with each seed.
    Fault("merge", "during", "gold.artist_popularity", milliseconds=100, victim="python"),
    Fault("merge", "at_commit", "gold.artist_popularity"),
]
# What Spark writes where rows are many, killed between the first file of it and its commit.
OF_MANY_ROWS_IN_A_FIRST_LOAD = [
    Fault("parse_many", "at_file", "bronze.listen_events", many=True),
    Fault("parse_many", "at_file", "bronze.auth_events", victim="jvm", many=True),
    Fault("append", "at_file", "bronze.quarantine", many=True),
    Fault("append", "at_file", "silver.dim_users", victim="jvm", many=True),
    Fault("append", "at_file", "gold.wide_streams", many=True),
]
OF_MANY_ROWS_IN_AN_INCREMENT = [
    Fault("parse_many", "at_file", "bronze.page_view_events", many=True),
    Fault("merge_many", "at_file", "silver.dim_users", victim="jvm", many=True),
    # Not user_sessions: with some seeds an increment only adds sessions.
    Fault("merge_many", "at_file", "silver.user_profiles", many=True),
    Fault("merge_many", "at_commit", "silver.user_profiles", victim="python", many=True),
    Fault("merge_many", "at_file", "gold.artist_popularity", victim="jvm", many=True),
]
OF_MANY_ROWS_WRITTEN_ANEW = [
    Fault("replace", "at_file", "bronze.listen_events", many=True),
    Fault("replace", "at_file", "bronze.quarantine", victim="jvm", many=True),
    Fault("replace", "at_file", "silver.dim_users", many=True),
    Fault("replace", "at_file", "gold.fact_streams", victim="jvm", many=True),
]
# What is too long to be held, and so computed as it is written.
LONG_IN_A_FIRST_LOAD = [
    Fault("write_batches", "before", "silver.user_sessions", long=True),
    Fault("write_batches", "at_batch", "gold.fact_streams", victim="python", long=True),
    Fault("write_batches", "at_batch", "gold.wide_streams", long=True),
    Fault("write_batches", "at_commit", "gold.wide_streams", long=True),
]
LONG_WRITTEN_ANEW = [
    Fault("write_batches", "at_batch", "gold.fact_streams", long=True),
    Fault("write_batches", "at_batch", "gold.wide_streams", victim="python", long=True),
    Fault("write_batches", "at_commit", "gold.wide_streams", long=True),
]


def lab_after(lab: Lab, first_load: list[Fault], increment: list[Fault], *, events: int = 800) -> None:
    """Load under kills, and then an increment under kills, each time with a clean run at the end, which needs no
    process of its own and gives what the oracle says. Before each run more messages come: tables of a stage are kept
    side by side, and what a killed run had done by then varies."""
    lab.write_reference()
    lab.send(events, seed=1)
    for number, fault in enumerate(first_load):
        lab.send(100, seed=10 + number)
        kill_at(lab, fault)
    assert lab.run_here().success
    lab.compare()
    lab.send(300, seed=2)
    for number, fault in enumerate(increment):
        lab.send(100, seed=100 + number)
        kill_at(lab, fault)
    assert lab.run_here().success
    lab.compare()


def written_anew(lab: Lab, faults: list[Fault]) -> None:
    """Write the tables behind one of bronze anew under kills, and in a clean run at the end."""
    write_anew(lab.lake, [BRONZE["listen_events"].full_name])
    for fault in faults:
        kill_at(lab, fault)
    assert lab.run_here().success
    lab.compare()


def test_a_table_whose_creation_was_killed_before_its_commit_is_created_again(lake: Lake) -> None:
    table = RAW["auth_events"]
    log = Path(lake.path(table)) / "_delta_log"
    log.mkdir(parents=True)
    (log / ".00000000000000000000.json.81c3.tmp").touch()

    assert lake.create(table)

    found = delta.open_table(lake.path(table))
    assert found is not None
    assert found.metadata().configuration["delta.enableChangeDataFeed"] == "true"
    assert not lake.create(table)


@pytest.mark.timeout(1800)
def test_killed_at_three_points_the_tables_are_those_of_the_oracle(lab: Lab, spark: SparkSession) -> None:
    lab_after(lab, IN_A_FIRST_LOAD, IN_AN_INCREMENT)


@pytest.mark.slow
@pytest.mark.timeout(6000)
def test_killed_at_every_point_the_tables_are_those_of_the_oracle(lab: Lab, spark: SparkSession) -> None:
    lab_after(lab, EVERYWHERE_IN_A_FIRST_LOAD, EVERYWHERE_IN_AN_INCREMENT)


@pytest.mark.slow
@pytest.mark.timeout(6000)
def test_killed_amid_what_spark_writes_of_many_rows_the_tables_are_those_of_the_oracle(
    lab: Lab, spark: SparkSession
) -> None:
    lab_after(lab, OF_MANY_ROWS_IN_A_FIRST_LOAD, OF_MANY_ROWS_IN_AN_INCREMENT)
    written_anew(lab, OF_MANY_ROWS_WRITTEN_ANEW)


@pytest.mark.slow
@pytest.mark.timeout(6000)
def test_killed_amid_what_is_computed_as_it_is_written_the_tables_are_those_of_the_oracle(
    lab: Lab, spark: SparkSession
) -> None:
    lab_after(lab, LONG_IN_A_FIRST_LOAD, [], events=6000)
    written_anew(lab, LONG_WRITTEN_ANEW)


@pytest.mark.slow
@pytest.mark.timeout(6000)
@pytest.mark.parametrize("number", range(3))
def test_killed_at_random_times_the_tables_are_those_of_the_oracle(lab: Lab, seed: int, number: int) -> None:
    """Ten runs, each killed between its start and half a minute later: the whole group, Python alone, or the JVM."""
    random_source = random.Random(f"{seed} {number}")
    print(f"--seed {seed}, number {number}")
    lab.write_reference()
    for kill in range(10):
        lab.send(100, seed=kill)
        run = lab.start()
        time.sleep(random_source.uniform(4, 30))
        victims = {
            "group": [psutil.Process(run.process.pid), *psutil.Process(run.process.pid).children(recursive=True)],
            "python": [psutil.Process(run.process.pid)],
            "jvm": [p for p in psutil.Process(run.process.pid).children(recursive=True) if "java" in p.name()],
        }[random_source.choice(["group", "python", "jvm"])]
        for victim in victims:
            if victim.is_running():
                victim.kill()
        run.result()
    last = lab.run()
    assert last.success, last.errors
    lab.compare()
