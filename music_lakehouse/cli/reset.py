"""`music-lakehouse reset`: remove the lake's tables, to begin anew."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from music_lakehouse.cli.console import say
from music_lakehouse.cli.errors import CliError
from music_lakehouse.cli.progress import waiting

EXAMPLE = "Example: music-lakehouse reset --broker --yes"
CHECKPOINTS = "_checkpoints"


def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    broker: Annotated[
        bool, typer.Option("--broker", help="Stop the embedded broker and remove its messages too.")
    ] = False,
) -> None:
    """Remove all tables and checkpoints of the lake; with --broker the embedded broker's messages too.

    Asks first. Messages that are still on Kafka are read again by the next run. Refuses while a run holds the lake.
    """
    from music_lakehouse.cli.embedded import embedded_broker
    from music_lakehouse.lakehouse.inventory import find_tables
    from music_lakehouse.lakehouse.locks import LakeLock, LakeLockedError, current_holder
    from music_lakehouse.settings import Settings

    settings = Settings()
    root = settings.lake_uri
    embedded = embedded_broker(settings) if broker else None
    holder = current_holder(root)
    if holder is not None:
        raise LakeLockedError(f"the lake is held by {holder}: wait until it has ended, or stop it; nothing was removed")
    tables = list(find_tables(root))
    if not tables and embedded is None:
        say(f"The lake at {root} has no tables: there is nothing to remove")
        return
    what = f"{len(tables)} tables of {root} and their checkpoints"
    if embedded is not None:
        what += f", and the messages in {embedded.data}"
    _confirm(what, yes)
    lock = LakeLock(root)
    lock.acquire("reset")
    try:
        with waiting("Removing"):
            _remove_tables(root, tables)
    finally:
        lock.release()
    if embedded is not None:
        embedded.stop()
        shutil.rmtree(embedded.data, ignore_errors=True)
    say(f"Removed {what}")


def _confirm(what: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise CliError(f"This removes {what}: give --yes to say that it is meant")
    if not typer.confirm(f"Remove {what}?", err=True):
        say("Nothing was removed")
        raise typer.Exit(1)


def _remove_tables(root: str, tables: list[str]) -> None:
    """Removes the tables, the checkpoints, and layers that are empty then. What else lies in the root is left alone."""
    # What is downstream first: whatever is left after an interrupt is made whole by the next run.
    directories = [table.replace(".", "/", 1) for table in reversed(tables)]
    if "://" in root:
        from pyarrow.fs import FileType

        from music_lakehouse.lakehouse.inventory import store

        files = store(root)
        for directory in [*directories, CHECKPOINTS]:
            if files.get_file_info(directory).type != FileType.NotFound:
                files.delete_dir(directory)
        return
    for directory in [*directories, CHECKPOINTS]:
        if Path(root, directory).exists():
            shutil.rmtree(Path(root, directory))
    for layer in {directory.split("/")[0] for directory in directories}:
        if not any(Path(root, layer).iterdir()):
            Path(root, layer).rmdir()
