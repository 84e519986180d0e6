"""`music-lakehouse up`: the whole platform, kept running until Ctrl-C."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from music_lakehouse.cli.errors import CliError, one_line

if TYPE_CHECKING:
    from music_lakehouse.cli.screen import Screen
    from music_lakehouse.settings import Settings
    from music_lakehouse.supervisor.supervisor import Part

EXAMPLE = "Example: music-lakehouse up --rate 50"
SECONDS_BETWEEN_LOOKS = 5.0
# Not `logs`: that one Dagster takes for its own, and moves.
LOGS = "up"


def up(
    rate: Annotated[float, typer.Option(min=0.01, help="Events a second that the simulator sends.")] = 20.0,
    port: Annotated[int, typer.Option(help="Port of Dagster's UI, on 127.0.0.1.")] = 3000,
    spark_port: Annotated[int, typer.Option(help="Port of the Spark Connect server, on 127.0.0.1.")] = 15002,
    dashboard_port: Annotated[int, typer.Option(help="Port of the dashboard, on 127.0.0.1.")] = 8501,
    metrics_port: Annotated[int, typer.Option(help="Port of /metrics for Prometheus, on 127.0.0.1.")] = 9108,
    *,
    continuous: Annotated[
        bool, typer.Option("--continuous", help="One run that takes events as they come, rather than the sensor's.")
    ] = False,
    no_simulator: Annotated[bool, typer.Option("--no-simulator", help="Send no events: yours come to Kafka.")] = False,
    no_dashboard: Annotated[bool, typer.Option("--no-dashboard", help="Leave the dashboard out.")] = False,
) -> None:
    """Keep everything running: Kafka, one Spark that all runs share, Dagster with its sensors on, live events, the
    dashboard and /metrics. Ctrl-C stops all of it.

    A part that dies is started again. Kafka is started where KAFKA_BOOTSTRAP_SERVERS is a port of this host on which
    nothing listens, and Spark where SPARK_REMOTE names no server; others are used, and left running.
    """
    from music_lakehouse.cli import parts as platform
    from music_lakehouse.cli.dagster_home import prepare_home
    from music_lakehouse.cli.embedded import is_listening
    from music_lakehouse.cli.screen import Screen
    from music_lakehouse.lakehouse.remote_spark import endpoint
    from music_lakehouse.resources.connect_server import ConnectServer
    from music_lakehouse.settings import Settings
    from music_lakehouse.supervisor.supervisor import Supervisor

    settings = Settings()
    home = prepare_home(settings)
    logs = home / LOGS
    parts: list[Part] = []
    places = {platform.KAFKA: settings.kafka_bootstrap_servers}
    broker = platform.own_broker(settings)
    if broker is not None:
        parts.append(broker)
    remote = settings.spark_remote
    if remote is None:
        spark = ConnectServer(logs / "spark", spark_port, master=settings.spark_master, lake_root=settings.lake_uri)
        parts.append(spark)
        remote = places[spark.name] = spark.remote
    else:
        places["Spark"] = "{}:{}".format(*endpoint(remote))
    parts.append(platform.dagster(port, log=logs / "dagster.log", spark_remote=remote, watched=True))
    places[platform.DAGSTER] = f"http://{platform.HOST}:{port}"
    if continuous:
        parts.append(platform.continuous(log=logs / "continuous.log", spark_remote=remote))
        places[platform.CONTINUOUS] = "continuous_pipeline, micro-batch by micro-batch"
    dashboard = None if no_dashboard else platform.dashboard(dashboard_port, log=logs / "dashboard.log")
    if dashboard is not None:
        parts.append(dashboard)
        places[platform.DASHBOARD] = f"http://{platform.HOST}:{dashboard_port}"
    parts.append(platform.metrics(metrics_port, log=logs / "metrics.log"))
    places[platform.METRICS] = f"http://{platform.HOST}:{metrics_port}/metrics"
    if not no_simulator:
        parts.append(platform.simulator(rate, log=logs / "simulator.log"))
        places[platform.SIMULATOR] = f"{rate:g} events a second"

    ports = {
        platform.DAGSTER: port,
        platform.DASHBOARD: dashboard_port,
        platform.METRICS: metrics_port,
        "Spark": spark_port,
    }
    for part in parts:
        taken = ports.get(part.name)
        if taken is not None and is_listening(taken):
            raise CliError(
                f"something listens on port {taken} of {platform.HOST} already: choose another for {part.name}"
            )
    with Screen(places) as screen, platform.ended_by_ctrl_c():
        screen.say(f"Dagster's instance is {home}, what the parts print is in {logs}")
        for name in places.keys() - {part.name for part in parts}:
            screen.say(f"{name} is the one at {places[name]}")
        supervisor = Supervisor(parts, screen.say)
        screen.watch(supervisor.standings)
        try:
            with supervisor:
                screen.say("; ".join(f"{part.name}: {places[part.name]}" for part in parts) + "; Ctrl-C stops all")
                _look_on(settings, screen)
        except KeyboardInterrupt:
            _free_lock(settings)
            screen.say("Everything is stopped")


def _look_on(settings: Settings, screen: Screen) -> None:
    """Shows how it stands until Ctrl-C."""
    import dagster as dg

    from music_lakehouse.cli.standing import Looker

    with dg.DagsterInstance.get() as instance:
        looker = Looker(settings, instance)
        while True:
            try:
                screen.show(looker.look())
            except Exception as error:
                # The parts go on, whatever hinders a look: storage that doesn't answer, say.
                screen.say(f"How it stands can't be told: {one_line(error)}")
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _free_lock(settings: Settings) -> None:
    """Gives the lake's lock back for a run that was stopped before it could."""
    from music_lakehouse.lakehouse.locks import LakeLock, current_holder, lock_file

    if lock_file(settings.lake_uri).exists() and current_holder(settings.lake_uri) is None:
        with LakeLock(settings.lake_uri).held("up"):
            pass
