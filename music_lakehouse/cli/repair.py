"""`music-lakehouse restore`, `rebuild` and `reprocess`: a table put back to an earlier version, or computed again from
its sources, as a whole or for a stretch of time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated

import typer

from music_lakehouse.cli.confirm import confirm
from music_lakehouse.cli.console import note, say
from music_lakehouse.cli.held import held
from music_lakehouse.cli.versions import TableName, opened

if TYPE_CHECKING:
    from music_lakehouse.lakehouse.lake import LakePaths
    from music_lakehouse.lakehouse.tables import Table

RESTORE_EXAMPLE = (
    "Example: music-lakehouse restore gold.fact_streams --version 12\n\n"
    "By time (UTC): music-lakehouse restore gold.fact_streams --timestamp 2026-11-20T09:00:00"
)
REPROCESS_EXAMPLE = "Example: music-lakehouse reprocess --from 2026-11-20 --to 2026-11-21T12:00:00"
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
    import dagster as dg

    from music_lakehouse.cli.dagster_home import prepare_home
    from music_lakehouse.defs.catalog import WRITTEN_WITH
    from music_lakehouse.defs.told import tell
    from music_lakehouse.lakehouse import repair
    from music_lakehouse.settings import Settings

    _, declared, found = opened(table)
    target = version if timestamp is None else timestamp.replace(tzinfo=timestamp.tzinfo or timezone.utc)
    assert target is not None
    _warn_of_expired_messages(declared, repair.version_at(found, target, table))
    confirm(f"This puts {table} back from version {found.version()} to {target}", yes=yes)
    with _held("restore") as lake:
        kept_with = [other.full_name for other in WRITTEN_WITH.get(declared, ())]
        done = repair.restore(lake, declared, target, kept_with=kept_with)
    prepare_home(Settings())
    with dg.DagsterInstance.get() as instance:
        tell(instance, lake, [declared], f"Restored to the rows of version {done.restored}")
    say(f"{table} has the rows of version {done.restored} again, as version {done.version}")
    if done.anew:
        say(f"The next run writes anew: {', '.join(done.anew)}")


def _warn_of_expired_messages(table: Table, version: int) -> None:
    """Of a raw table, say what came since the version and Kafka no longer has, or that nobody knows."""
    from pyarrow import ArrowInvalid

    from music_lakehouse.cli.embedded import require_broker
    from music_lakehouse.cli.errors import CliError
    from music_lakehouse.defs.listening.tables import RAW
    from music_lakehouse.lakehouse.kafka import Topic, describe_topics
    from music_lakehouse.lakehouse.kafka_access import BROKER_ERRORS
    from music_lakehouse.lakehouse.kafka_positions import count_unreadable, find_losses, in_words
    from music_lakehouse.lakehouse.lake import LakePaths
    from music_lakehouse.settings import Settings

    settings = Settings()
    event = next((event for event, raw in RAW.items() if raw == table), None)
    if event is None:
        return
    name = settings.topics[event]
    stops = f"the next run would stop with MessagesLostError until `music-lakehouse accept-loss {name}`"
    try:
        require_broker(settings)
        found = describe_topics(settings, [name]).get(name)
    except (CliError, *BROKER_ERRORS) as error:
        note(
            f"Whether Kafka still has what came since version {version} can't be checked ({error}). Where it hasn't, "
            f"{stops}",
            style="yellow",
        )
        return
    lake, topic = LakePaths(settings.lake_uri), found or Topic(name, "", {})
    try:
        messages = count_unreadable(lake, table, topic, version)
        losses = find_losses(lake, table, topic, version=version)
    except ArrowInvalid:
        # Files of the version are gone: it can't be restored, which is said where that is tried.
        return
    if messages:
        note(
            f"{messages:,} messages that {table.full_name} has came since version {version} and are gone from Kafka: "
            "they would be lost",
            style="yellow",
        )
    if losses:
        gaps = in_words(losses) if found else f"there is no topic {name} any more"
        note(f"Messages of {name} would be missing, and {stops}: {gaps}", style="yellow")


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


def reprocess(
    tables: Annotated[
        list[str] | None, typer.Argument(metavar="[TABLE]...", help="Tables, as layer.table; else bronze.")
    ] = None,
    *,
    since: Annotated[datetime, typer.Option("--from", help="From this time on, UTC, by Kafka's time of the messages.")],
    until: Annotated[datetime, typer.Option("--to", help="Up to this time, which is not part of it, UTC.")],
    yes: Yes = False,
) -> None:
    """Compute again what messages of a stretch of time gave, and write the difference: to tables of the streaming
    pipeline, by default bronze, and all that is downstream.

    For a rule or a step that was corrected. A message belongs to the time at which Kafka took it, whatever the time of
    its event. Exit code 0 only where the run succeeded; what was left, the next run of the pipeline does.
    """
    from music_lakehouse.cli.job_run import jobs_of
    from music_lakehouse.cli.run import finish, run_and_show
    from music_lakehouse.defs.listening.steps import STEPS
    from music_lakehouse.defs.listening.tables import BRONZE
    from music_lakehouse.lakehouse import repair
    from music_lakehouse.lakehouse.positions import Stretch
    from music_lakehouse.settings import Settings

    stretch = Stretch(*(moment.replace(tzinfo=moment.tzinfo or timezone.utc) for moment in (since, until)))
    if stretch.since >= stretch.until:
        raise typer.BadParameter("it has to be later than --from", param_hint="--to")
    names = tables or [table.full_name for table in BRONZE.values()]
    for name in names:
        _, table, _ = opened(name)
        if table not in STEPS and table not in BRONZE.values():
            raise typer.BadParameter(
                f"{name} is not made of Kafka's messages by a step of its own: tables of bronze (by topic), silver and "
                "gold of the streaming pipeline can be computed again by time; `music-lakehouse rebuild` writes others",
                param_hint="TABLE",
            )
    confirm(f"This computes again what messages of {stretch} gave to {', '.join(names)}, and downstream", yes=yes)
    with _held("reprocess") as lake:
        told = repair.compute_again(lake, names, stretch)
    for job, written in jobs_of(told).items():
        finish(run_and_show(job, Settings(), tables=written))


@contextmanager
def _held(what: str) -> Iterator[LakePaths]:
    """The lake, while nobody else writes it."""
    from music_lakehouse.lakehouse.lake import LakePaths
    from music_lakehouse.settings import Settings

    root = Settings().lake_uri
    with held(root, what):
        yield LakePaths(root)
