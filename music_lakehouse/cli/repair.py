"""`music-lakehouse restore` and `rebuild`: a table put back to an earlier version, or written anew from its sources."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated

import typer

from music_lakehouse.cli.confirm import confirm
from music_lakehouse.cli.console import say
from music_lakehouse.cli.versions import TableName, opened

if TYPE_CHECKING:
    from music_lakehouse.lakehouse.lake import LakePaths

RESTORE_EXAMPLE = (
    "Example: music-lakehouse restore gold.fact_streams --version 12\n\n"
    "By time (UTC): music-lakehouse restore gold.fact_streams --timestamp 2026-11-20T09:00:00"
)
REBUILD_EXAMPLE = "Example: music-lakehouse rebuild silver.dim_users"

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]


def restore(
    table: TableName,
    *,
    version: Annotated[int | None, typer.Option(min=0, help="The version whose rows it shall have.")] = None,
    timestamp: Annotated[
        datetime | None, typer.Option(help="Or the time, UTC, as of which it shall have its rows.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Put a table back to an earlier version, in one commit.

    What was read into it since is read again by the next run. A table that follows others, and all that is downstream,
    is written anew by the next run: until then it stays as restored, so switch the sensor off to keep it so.
    """
    if (version is None) == (timestamp is None):
        raise typer.BadParameter("say which version: either --version or --timestamp", param_hint="--version")
    from music_lakehouse.defs.catalog import WRITTEN_WITH
    from music_lakehouse.lakehouse import repair

    _, declared, found = opened(table)
    target = version if timestamp is None else timestamp.replace(tzinfo=timestamp.tzinfo or timezone.utc)
    assert target is not None
    confirm(f"This puts {table} back from version {found.version()} to {target}", yes=yes)
    with _held("restore") as lake:
        kept_with = [other.full_name for other in WRITTEN_WITH.get(declared, ())]
        done = repair.restore(lake, declared, target, kept_with=kept_with)
    say(f"{table} has the rows of version {done.restored} again, as version {done.version}")
    if done.anew:
        say(f"The next run writes anew: {', '.join(done.anew)}")


def rebuild(
    tables: Annotated[list[str], typer.Argument(metavar="TABLE...", help="Tables, as layer.table.")],
    *,
    yes: Yes = False,
) -> None:
    """Write tables, and all that is downstream of them, anew from their sources: each as a whole, in one commit.

    Readers see what was there until then. Nothing of what a table holds is used: also a damaged one is whole then.
    Exit code 0 only where all runs succeeded; what was left, the next run of the pipeline does.
    """
    from music_lakehouse.cli.job_run import jobs_of
    from music_lakehouse.cli.run import finish, run_and_show
    from music_lakehouse.lakehouse import repair
    from music_lakehouse.settings import Settings

    for table in tables:
        opened(table)
    confirm(f"This writes {', '.join(tables)}, and all that is downstream, anew", yes=yes)
    with _held("rebuild") as lake:
        anew = repair.write_anew(lake, tables)
    for job, written in jobs_of(anew).items():
        say(f"\n{job}: {', '.join(written)}", style="bold")
        done = run_and_show(job, Settings(), tables=written)
        if not done.success:
            finish(done)


@contextmanager
def _held(what: str) -> Iterator[LakePaths]:
    """The lake, while nobody else writes it."""
    from music_lakehouse.lakehouse.lake import LakePaths
    from music_lakehouse.lakehouse.locks import LakeLock
    from music_lakehouse.settings import Settings

    root = Settings().lake_uri
    with LakeLock(root).held(what):
        yield LakePaths(root)
