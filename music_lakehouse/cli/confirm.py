"""The question before what can't be taken back."""

from __future__ import annotations

import sys

import typer

from music_lakehouse.cli.console import say
from music_lakehouse.cli.errors import CliError


def confirm(what: str, *, yes: bool) -> None:
    """Ask whether it is meant, unless `yes` says so. `what` is a sentence without its full stop. Ends the command with
    exit code 1 where it isn't; raises CliError where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CliError(f"{what}: give --yes to say that it is meant")
    if not typer.confirm(f"{what}. Go on?", err=True):
        say("Nothing was changed")
        raise typer.Exit(1)
