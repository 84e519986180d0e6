"""The broker is not there, or goes away while it is read."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import psutil
import pytest
from pyspark.sql import SparkSession

from music_lakehouse.defs import shell
from music_lakehouse.lakehouse import kafka
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse_tests.chaos.lab import Lab

pytestmark = [pytest.mark.chaos, pytest.mark.spark, pytest.mark.kafka]

PAGE_VIEWS = "raw.page_view_events"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark gives a broker up after seconds, not half a minute, and the first retry is soon."""
    patient = kafka.spark_options
    haste = {
        "kafka.request.timeout.ms": "2000",
        "kafka.default.api.timeout.ms": "3000",
        "kafkaConsumer.pollTimeoutMs": "3000",
        # And doesn't fetch ahead, so that it needs the broker to the end.
        "kafka.max.partition.fetch.bytes": "8192",
    }

    def impatient(settings: Settings) -> dict[str, str]:
        return {**patient(settings), **haste}

    monkeypatch.setattr(kafka, "spark_options", impatient)
    monkeypatch.setattr(shell, "FIRST_RETRY_SECONDS", 2.0)


@pytest.fixture
def lab(tmp_path: Path, mortal_broker: EmbeddedBroker, topic_prefix: str) -> Lab:
    """A lab on a broker of its own, which is not started."""
    return Lab(tmp_path, mortal_broker.bootstrap_servers, topic_prefix)


def kill(broker: EmbeddedBroker) -> None:
    process = psutil.Process(json.loads((broker.data / "broker.json").read_text())["pid"])
    process.kill()
    process.wait(10)


class Outage(threading.Thread):
    """Kills the broker once the raw table has so many versions, and starts it again after so many seconds."""

    def __init__(self, lab: Lab, broker: EmbeddedBroker, *, versions: int, seconds: float) -> None:
        super().__init__(daemon=True)
        self._log = lab.root / "raw" / "page_view_events" / "_delta_log"
        self._broker = broker
        self._versions = versions
        self._seconds = seconds

    def run(self) -> None:
        while len(list(self._log.glob("*.json"))) < self._versions:
            time.sleep(0.01)
        kill(self._broker)
        time.sleep(self._seconds)
        self._broker.start()


def test_a_broker_that_is_not_there_is_said_and_asked_again(
    lab: Lab, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "MOST_RETRIES", 1)

    result = lab.run_here(PAGE_VIEWS)

    assert len(result.retries) == 1
    assert len(result.errors) == 1
    assert f"no Kafka broker answers at {lab.settings.kafka_bootstrap_servers}" in result.errors[0]
    assert "\n" not in result.errors[0]


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
    lab: Lab, mortal_broker: EmbeddedBroker, spark: SparkSession
) -> None:
    mortal_broker.start()
    # What one request sent is fetched at once, so that one alone would all be there before the broker is killed.
    for seed in range(8):
        lab.send(100, seed=seed)
    outage = Outage(lab, mortal_broker, versions=6, seconds=15)
    outage.start()

    result = lab.run_here(PAGE_VIEWS, max_messages_per_batch=20)

    outage.join(60)
    assert result.success, result.errors
    assert (
        f"the Kafka broker at {lab.settings.kafka_bootstrap_servers} went away while it was read" in result.retries[0]
    )
    assert all("\n" not in error for error in result.retries)
    assert lab.run_here().success
    lab.compare()
