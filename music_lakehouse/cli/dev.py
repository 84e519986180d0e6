"""`music-lakehouse dev`: the broker and Dagster's UI, together, until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from music_lakehouse.cli.console import note, say
from music_lakehouse.cli.progress import waiting

if TYPE_CHECKING:
    from music_lakehouse.settings import Settings

EXAMPLE = "Example: music-lakehouse dev"


def dev(port: Annotated[int, typer.Option(help="Port of Dagster's UI, on 127.0.0.1.")] = 3000) -> None:
    """Start the embedded broker and Dagster's UI, with its sensors and schedules; Ctrl-C stops both.

    The broker is started where KAFKA_BOOTSTRAP_SERVERS is a port of this host on which nothing listens; one that runs
    already is used, and left running.
    """
    from music_lakehouse.cli.dagster_home import prepare_home
    from music_lakehouse.cli.parts import HOST, dagster, ended_by_ctrl_c
    from music_lakehouse.settings import Settings

    settings = Settings()
    home = prepare_home(settings)
    with ended_by_ctrl_c(), _broker_while(settings):
        program = dagster(port)
        try:
            program.launch()
            say(f"Dagster's UI comes up at http://{HOST}:{port}, its instance is {home}; Ctrl-C stops it")
            say("In another terminal, `music-lakehouse simulate --live 20` sends events, which a sensor takes on")
            while program.is_well():
                time.sleep(0.2)
        except KeyboardInterrupt:
            note("Stopping Dagster ...")
            return
        finally:
            program.stop()
    note(f"Error: Dagster {program.ending}: its words are above", style="red")
    raise typer.Exit(1)


@contextmanager
def _broker_while(settings: Settings) -> Iterator[None]:
    """The broker of the settings: started and stopped again where it is to be the embedded one and none answers."""
    from music_lakehouse.cli.parts import own_broker

    broker = own_broker(settings)
    if broker is None:
        say(f"Kafka is the one at {settings.kafka_bootstrap_servers}")
        yield
        return
    try:
        with waiting("Starting Kafka"):
            broker.start()
        say(f"Kafka is up at {broker.embedded.bootstrap_servers}")
        yield
    finally:
        with waiting("Stopping Kafka"):
            broker.stop()
