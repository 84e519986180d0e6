"""`music-lakehouse dev`: the broker and Dagster's UI, together, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from music_lakehouse.cli.console import note, say
from music_lakehouse.cli.progress import waiting

if TYPE_CHECKING:
    from music_lakehouse.settings import Settings

EXAMPLE = "Example: music-lakehouse dev"
HOST = "127.0.0.1"
STOP_SECONDS = 30


def dev(port: Annotated[int, typer.Option(help="Port of Dagster's UI, on 127.0.0.1.")] = 3000) -> None:
    """Start the embedded broker and Dagster's UI, with its sensors and schedules; Ctrl-C stops both.

    The broker is started where KAFKA_BOOTSTRAP_SERVERS is a port of this host on which nothing listens; one that runs
    already is used, and left running.
    """
    from music_lakehouse.cli.dagster_home import prepare_home
    from music_lakehouse.settings import Settings

    settings = Settings()
    home = prepare_home(settings)
    with _broker_while(settings), _ended_by_ctrl_c():
        command = [sys.executable, "-m", "dagster", "dev", "-m", "music_lakehouse.definitions"]
        # In a session of its own, so that Ctrl-C reaches this process only, which then stops one after the other.
        dagster = subprocess.Popen([*command, "-h", HOST, "-p", str(port)], start_new_session=True)
        say(f"Dagster's UI comes up at http://{HOST}:{port}, its instance is {home}; Ctrl-C stops it")
        say("In another terminal, `music-lakehouse simulate --live 20` sends events, which a sensor takes on")
        try:
            code = dagster.wait()
        except KeyboardInterrupt:
            note("Stopping Dagster ...")
            return
        finally:
            _stop(dagster)
    if code != 0:
        note(f"Error: Dagster ended with exit code {code}: its words are above", style="red")
        raise typer.Exit(1)


@contextmanager
def _broker_while(settings: Settings) -> Iterator[None]:
    """The broker of the settings: started and stopped again where it is to be the embedded one and none answers."""
    from music_lakehouse.cli.embedded import embedded_broker, is_listening, loopback_port

    port = loopback_port(settings)
    if port is None or is_listening(port):
        say(f"Kafka is the one at {settings.kafka_bootstrap_servers}")
        yield
        return
    embedded = embedded_broker(settings)
    try:
        with waiting("Starting Kafka"):
            embedded.start()
            embedded.create_topics(settings.topics.values())
        say(f"Kafka is up at {embedded.bootstrap_servers}")
        yield
    finally:
        with waiting("Stopping Kafka"):
            embedded.stop()


@contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """SIGTERM stops both as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(dagster: subprocess.Popen[bytes]) -> None:
    """Asks Dagster to end, which ends its webserver, daemon and code server; what is left after a while is killed."""
    with suppress(ProcessLookupError):
        dagster.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        dagster.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(dagster.pid, signal.SIGKILL)
    dagster.wait()
