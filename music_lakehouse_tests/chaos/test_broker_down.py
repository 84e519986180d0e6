"""The broker is not there, or goes away while it is read."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from pyspark.sql import SparkSession

from music_lakehouse.defs import shell
from music_lakehouse.lakehouse import kafka_access
from music_lakehouse.lakehouse.streaming import StreamReport, drain
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse_tests.chaos.lab import Lab

pytestmark = [pytest.mark.chaos, pytest.mark.spark, pytest.mark.kafka]

PAGE_VIEWS = "raw.page_view_events"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark gives a broker up after seconds, not half a minute, and the first retry is soon."""
    patient = kafka_access.spark_options
    haste = {
        "kafka.request.timeout.ms": "2000",
        "kafka.default.api.timeout.ms": "3000",
        "kafkaConsumer.pollTimeoutMs": "3000",
    }

    def impatient(settings: Settings) -> dict[str, str]:
        return {**patient(settings), **haste}

    monkeypatch.setattr(kafka_access, "spark_options", impatient)
    monkeypatch.setattr(shell, "FIRST_RETRY_SECONDS", 2.0)


@pytest.fixture
def lab(tmp_path: Path, mortal_broker: EmbeddedBroker, topic_prefix: str) -> Lab:
    """A lab on a broker of its own, which is not started."""
    return Lab(tmp_path, mortal_broker.bootstrap_servers, topic_prefix)


def kill(broker: EmbeddedBroker) -> None:
    process = psutil.Process(json.loads((broker.data / "broker.json").read_text())["pid"])
    process.kill()
    process.wait(10)


def test_a_broker_that_is_not_there_is_said_and_asked_again(
    lab: Lab, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "MOST_RETRIES", 1)

    result = lab.run_here(PAGE_VIEWS)

    assert len(result.retries) == 1
    assert len(result.errors) == 1
    assert f"no Kafka broker answers at {lab.settings.kafka_bootstrap_servers}" in result.errors[0]
    assert "\n" not in result.errors[0]


@pytest.mark.slow
def test_a_broker_that_comes_late_is_waited_for(lab: Lab, mortal_broker: EmbeddedBroker, spark: SparkSession) -> None:
    mortal_broker.start()
    lab.send(100, seed=1)
    mortal_broker.stop()
    threading.Timer(4, mortal_broker.start).start()

    result = lab.run_here(PAGE_VIEWS)

    assert result.success, result.errors
    assert result.retries
    assert lab.rows(PAGE_VIEWS) == sum(lab.topic("page_view_events").end_offsets.values())


@pytest.mark.timeout(1200)
def test_a_broker_killed_while_it_is_read_costs_retries_and_nothing_else(
    lab: Lab, mortal_broker: EmbeddedBroker, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    mortal_broker.start()
    lab.send(400, seed=1)
    assert lab.run_here(PAGE_VIEWS, max_messages_per_batch=50).success
    lab.send(400, seed=2)

    def kill_then_read(*args: Any) -> StreamReport:
        """The offsets were asked for, the messages not yet: Spark's consumer fetches far ahead of what it returns."""
        monkeypatch.setattr("music_lakehouse.lakehouse.kafka_ingest.drain", drain)
        kill(mortal_broker)
        threading.Timer(15, mortal_broker.start).start()
        return drain(*args)

    monkeypatch.setattr("music_lakehouse.lakehouse.kafka_ingest.drain", kill_then_read)

    result = lab.run_here(PAGE_VIEWS, max_messages_per_batch=50)

    assert result.success, result.errors
    assert result.retries
    assert all(lab.settings.kafka_bootstrap_servers in error for error in result.retries)
    assert all("Kafka broker" in error and "\n" not in error for error in result.retries)
    assert lab.run_here().success
    lab.compare()
