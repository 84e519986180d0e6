"""What `dev` and `up` keep running: Kafka, Spark, Dagster, and what is shown and simulated beside them."""

from __future__ import annotations

import json
import signal
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError

from music_lakehouse.cli.embedded import embedded_broker, is_listening, loopback_port
from music_lakehouse.supervisor.program import Program, environment

if TYPE_CHECKING:
    from music_lakehouse.settings import Settings

HOST = "127.0.0.1"
KAFKA = "Kafka"
DAGSTER = "Dagster"
CONTINUOUS = "Continuous"
SIMULATOR = "Simulator"
DASHBOARD = "Dashboard"
METRICS = "Metrics"
# Dagster ends its runs, code server, daemon and webserver one after the other.
STOP_SECONDS = 30.0
# The micro-batch in hand comes to its end.
MICRO_BATCH_SECONDS = 120.0


class Broker:
    """The embedded broker of the settings, with their topics."""

    name = KAFKA
    ending = "ended"

    def __init__(self, settings: Settings) -> None:
        self.embedded = embedded_broker(settings)
        self._topics = list(settings.topics.values())

    def start(self) -> None:
        self.embedded.start()
        self.embedded.create_topics(self._topics)

    def is_well(self) -> bool:
        return self.embedded.is_running()

    def stop(self) -> None:
        self.embedded.stop()


def own_broker(settings: Settings) -> Broker | None:
    """The embedded broker, where KAFKA_BOOTSTRAP_SERVERS is a port of this host on which nothing listens; None where it
    is another Kafka, or one that runs already, which is left alone."""
    port = loopback_port(settings)
    return None if port is None or is_listening(port) else Broker(settings)


def dagster(port: int, *, log: Path | None = None, spark_remote: str | None = None, watched: bool = False) -> Program:
    """Dagster's webserver, daemon and code server; its runs on that Spark Connect server, or as the settings say.

    Where it is `watched`, it isn't well while it can't load our definitions. Dagster itself looks after the code server
    that it starts, but not after that one's child, which loads them: where that was killed, nothing is run any more.
    """
    command = [sys.executable, "-m", "dagster", "dev", "-m", "music_lakehouse.definitions"]
    return Program(
        DAGSTER,
        [*command, "-h", HOST, "-p", str(port)],
        log=log,
        answers=lambda: _answers(f"http://{HOST}:{port}/server_info"),
        environment=environment({"SPARK_REMOTE": spark_remote} if spark_remote else {}),
        stop_signal=signal.SIGINT,
        stop_seconds=STOP_SECONDS,
        well=(lambda: _has_definitions(f"http://{HOST}:{port}/graphql")) if watched else None,
    )


def continuous(*, log: Path, spark_remote: str) -> Program:
    """`music-lakehouse run continuous_pipeline`, on that Spark Connect server."""
    return Program(
        CONTINUOUS,
        [sys.executable, "-m", "music_lakehouse.cli.main", "run", "continuous_pipeline"],
        log=log,
        environment=environment({"SPARK_REMOTE": spark_remote}),
        stop_signal=signal.SIGINT,
        stop_seconds=MICRO_BATCH_SECONDS,
    )


def simulator(rate: float, *, log: Path) -> Program:
    """`music-lakehouse simulate --live RATE`."""
    command = [sys.executable, "-m", "music_lakehouse.cli.main", "simulate", "--live", str(rate)]
    return Program(SIMULATOR, command, log=log, stop_signal=signal.SIGINT)


def dashboard(port: int, *, log: Path) -> Program | None:
    """The dashboard; None where Streamlit isn't installed."""
    from music_lakehouse.cli.dashboard import command_line

    if find_spec("streamlit") is None:
        return None
    return Program(DASHBOARD, command_line(port, None), log=log, answers=lambda: is_listening(port))


def metrics(port: int, *, log: Path) -> Program:
    """`music-lakehouse metrics --serve PORT`."""
    command = [sys.executable, "-m", "music_lakehouse.cli.main", "metrics", "--serve", str(port)]
    return Program(METRICS, command, log=log, answers=lambda: is_listening(port), stop_signal=signal.SIGINT)


@contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """SIGTERM, and a terminal that is closed, end the block as Ctrl-C does; what comes after the first of them doesn't
    disturb the end."""
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def end(number: int, frame: object) -> None:
        del number, frame
        for one in before:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    for one in before:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _has_definitions(url: str) -> bool:
    """Whether Dagster's webserver doesn't say that code can't be loaded. One that ended ends all of Dagster with it."""
    query = "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"
    question = urllib.request.Request(
        url, json.dumps({"query": query}).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(question, timeout=10) as answer:
            return "PythonError" not in answer.read().decode()
    except (URLError, OSError):
        return False


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except (URLError, OSError):
        return False
