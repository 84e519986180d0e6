"""A lab a test, and a broker that may be killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from music_lakehouse.simulator.broker import EmbeddedBroker, free_port
from music_lakehouse_tests.chaos.lab import Lab


@pytest.fixture
def lab(tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str) -> Iterator[Lab]:
    """A lake, and topics of its own on the shared broker."""
    lab = Lab(tmp_path, broker.bootstrap_servers, topic_prefix)
    yield lab
    lab.end_runs()


@pytest.fixture
def mortal_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker for one test, not started, which may be killed."""
    broker = EmbeddedBroker(tmp_path / "broker", free_port(), heap="256m")
    yield broker
    broker.stop()
