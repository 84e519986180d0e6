"""`music-lakehouse reset`: remove the lake's tables, or those of one pipeline, to begin anew."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from music_lakehouse.cli.confirm import confirm
from music_lakehouse.cli.console import pipeline_name, say
from music_lakehouse.cli.held import held
from music_lakehouse.cli.progress import waiting
from music_lakehouse.lakehouse.inventory import CHECKPOINTS

if TYPE_CHECKING:
    from music_lakehouse.lakehouse.tables import Table

EXAMPLE = "Example: music-lakehouse reset --broker --yes\n\nOne pipeline: music-lakehouse reset customers --yes"
# What a lake has beside tables: the report would tell of rows that are gone.
EVERYTHING_ELSE = (CHECKPOINTS, "gold/listening_report")


def reset(
    pipeline: Annotated[
        str | None,
        typer.Argument(help="Only the tables of this pipeline, for example customers.", callback=pipeline_name),
    ] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    broker: Annotated[
        bool, typer.Option("--broker", help="Stop the embedded broker and remove its messages too.")
    ] = False,
) -> None:
    """Remove all tables and checkpoints of the lake or a pipeline; with --broker the embedded broker's messages too.

    Asks first. Messages that are still on Kafka, and files that landed, are read again by the next run. Refuses while a
    run holds the lake, but for continuous mode, which lends it.
    """
    from music_lakehouse.cli.embedded import embedded_broker
    from music_lakehouse.lakehouse.inventory import find_tables
    from music_lakehouse.lakehouse.locks import LakeLockedError, current_holder
    from music_lakehouse.settings import Settings

    settings = Settings()
    root = settings.lake_uri
    own = None if pipeline is None else _tables_of(pipeline)
    if own is not None and broker:
        raise typer.BadParameter(f"the broker's messages are no part of {pipeline}: leave out --broker or {pipeline}")
    embedded = embedded_broker(settings) if broker else None
    holder = current_holder(root)
    if holder is not None and not holder.lends:
        raise LakeLockedError(f"the lake is held by {holder}: wait until it has ended, or stop it; nothing was removed")

    def found() -> list[str]:
        return [name for name in find_tables(root) if own is None or name in own]

    tables = found()
    if not tables and embedded is None:
        say(f"The lake at {root} has no tables{f' of {pipeline}' if pipeline else ''}: there is nothing to remove")
        return
    what = f"{len(tables)} tables of {root} and their checkpoints"
    if embedded is not None:
        what += f", and the messages in {embedded.data}"
    confirm(f"This removes {what}", yes=yes)
    with held(root, "reset"), waiting("Removing"):
        if own is not None:
            _forget(root, own)
        # Who lent the lake may have made some since.
        _remove_tables(root, found(), EVERYTHING_ELSE if own is None else [f"{CHECKPOINTS}/{name}" for name in own])
    if embedded is not None:
        embedded.stop()
        shutil.rmtree(embedded.data, ignore_errors=True)
    say(f"Removed {what}")


def _tables_of(pipeline: str) -> Mapping[str, Table]:
    from music_lakehouse.defs.catalog import LANDED_PIPELINES

    if pipeline not in LANDED_PIPELINES:
        known = ", ".join(LANDED_PIPELINES)
        raise typer.BadParameter(
            f"{pipeline} can't be removed by itself: {known} can; without a name everything is removed",
            param_hint="PIPELINE",
        )
    return LANDED_PIPELINES[pipeline]


def _forget(root: str, tables: Mapping[str, Table]) -> None:
    """Removes what the lake remembers of the tables' sources: versions taken, files read."""
    from music_lakehouse.lakehouse.file_ledger import forget_files, read_files
    from music_lakehouse.lakehouse.lake import LakePaths
    from music_lakehouse.lakehouse.positions import forget_positions, read_positions

    lake = LakePaths(root)
    for name, table in tables.items():
        if read_positions(lake, name):
            forget_positions(lake, name)
        if read_files(lake, table):
            forget_files(lake, table)


def _remove_tables(root: str, tables: list[str], others: Iterable[str]) -> None:
    """Removes the tables, the other directories, and layers that are empty then. What else lies in the root stays."""
    from music_lakehouse.lakehouse.inventory import remove_directories

    # What is downstream first: whatever is left after an interrupt is made whole by the next run.
    directories = [table.replace(".", "/", 1) for table in reversed(tables)]
    remove_directories(root, [*directories, *others])
    if "://" in root:
        return
    for layer in {directory.split("/")[0] for directory in directories}:
        if not any(Path(root, layer).iterdir()):
            Path(root, layer).rmdir()
