"""`music-lakehouse quarantine`: what bronze refused, why, and another try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from music_lakehouse.cli.accept_loss import event_name
from music_lakehouse.cli.console import say, show_table

if TYPE_CHECKING:
    from music_lakehouse.settings import Settings

quarantine = typer.Typer(help="Messages that bronze refused: counted, shown, and tried again.")

Topic = Annotated[str | None, typer.Option(help="Only this topic, with KAFKA_TOPIC_PREFIX or without it.")]

COUNTS = """
    SELECT topic, reason, count(*) AS messages, min(kafka_timestamp) AS "first", max(kafka_timestamp) AS "last"
    FROM (SELECT topic, kafka_timestamp, unnest(reasons) AS reason FROM bronze.quarantine)
    GROUP BY ALL ORDER BY topic, messages DESC, reason
"""


@quarantine.command("list", epilog="Example: music-lakehouse quarantine list")
def list_() -> None:
    """Count the quarantined messages by topic and reason. A message counts for each of its reasons."""
    from music_lakehouse.settings import Settings

    show_counts(Settings().lake_uri)


def show_counts(root: str) -> None:
    """The counts by topic and reason, and how many messages there are in all."""
    from music_lakehouse.cli.query import query

    with query(root, COUNTS) as result:
        show_table(result.columns, list(result.rows), right=("messages",), title="In quarantine")
    with query(root, "SELECT count(*) FROM bronze.quarantine") as result:
        [(messages,)] = result.rows
    say(f"{messages:,} messages are in quarantine")


@quarantine.command(epilog="Example: music-lakehouse quarantine show --topic listen_events --reason ts_since_2000")
def show(
    topic: Topic = None,
    reason: Annotated[str | None, typer.Option(help="Only messages that break this rule.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most messages to show.")] = 20,
) -> None:
    """Show quarantined messages, the newest first, with all their reasons.

    Values are cut: `music-lakehouse sql "SELECT * FROM bronze.quarantine" --format json` has them whole. A message
    without a value is a tombstone, or not UTF-8 and as `value_bytes` in its raw table.
    """
    from music_lakehouse.cli.query import query
    from music_lakehouse.cli.sql import print_rows
    from music_lakehouse.settings import Settings

    settings = Settings()
    conditions = ["true"]
    if topic is not None:
        conditions.append(f"topic = '{_event(topic, settings)}'")
    if reason is not None:
        conditions.append("list_contains(reasons, '" + reason.replace("'", "''") + "')")
    statement = f"""
        SELECT topic, kafka_partition AS "partition", kafka_offset AS "offset", kafka_timestamp, reasons, value
        FROM bronze.quarantine WHERE {" AND ".join(conditions)}
        ORDER BY kafka_timestamp DESC, topic, "partition", "offset" DESC
    """
    with query(settings.lake_uri, statement) as result:
        print_rows(result.columns, result.rows, right=("partition", "offset"), limit=limit)


@quarantine.command(epilog="Example: music-lakehouse quarantine retry --topic listen_events")
def retry(topic: Topic = None) -> None:
    """Judge quarantined messages by the rules as they are now: what is valid goes to bronze, by Spark.

    Holds the lake's lock. The next run of streaming_pipeline takes the messages on to silver and gold.
    """
    from music_lakehouse.cli.progress import waiting
    from music_lakehouse.settings import TOPICS, Settings

    settings = Settings()
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


def _event(topic: str, settings: Settings) -> str:
    return event_name(topic, settings.topics, parameter="--topic")
