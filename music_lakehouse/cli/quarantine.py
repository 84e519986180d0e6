"""`music-lakehouse quarantine`: what the pipelines refused, why, and another try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from music_lakehouse.cli.accept_loss import event_name
from music_lakehouse.cli.console import pipeline_name, say, show_table
from music_lakehouse.cli.errors import CliError
from music_lakehouse.cli.held import held

if TYPE_CHECKING:
    from music_lakehouse.lakehouse.tables import Table
    from music_lakehouse.settings import Settings

quarantine = typer.Typer(
    help="Messages and rows that were refused: counted, shown, and tried again.",
    epilog="Example: music-lakehouse quarantine list",
)

STREAMING = "streaming"
Topic = Annotated[str | None, typer.Option(help="Only this topic, with KAFKA_TOPIC_PREFIX or without it.")]
Pipeline = Annotated[
    str, typer.Option(help="Whose quarantine: streaming (Kafka), or for example customers.", callback=pipeline_name)
]


@quarantine.command("list", epilog="Example: music-lakehouse quarantine list")
def list_() -> None:
    """Count what is in quarantine by pipeline, source and reason. A row counts for each of its reasons."""
    from music_lakehouse.settings import Settings

    show_counts(Settings().lake_uri)


def show_counts(root: str) -> None:
    """The counts by pipeline, source and reason, and how many messages and rows there are in all."""
    from music_lakehouse.cli.query import query
    from music_lakehouse.defs.catalog import QUARANTINES
    from music_lakehouse.lakehouse.inventory import find_tables

    there = find_tables(root)
    found = {pipeline: table for pipeline, table in QUARANTINES.items() if table.full_name in there}
    if not found:
        raise CliError(f"The lake at {root} has no quarantine yet: `music-lakehouse run streaming_pipeline` makes it")
    refused = " UNION ALL ".join(_refused(pipeline, table) for pipeline, table in found.items())
    counts = f"""
        SELECT * FROM (
            SELECT pipeline, source, reason, count(*) AS rows, min(moment) AS "first", max(moment) AS "last"
            FROM (SELECT pipeline, source, moment, unnest(reasons) AS reason FROM ({refused})) GROUP BY ALL
        )
        ORDER BY pipeline <> '{STREAMING}', pipeline, source, rows DESC, reason
    """
    with query(root, counts) as result:
        show_table(result.columns, list(result.rows), right=("rows",), title="In quarantine")
    with query(root, f"SELECT count(*) FROM ({refused})") as result:
        [(rows,)] = result.rows
    say(f"{rows:,} messages and rows are in quarantine")


def _refused(pipeline: str, table: Table) -> str:
    """What is in one quarantine as SQL: `pipeline`, `source`, `moment` and `reasons`."""
    from music_lakehouse.defs.catalog import refused_source

    columns = f"'{pipeline}' AS pipeline, {refused_source(table)} AS source, {_moment(table)} AS moment, reasons"
    return f"SELECT {columns} FROM {table.full_name}"


def _moment(table: Table) -> str:
    """The column that says when a row came."""
    return next((column.name for column in table.columns if column.type == "TIMESTAMP"), "NULL::TIMESTAMP")


@quarantine.command(
    epilog="Example: music-lakehouse quarantine show --topic listen_events --reason ts_since_2000\n\n"
    "Of landed files: music-lakehouse quarantine show --pipeline customers"
)
def show(
    pipeline: Pipeline = STREAMING,
    topic: Topic = None,
    reason: Annotated[str | None, typer.Option(help="Only what breaks this rule.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows to show.")] = 20,
) -> None:
    """Show quarantined messages or rows, the newest first, with all their reasons.

    Values are cut: `music-lakehouse sql "SELECT * FROM bronze.quarantine" --format json` has them whole. A message
    without a value is a tombstone, or not UTF-8 and as `value_bytes` in its raw table.
    """
    from music_lakehouse.cli.query import query
    from music_lakehouse.cli.sql import print_rows
    from music_lakehouse.lakehouse.inventory import find_tables
    from music_lakehouse.settings import Settings

    settings = Settings()
    table = _quarantine_of(pipeline, topic)
    if table.full_name not in find_tables(settings.lake_uri):
        raise CliError(
            f"The lake at {settings.lake_uri} has no {table.full_name} yet: `music-lakehouse run {pipeline}_pipeline` "
            "makes it, and `music-lakehouse quarantine list` counts what others refused"
        )
    conditions = ["true"]
    if topic is not None:
        conditions.append(f"topic = '{_event(topic, settings)}'")
    if reason is not None:
        conditions.append("list_contains(reasons, '" + reason.replace("'", "''") + "')")
    columns = [f'"{name}" AS "{_SHORT.get(name, name)}"' for name in table.column_names if name not in _HIDDEN]
    last_first = ", ".join(f'"{name}" DESC' for name in table.key)
    statement = f"""
        SELECT {", ".join(columns)} FROM {table.full_name} WHERE {" AND ".join(conditions)}
        ORDER BY {_moment(table)} DESC, {last_first}
    """
    with query(settings.lake_uri, statement) as result:
        print_rows(result.columns, result.rows, right=tuple(result.numeric), limit=limit)


# What tells a reader nothing.
_HIDDEN = ("kafka_topic_id", "ingestion_timestamp")
_SHORT = {"kafka_partition": "partition", "kafka_offset": "offset"}


@quarantine.command(
    epilog="Example: music-lakehouse quarantine retry --topic listen_events\n\n"
    "Of landed files: music-lakehouse quarantine retry --pipeline customers"
)
def retry(pipeline: Pipeline = STREAMING, topic: Topic = None) -> None:
    """Judge what is in quarantine by the rules as they are now.

    Messages: at once, by Spark; what is valid goes to bronze, and the next run of streaming_pipeline takes it on. Rows
    of another pipeline, which bronze has too: by its next run, which judges all of bronze anew and writes the
    difference. Holds the lake's lock.
    """
    from music_lakehouse.settings import Settings

    settings = Settings()
    table = _quarantine_of(pipeline, topic)
    if pipeline == STREAMING:
        _retry_messages(settings, topic)
    else:
        _retry_rows(settings.lake_uri, pipeline, table)


def _retry_messages(settings: Settings, topic: str | None) -> None:
    from music_lakehouse.cli.progress import waiting
    from music_lakehouse.settings import TOPICS

    topics = TOPICS if topic is None else (_event(topic, settings),)
    with waiting("Judging the quarantined messages"):
        import dagster as dg

        from music_lakehouse.defs.listening.quarantine import retry_quarantine
        from music_lakehouse.lakehouse.errors import explained
        from music_lakehouse.resources.build import build_resources

        with dg.build_resources(build_resources(settings)) as resources:
            try:
                retried = retry_quarantine(resources.lakehouse.lake, topics)
            except Exception as error:
                brokers = settings.kafka_bootstrap_servers
                raise explained(error, lake_root=settings.lake_uri, brokers=brokers) or error from error
    rows = [(found.topic, found.quarantined, found.accepted, found.quarantined - found.accepted) for found in retried]
    columns = ("topic", "quarantined", "valid now", "still refused")
    show_table(columns, rows, right=columns[1:])
    if any(found.accepted for found in retried):
        say("`music-lakehouse run streaming_pipeline` takes them on to silver and gold")


def _retry_rows(root: str, pipeline: str, table: Table) -> None:
    """Lets each table that follows bronze see all of it at the next run."""
    from music_lakehouse.defs.catalog import LANDED_PIPELINES
    from music_lakehouse.lakehouse.lake import LakePaths
    from music_lakehouse.lakehouse.positions import forget_positions, read_positions

    lake = LakePaths(root)
    refused = lake.rows(table)
    if refused == 0:
        say(f"Nothing of {pipeline} is in quarantine: there is nothing to try again")
        return
    with held(root, "quarantine retry"):
        for name in LANDED_PIPELINES[pipeline]:
            if any(source.startswith("bronze.") for source in read_positions(lake, name)):
                forget_positions(lake, name)
    say(f"{refused:,} rows of {pipeline} are judged again by `music-lakehouse run {pipeline}_pipeline`")


def _quarantine_of(pipeline: str, topic: str | None) -> Table:
    from music_lakehouse.defs.catalog import QUARANTINES

    if pipeline not in QUARANTINES:
        known = ", ".join(QUARANTINES)
        raise typer.BadParameter(f"{pipeline} has no quarantine: {known} have", param_hint="--pipeline")
    if topic is not None and pipeline != STREAMING:
        raise typer.BadParameter(
            f"{pipeline} has no topics: leave out --topic or --pipeline {pipeline}", param_hint="--topic"
        )
    return QUARANTINES[pipeline]


def _event(topic: str, settings: Settings) -> str:
    return event_name(topic, settings.topics, parameter="--topic")
