"""`music-lakehouse dashboard`: what is listened to, and whether the platform is well, in a browser."""

from __future__ import annotations

import os
import re
import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from music_lakehouse.cli.console import note, say
from music_lakehouse.cli.errors import CliError

EXAMPLE = "Example: music-lakehouse dashboard --state CA"
HOST = "127.0.0.1"
PORT = 8501
# Nothing leaves this machine, nothing is asked at the first start, and files of the package are not watched.
OPTIONS = {
    "server.address": HOST,
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorLinks": "false",
    "logger.level": "warning",
}


def dashboard(
    port: Annotated[int, typer.Option(min=1, max=65535, help=f"Port of the dashboard, on {HOST}.")] = PORT,
    state: Annotated[
        str | None, typer.Option(help="The state that is chosen at first, two letters; all where there is none.")
    ] = None,
) -> None:
    """Show the lake in a browser: what is listened to, and whether the platform is well; Ctrl-C stops it.

    It reads the tables without Spark, and keeps up with runs while it is open.
    """
    from music_lakehouse.cli.embedded import is_listening
    from music_lakehouse.lakehouse.inventory import find_tables
    from music_lakehouse.settings import Settings

    chosen = None if state is None else _state(state)
    if find_spec("streamlit") is None:
        raise CliError(
            "Streamlit is not installed: `make setup` installs it, or pip the extra music-lakehouse[dashboard]"
        )
    if is_listening(port):
        raise CliError(f"something listens on port {port} of {HOST} already: choose another with --port")
    root = Settings().lake_uri
    if not find_tables(root):
        note(f"The lake at {root} has no tables yet: `make demo` makes them, and the dashboard shows them then")
    say(f"The dashboard comes up at http://{HOST}:{port}; Ctrl-C stops it")
    sys.stdout.flush()
    command = command_line(port, chosen)
    os.execv(command[0], command)


def command_line(port: int, state: str | None) -> list[str]:
    """What runs the dashboard on that port, with the state chosen at first."""
    from music_lakehouse import dashboard

    app = os.path.join(os.path.dirname(dashboard.__file__), "app.py")
    options = [f"--{name}={value}" for name, value in {**OPTIONS, "server.port": str(port)}.items()]
    return [sys.executable, "-m", "streamlit", "run", app, *options, "--", *([state] if state else [])]


def _state(text: str) -> str:
    """Two letters, in upper case."""
    if not re.fullmatch("[A-Za-z]{2}", text):
        raise typer.BadParameter(f"{text} is no state: two letters name one, such as CA", param_hint="--state")
    return text.upper()
