"""Checkpoints and positions are there to save work: without them the tables are the same."""

from __future__ import annotations

import shutil

import pytest
from pyspark.sql import SparkSession

from music_lakehouse_tests.chaos.lab import Lab

pytestmark = [pytest.mark.chaos, pytest.mark.spark, pytest.mark.kafka]

LISTENS = ("raw.listen_events", "bronze.listen_events")
LOSABLE = ("_checkpoints", "metrics.positions", "metrics.kafka_positions")


@pytest.mark.timeout(1200)
def test_without_its_checkpoints_and_positions_a_lake_goes_on_where_it_was(lab: Lab, spark: SparkSession) -> None:
    lab.send(500, seed=1)
    assert lab.run_here().success
    for seed, part in enumerate(("offsets", "commits", "metadata"), 2):
        lab.send(30, seed=seed)
        for found in lab.root.glob(f"_checkpoints/*/*/{part}"):
            shutil.rmtree(found) if found.is_dir() else found.unlink()
        assert lab.run_here(*LISTENS).success
    lab.send(100, seed=20)
    lab.forget(*LOSABLE)
    assert lab.run_here().success
    lab.compare()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_query_that_lost_its_newest_offsets_alone_skips_no_message(lab: Lab, spark: SparkSession) -> None:
    for seed, messages in enumerate((300, 30, 30), 1):
        lab.send(messages, seed=seed)
        assert lab.run_here(*LISTENS).success
    lost = [
        max(found.glob("[0-9]*"), key=lambda file: int(file.name))
        for found in lab.root.glob("_checkpoints/*/*/offsets")
    ]
    assert {file.name for file in lost} == {"2"}
    for file in lost:
        file.unlink()
        file.with_name(f".{file.name}.crc").unlink()
    lab.send(200, seed=20)
    assert lab.run_here().success
    lab.compare()


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_each_checkpoint_may_be_lost_by_itself(lab: Lab, spark: SparkSession) -> None:
    lab.write_reference()
    lab.send(500, seed=1)
    assert lab.run_here().success
    checkpoints = sorted(str(path.relative_to(lab.root)) for path in lab.root.glob("_checkpoints/*"))
    steps = sorted(str(path.relative_to(lab.root)) for path in lab.root.glob("metrics/positions/step=*"))
    assert len(checkpoints) == 8
    assert len(steps) > 10
    for seed, losable in enumerate([*checkpoints, "metrics.positions", "metrics.kafka_positions", "metrics"], 2):
        lab.send(50, seed=seed)
        lab.forget(losable)
        assert lab.run_here().success
        lab.compare()
