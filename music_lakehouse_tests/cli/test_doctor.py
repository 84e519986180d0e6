from __future__ import annotations

from pathlib import Path

import pytest

from music_lakehouse.lakehouse.locks import LakeLock
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse_tests.cli.conftest import Command, Ran


def line(ran: Ran, part: str) -> str:
    [found] = [text for text in ran.out.splitlines() if text.strip().startswith(f"{part} ")]
    return " ".join(found.split())


@pytest.mark.usefixtures("place")
def test_a_broker_that_is_down_is_missing_and_the_remedy_is_named(command: Command) -> None:
    ran = command("doctor")

    assert ran.code == 1
    assert line(ran, "broker").endswith("music-lakehouse broker start")
    assert "Missing: broker" in ran.out
    assert line(ran, "Java").startswith("Java ok")


@pytest.mark.kafka
@pytest.mark.usefixtures("own_topics")
def test_where_all_is_there_the_exit_code_is_0(
    command: Command, broker: EmbeddedBroker, lake: Path, topic_prefix: str
) -> None:
    missing_topics = command("doctor")
    broker.create_topics([f"{topic_prefix}{name}_events" for name in ("listen", "page_view", "auth", "status_change")])
    ran = command("doctor")

    assert missing_topics.code == 0
    assert line(missing_topics, "broker").startswith("broker warning")
    assert ran.code == 0
    assert "all 4 topics are there" in line(ran, "broker")
    assert f"{lake}, 3 tables" in line(ran, "lake")


@pytest.mark.usefixtures("place")
def test_no_java_is_missing_with_the_commands_that_install_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", "/nowhere")

    java = line(command("doctor"), "Java")

    assert java.startswith("Java missing No Java in JAVA_HOME (/nowhere)")
    assert "apt-get install openjdk-17" in java


def test_a_lake_that_cannot_be_written_is_missing(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "file").write_text("")
    monkeypatch.setenv("LAKEHOUSE_ROOT", str(place / "file" / "lake"))

    ran = command("doctor")

    assert ran.code == 1
    assert line(ran, "lake").startswith("lake missing")
    assert line(ran, "lake").endswith("set LAKEHOUSE_ROOT")


def test_who_holds_the_lake_is_named(command: Command, lake: Path) -> None:
    free = line(command("doctor"), "lock")
    lock = LakeLock(str(lake))
    lock.acquire("run-17")
    held = line(command("doctor"), "lock")
    lock.release()

    assert "free" in free
    assert "held by run run-17" in held


@pytest.mark.usefixtures("place")
def test_a_relative_home_of_dagster_is_warned_of(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "home")

    assert line(command("doctor"), "Dagster").startswith("Dagster warning home is relative")
