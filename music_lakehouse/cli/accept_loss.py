"""`music-lakehouse accept-loss`: go on without messages that Kafka no longer has."""

from __future__ import annotations

from typing import Annotated

import typer

from music_lakehouse.cli.console import cell, say, show_table
from music_lakehouse.cli.held import held

EXAMPLE = "Example: music-lakehouse accept-loss listen_events"


def accept_loss(
    topic: Annotated[str, typer.Argument(help="The topic, with KAFKA_TOPIC_PREFIX or without it.")],
) -> None:
    """Record what was never read of a topic and can't be any more as lost, so that runs go on behind the gap.

    Kafka expired the messages, or the topic was made anew. The gaps are kept in metrics.accepted_loss.
    """
    from music_lakehouse.cli.embedded import require_broker
    from music_lakehouse.defs.listening.tables import RAW
    from music_lakehouse.lakehouse.kafka import TopicMissingError, describe_topics
    from music_lakehouse.lakehouse.kafka_positions import accept_losses
    from music_lakehouse.lakehouse.lake import LakePaths
    from music_lakehouse.settings import Settings

    settings = Settings()
    event = event_name(topic, settings.topics)
    name = settings.topics[event]
    require_broker(settings)
    found = describe_topics(settings, [name])
    if name not in found:
        raise TopicMissingError(
            f"topic {name} does not exist on {settings.kafka_bootstrap_servers}: nothing can be said of it"
        )
    with held(settings.lake_uri, "accept-loss"):
        losses = accept_losses(LakePaths(settings.lake_uri), RAW[event], found[name])
    if not losses:
        say(f"Nothing of {name} is lost: all that was not read yet is still on Kafka")
        return
    columns = ("kafka_topic_id", "kafka_partition", "from_offset", "to_offset", "reason")
    rows = [[cell(loss[column]) for column in columns] for loss in losses]
    show_table(columns, rows, title=f"Accepted as lost of {name}", right=columns[1:4])
    say("Now `music-lakehouse run streaming_pipeline` goes on behind the gap")


def event_name(topic: str, topics: dict[str, str], *, parameter: str = "TOPIC") -> str:
    """The event name of a topic that is given with the prefix or without it. Raises a usage error for another name."""
    for event, name in topics.items():
        if topic in (event, name):
            return event
    raise typer.BadParameter(f"there is no topic {topic}: topics are {', '.join(topics)}", param_hint=parameter)
