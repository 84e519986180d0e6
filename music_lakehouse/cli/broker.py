"""`music-lakehouse broker`: the embedded Kafka broker, started, stopped and looked at."""

from __future__ import annotations

import typer

from music_lakehouse.cli.console import say, show_table
from music_lakehouse.cli.progress import waiting

broker = typer.Typer(
    help="The embedded Kafka broker: a real Kafka on the loopback, for development and the demo.",
    epilog="Example: music-lakehouse broker start",
)


@broker.command(epilog="Example: music-lakehouse broker start")
def start() -> None:
    """Start the broker and leave it running; return once it answers and the four topics exist.

    It listens on the port of KAFKA_BOOTSTRAP_SERVERS on 127.0.0.1 and keeps its messages in BROKER_DATA.
    """
    from music_lakehouse.cli.embedded import embedded_broker
    from music_lakehouse.settings import Settings

    settings = Settings()
    embedded = embedded_broker(settings)
    ran = embedded.is_running()
    with waiting("Starting Kafka"):
        embedded.start()
        created = embedded.create_topics(settings.topics.values())
    say(f"Kafka {'runs already' if ran else 'is up'} at {embedded.bootstrap_servers}, its data in {embedded.data}")
    say(f"Topics: {', '.join(settings.topics.values())}" + (f" ({len(created)} new)" if created else ""))


@broker.command(epilog="Example: music-lakehouse broker stop")
def stop() -> None:
    """Stop the broker. Its messages stay, and are there again after the next start."""
    from music_lakehouse.cli.embedded import embedded_broker
    from music_lakehouse.settings import Settings

    embedded = embedded_broker(Settings())
    with waiting("Stopping Kafka"):
        ran = embedded.stop()
    say(f"Kafka of {embedded.data} is stopped" if ran else f"No broker of {embedded.data} was running")


@broker.command(epilog="Example: music-lakehouse broker status")
def status() -> None:
    """Show what the broker holds, embedded or not. Exit code 1 where none answers or a topic is missing."""
    from music_lakehouse.cli.embedded import require_broker
    from music_lakehouse.lakehouse.kafka import describe_topics
    from music_lakehouse.settings import Settings

    settings = Settings()
    require_broker(settings)
    topics = describe_topics(settings, settings.topics.values())
    say(f"Kafka answers at {settings.kafka_bootstrap_servers}")
    rows = []
    for name in settings.topics.values():
        topic = topics.get(name)
        offsets = topic.offsets.values() if topic else ()
        messages = sum(end - first for first, end in offsets)
        rows.append((name, len(offsets), messages) if topic else (name, "missing", ""))
    show_table(("topic", "partitions", "messages"), rows, right=("partitions", "messages"))
    if len(topics) < len(settings.topics):
        say("The first run makes the topics that are missing, where it may; so does `music-lakehouse broker start`")
        raise typer.Exit(1)
