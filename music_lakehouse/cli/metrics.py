"""`music-lakehouse metrics`: the lake's health in Prometheus's text format."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from music_lakehouse.cli.console import say
from music_lakehouse.cli.errors import CliError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from music_lakehouse.settings import Settings

EXAMPLE = "Example: music-lakehouse metrics --serve 9108"
HOST = "127.0.0.1"


def metrics(
    serve: Annotated[
        int | None, typer.Option(min=1, max=65535, metavar="PORT", help="Serve it at /metrics on this port.")
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on; others than the loopback let others in.")] = HOST,
) -> None:
    """Print lag, freshness, sizes, quarantine, failing checks, streaming and runs as Prometheus reads them; with
    --serve give them at /metrics until Ctrl-C.

    It starts no Spark. Figures are at most five seconds old.
    """
    from prometheus_client import generate_latest

    from music_lakehouse.settings import Settings

    with _registry(Settings()) as registry:
        if serve is None:
            sys.stdout.write(generate_latest(registry).decode())
        else:
            _serve(registry, host, serve)


@contextmanager
def _registry(settings: Settings) -> Iterator[CollectorRegistry]:
    from music_lakehouse.cli.dagster_home import prepare_home

    prepare_home(settings)
    import dagster as dg

    from music_lakehouse.cli.job_run import job_names
    from music_lakehouse.defs.job_runs import last_runs
    from music_lakehouse.health_metrics import registry

    jobs = job_names()
    with dg.DagsterInstance.get() as instance:
        yield registry(settings, lambda: last_runs(instance, jobs))


def _serve(registry: CollectorRegistry, host: str, port: int) -> None:
    """Answers until Ctrl-C or SIGTERM."""
    from prometheus_client import start_http_server

    from music_lakehouse.cli.parts import ended_by_ctrl_c

    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise CliError(f"{host}:{port} can't be listened on ({error.strerror}): choose another with --serve") from error
    try:
        with ended_by_ctrl_c():
            say(f"The metrics are at http://{host}:{port}/metrics; Ctrl-C stops them")
            sys.stdout.flush()
            thread.join()
    except KeyboardInterrupt:
        return
    finally:
        server.shutdown()
        server.server_close()
