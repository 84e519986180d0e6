"""Messages on their way to Kafka or to files: counted, shown, and summed up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from music_lakehouse.cli.console import say, show_table
from music_lakehouse.cli.progress import counting

if TYPE_CHECKING:
    from music_lakehouse.settings import Settings
    from music_lakehouse.simulator.messages import Message


class Sent:
    """What one sending took: messages by event name, and seconds. It holds good after an interrupt too."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.seconds = 0.0

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def events(self) -> int:
        """Page views and their listens are one event: so many page views."""
        return self.counts["page_view_events"]

    def counted(self, messages: Iterable[Message]) -> Iterator[Message]:
        for message in messages:
            yield message
            self.counts[message.topic] += 1


def send(messages: Iterable[Message], settings: Settings, *, directory: Path | None, sent: Sent) -> None:
    """Sends the messages to Kafka, or writes them to files in the directory; `sent` is brought up to date as they go.

    Raises what the sinks raise.
    """
    from music_lakehouse.cli.embedded import require_broker
    from music_lakehouse.simulator.sinks import to_files, to_kafka

    if directory is None:
        require_broker(settings)
    started = time.monotonic()
    try:
        with counting("Messages:") as show:
            if directory is None:
                to_kafka(sent.counted(messages), settings, on_progress=show)
            else:
                to_files(sent.counted(messages), directory, on_progress=show)
    finally:
        sent.seconds = time.monotonic() - started


def show_sent(sent: Sent, settings: Settings, *, directory: Path | None) -> None:
    """A line a topic, and how fast it went."""
    names = settings.topics
    places = {name: str(directory / f"{name}.jsonl") for name in names} if directory else names
    rows = [(places[name], sent.counts[name]) for name in names]
    show_table(("file" if directory else "topic", "messages"), rows, right=("messages",))
    rate = sent.events / sent.seconds if sent.seconds else 0
    say(f"{sent.total:,} messages of {sent.events:,} events in {sent.seconds:.1f} s: {rate:,.0f} events a second")
