from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from music_lakehouse.lakehouse.kafka import describe_topics
from music_lakehouse.settings import TOPICS, Settings
from music_lakehouse_tests.cli.conftest import Command


@pytest.fixture
def topics(own_topics: None) -> Callable[[], dict[str, int]]:
    """Gives the messages that each of the test's own topics holds."""
    del own_topics

    def counts() -> dict[str, int]:
        settings = Settings()
        found = describe_topics(settings, settings.topics.values())
        return {
            event: sum(end - first for first, end in found[name].offsets.values())
            for event, name in settings.topics.items()
            if name in found
        }

    return counts


def events(directory: Path, topic: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / f"{topic}.jsonl").read_text().splitlines()]


def test_events_go_to_files_and_end_about_now(command: Command, place: Path) -> None:
    ran = command("simulate", "--events", "2000", "--to", "out")

    assert ran.code == 0
    views = events(place / "out", "page_view_events")
    assert len(views) == 2000
    assert "2,000 events in" in ran.out
    now = datetime.now(timezone.utc).timestamp() * 1000
    assert now - 7.1 * 86_400_000 < min(view["ts"] for view in views)
    assert max(view["ts"] for view in views) <= now


def test_the_same_seed_and_start_give_the_same_bytes(command: Command, place: Path) -> None:
    line = ("simulate", "--users", "100", "--days", "7", "--start", "2024-03-01", "--dirty", "0.1", "--seed")
    for seed, directory in (("7", "a"), ("7", "b"), ("8", "c")):
        assert command(*line, seed, "--to", directory).code == 0

    def written(directory: str) -> list[bytes]:
        return [(place / directory / f"{topic}.jsonl").read_bytes() for topic in TOPICS]

    assert written("a") == written("b") != written("c")


def test_reference_files_are_written_where_they_are_missing_and_corrections_stay(command: Command, place: Path) -> None:
    first = command("simulate", "--events", "10", "--to", "out")
    (place / "data" / "reference" / "state_codes.csv").write_text("stateCode,stateName\nCA,Corrected\n")
    second = command("simulate", "--events", "10", "--to", "out")

    assert "songs.csv" in first.err
    assert "state_codes.csv" not in second.err
    assert "Corrected" in (place / "data" / "reference" / "state_codes.csv").read_text()


@pytest.mark.usefixtures("place")
def test_fewer_events_than_asked_for_are_said(command: Command) -> None:
    ran = command("simulate", "--events", "1000", "--users", "2", "--days", "1", "--to", "out")

    assert ran.code == 0
    assert "2 users made no more events in 1 days: give more of either" in ran.out


@pytest.mark.usefixtures("place")
def test_without_a_broker_there_is_one_line_with_the_remedy(command: Command) -> None:
    ran = command("simulate", "--days", "1")

    assert ran.code == 1
    assert "music-lakehouse broker start" in ran.error


@pytest.mark.kafka
def test_events_go_to_kafka_and_the_summary_tells_the_messages(
    command: Command, topics: Callable[[], dict[str, int]], topic_prefix: str
) -> None:
    ran = command("simulate", "--users", "50", "--days", "2", "--dirty", "0.05")

    assert ran.code == 0
    for event, count in topics().items():
        [line] = [line for line in ran.out.splitlines() if f"{topic_prefix}{event}" in line]
        assert line.split()[1] == f"{count:,}"
    assert topics()["page_view_events"] > 50


@pytest.mark.kafka
def test_live_events_come_at_the_rate_until_ctrl_c_and_are_counted(
    process: Callable[..., subprocess.Popen[str]], topics: Callable[[], dict[str, int]]
) -> None:
    running = process("simulate", "--live", "50")
    deadline = time.monotonic() + 60
    while topics().get("page_view_events", 0) < 50 and time.monotonic() < deadline:
        time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)

    assert running.returncode == 0, err
    sent = topics()["page_view_events"]
    assert 50 <= sent < 2000
    assert f"of {sent:,} events" in out


@pytest.mark.kafka
def test_recorded_files_are_replayed_as_they_are(command: Command, topics: Callable[[], dict[str, int]]) -> None:
    command("simulate", "--events", "500", "--dirty", "0.1", "--to", "recording")

    ran = command("replay", "recording")

    assert ran.code == 0
    files = {topic: Path("recording", f"{topic}.jsonl") for topic in TOPICS}
    lines = {topic: len(f.read_bytes().splitlines()) if f.exists() else 0 for topic, f in files.items()}
    assert sum(lines.values()) > 500
    assert topics() == lines
