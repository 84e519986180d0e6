"""The Kafka brokers of a run."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from music_lakehouse.lakehouse import kafka
from music_lakehouse.settings import Settings


class KafkaResource(dg.ConfigurableResource):
    """Where the topics are. What is secret is read from the environment at use, never from Dagster's configuration."""

    bootstrap_servers: str = Field(description="brokers, host:port, comma-separated")
    topic_prefix: str = Field(default="", description="put before the four topic names")
    max_messages_per_batch: int = Field(
        default=1_000_000, description="most messages of a topic that one micro-batch takes"
    )

    @property
    def settings(self) -> Settings:
        return Settings().model_copy(
            update={"kafka_bootstrap_servers": self.bootstrap_servers, "kafka_topic_prefix": self.topic_prefix}
        )

    def topic(self, event: str) -> kafka.Topic:
        """The event's topic as the broker holds it now, created where it is missing.

        Raises BrokerUnavailableError, or TopicMissingError where it may not be created.
        """
        settings = self.settings
        name = settings.topics[event]
        kafka.ensure_topics(settings, [name])
        return kafka.describe_topics(settings, [name])[name]
