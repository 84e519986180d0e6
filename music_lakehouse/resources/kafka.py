"""The Kafka brokers of a run."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg
from pydantic import Field

from music_lakehouse.lakehouse import kafka
from music_lakehouse.settings import Settings


class KafkaResource(dg.ConfigurableResource):
    """Where the topics are. What is secret is read from the environment at use, never from Dagster's configuration."""

    bootstrap_servers: str = Field(description="brokers, host:port, comma-separated")
    topic_prefix: str = Field(default="", description="put before the four topic names")
    max_messages_per_batch: int = Field(
        default=1_000_000,
        description="most messages of a topic that one micro-batch takes; 100,000 at most once its table has rows",
    )

    @property
    def settings(self) -> Settings:
        return Settings().model_copy(
            update={"kafka_bootstrap_servers": self.bootstrap_servers, "kafka_topic_prefix": self.topic_prefix}
        )

    def topics(self, events: Iterable[str]) -> dict[str, kafka.Topic]:
        """The events' topics, by event, as the broker holds them now, created where they are missing.

        Raises BrokerUnavailableError, BrokerAccessError, or TopicMissingError where one may not be created.
        """
        settings = self.settings
        names = {event: settings.topics[event] for event in events}
        found = kafka.describe_topics(settings, names.values())
        missing = [name for name in names.values() if name not in found]
        if missing:
            kafka.ensure_topics(settings, missing)
            found |= kafka.describe_topics(settings, missing)
        return {event: found[name] for event, name in names.items()}
