from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse_tests.cli.conftest import Command


@pytest.fixture
def stopped_after(place: Path) -> Iterator[EmbeddedBroker]:
    """The broker of the settings, which the test starts by the command."""
    settings = Settings()
    broker = EmbeddedBroker(place / "data" / "broker", int(settings.kafka_bootstrap_servers.rpartition(":")[2]))
    yield broker
    broker.stop()


@pytest.mark.kafka
def test_start_returns_once_topics_are_there_and_the_broker_outlives_it(
    process: Callable[..., subprocess.Popen[str]], command: Command, stopped_after: EmbeddedBroker
) -> None:
    starting = process("broker", "start")
    out, err = starting.communicate(timeout=120)

    assert starting.returncode == 0, err
    assert stopped_after.bootstrap_servers in out
    status = command("broker", "status")
    assert status.code == 0
    assert [line.split()[1:] for line in status.out.splitlines() if "_events" in line] == [["2", "0"]] * 4
    assert "runs already" in command("broker", "start").out

    assert "is stopped" in command("broker", "stop").out
    assert not stopped_after.is_running()
    again = command("broker", "stop")
    assert again.code == 0
    assert "No broker" in again.out


@pytest.mark.kafka
def test_reset_with_broker_stops_it_and_removes_its_messages(command: Command, stopped_after: EmbeddedBroker) -> None:
    command("broker", "start")

    ran = command("reset", "--broker", "--yes")

    assert ran.code == 0
    assert not stopped_after.is_running()
    assert not stopped_after.data.exists()


@pytest.mark.usefixtures("place")
def test_the_status_of_a_broker_that_is_down_is_one_line_and_exit_code_1(command: Command) -> None:
    ran = command("broker", "status")

    assert ran.code == 1
    assert "music-lakehouse broker start" in ran.error


@pytest.mark.parametrize("servers", ["kafka:9092", "127.0.0.1:9092,127.0.0.1:9093", "127.0.0.1", "[::1]:9092"])
def test_a_kafka_elsewhere_is_not_started_here(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch, servers: str
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", servers)

    for arguments in (("broker", "start"), ("broker", "stop"), ("reset", "--broker", "--yes")):
        ran = command(*arguments)
        assert ran.code == 1
        assert f"KAFKA_BOOTSTRAP_SERVERS is {servers}" in ran.error
    assert not (place / "data").exists()


@pytest.mark.usefixtures("place")
def test_a_security_protocol_is_not_for_the_embedded_broker(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")

    assert "KAFKA_SECURITY_PROTOCOL is SASL_SSL" in command("broker", "start").error
