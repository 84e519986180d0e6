"""Continuous mode, killed with -9 anywhere: the next one makes it good, or it goes on by itself where only Spark's
process was killed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse_tests.chaos.lab import Lab, RunningPipeline, kill_at
from music_lakehouse_tests.chaos.runner import Fault
from music_lakehouse_tests.on_the_way import on_the_way

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(1200)]

KILLS = [
    Fault("append", "at_commit", "gold.fact_streams", victim="python"),
    Fault("parse_batch", "after", "bronze.listen_events"),
]


@pytest.fixture
def lab(tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str) -> Iterator[Lab]:
    lab = Lab(tmp_path, broker.bootstrap_servers, topic_prefix)
    lab.job = "continuous_pipeline"
    lab.write_reference()
    yield lab
    lab.end_runs()


def wait_until_gold_has_all(lab: Lab, run: RunningPipeline, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while on_the_way(lab.lake, lab.settings):
        assert run.process.poll() is None, run.result().output
        assert time.monotonic() < deadline, "gold lacks events"
        time.sleep(0.5)


def stop(run: RunningPipeline) -> None:
    """As Ctrl-C does; it ends in order."""
    run.process.send_signal(signal.SIGINT)
    result = run.result(120)
    assert result.success, result.errors


def test_killed_at_two_points_the_tables_are_those_of_the_oracle(lab: Lab) -> None:
    lab.send(400, seed=1)
    for number, fault in enumerate(KILLS):
        kill_at(lab, fault)
        lab.send(100, seed=10 + number)
    last = lab.start()
    wait_until_gold_has_all(lab, last)
    stop(last)
    lab.compare()


def test_spark_killed_between_micro_batches_the_run_goes_on_with_another(lab: Lab) -> None:
    lab.send(200, seed=1)
    run = lab.start(fault=Fault("append", "before", "gold.fact_streams", victim="jvm"))
    wait_until_gold_has_all(lab, run)
    lab.send(100, seed=2)
    wait_until_gold_has_all(lab, run)
    stop(run)
    lab.compare()
