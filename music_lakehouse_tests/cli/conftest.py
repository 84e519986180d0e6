"""A command line of its own for each test: settings in a temporary directory, exit code and output as values."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from music_lakehouse.cli.main import main
from music_lakehouse.simulator.broker import EmbeddedBroker, free_port

Arguments = list[str]


@dataclass(frozen=True)
class Ran:
    """What a command line gave."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of error. There must be exactly one."""
        lines = [line for line in self.err.splitlines() if line.startswith("Error:")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


Command = Callable[..., Ran]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in which the command works: all settings at their defaults, but for a port where nothing listens."""
    # Commands put DAGSTER_HOME into the environment; only what was set here is taken back.
    monkeypatch.setenv("DAGSTER_HOME", "")
    for name in (
        "LAKEHOUSE_ROOT",
        "REFERENCE_ROOT",
        "BROKER_DATA",
        "DAGSTER_HOME",
        "KAFKA_TOPIC_PREFIX",
        "LANDING_ROOT",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(place: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command line in this process."""

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        code = main(arguments)
        return Ran(code, *capfd.readouterr())

    return run


@pytest.fixture
def process(place: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a command line in a process of its own."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "music_lakehouse.cli.main", *arguments],
            cwd=place,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def own_topics(place: Path, broker: EmbeddedBroker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in that directory mean the broker, and topics of it that are the test's own: those with the prefix."""
    del place
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", topic_prefix)


def processor_seconds() -> float:
    """The processor's time of the processes that have ended: unlike the clock, it doesn't depend on what else runs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture
def lake(place: Path) -> Path:
    """A small lake in the default place: silver.dim_users, gold.fact_streams (partitioned by day) and a table of
    metrics."""
    root = place / "data" / "lakehouse"
    open_end = datetime(9999, 12, 31, tzinfo=timezone.utc)
    moment = pa.timestamp("us", tz="UTC")
    users = pa.table(
        {
            "userId": [1, 2, 3],
            "firstName": ["Zoë", "Ann", None],
            "row_expiration_date": pa.array([open_end] * 3, moment),
            "current_row": [1, 1, 1],
        }
    )
    streams = pa.table(
        {
            "event_id": ["a", "b", "c", "d"],
            "userId": [1, 1, 2, 3],
            "ts": pa.array([datetime(2024, 1, 15, 23, 59, 59, 123000, timezone.utc)] * 4, moment),
            "date_part": pa.array([date(2024, 1, 15)] * 3 + [date(2024, 1, 16)]),
        }
    )
    write_deltalake(root / "silver" / "dim_users", users)
    write_deltalake(root / "gold" / "fact_streams", streams, partition_by=["date_part"])
    write_deltalake(root / "metrics" / "positions", pa.table({"step": ["gold.fact_streams"]}))
    return root
