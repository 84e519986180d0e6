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
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse_tests.chaos.lab import Lab

pytestmark = [pytest.mark.chaos, pytest.mark.spark, pytest.mark.kafka]

RAW = ("raw.listen_events", "raw.page_view_events", "raw.auth_events", "raw.status_change_events")


@pytest.fixture(autouse=True)
def _soon_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "FIRST_RETRY_SECONDS", 0.5)


def kill(broker: EmbeddedBroker) -> None:
    process = psutil.Process(json.loads((broker.data / "broker.json").read_text())["pid"])
    process.kill()
    process.wait(10)


@pytest.fixture
def lab(tmp_path: Path, mortal_broker: EmbeddedBroker, topic_prefix: str) -> Lab:
    """A lab on a broker of its own."""
    return Lab(tmp_path, mortal_broker.bootstrap_servers, topic_prefix)


def test_a_broker_killed_while_it_is_read_costs_a_retry_and_nothing_else(
    lab: Lab, mortal_broker: EmbeddedBroker, spark: SparkSession
) -> None:
    mortal_broker.start()
    lab.send(600, seed=1)

    def kill_when_half_is_read() -> None:
        while len(list(lab.root.glob("raw/page_view_events/_delta_log/*.json"))) < 8:
            time.sleep(0.01)
        kill(mortal_broker)
        time.sleep(3)
        mortal_broker.start()

    killer = threading.Thread(target=kill_when_half_is_read, daemon=True)
    killer.start()
    t = time.time()
    result = lab.run_here("raw.page_view_events", max_messages_per_batch=20)
    print(time.time() - t, result)
    killer.join(60)
    assert result.success, result.errors
    t = time.time()
    lab.run_here()
    print(time.time() - t)
    lab.compare()
