"""What a Kafka broker holds of a topic, asked without Spark: its identity and its offsets; and how clients log in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.error import KafkaError

from music_lakehouse.settings import Settings

TIMEOUT_SECONDS = 5.0


class BrokerUnavailableError(RuntimeError):
    """No broker answered in time."""


class TopicMissingError(RuntimeError):
    """The broker doesn't know the topic."""


@dataclass(frozen=True)
class Topic:
    """A topic as the broker holds it now. `offsets` has, by partition, the first offset it still keeps and the one that
    the next message will get."""

    name: str
    topic_id: str
    offsets: dict[int, tuple[int, int]]

    @property
    def end_offsets(self) -> dict[int, int]:
        return {partition: end for partition, (_, end) in self.offsets.items()}


def client_config(settings: Settings) -> dict[str, Any]:
    """librdkafka's settings for these brokers."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol,
        "log_level": 0,
    }
    if settings.kafka_sasl_mechanism:
        config["sasl.mechanism"] = settings.kafka_sasl_mechanism
        config["sasl.username"] = settings.kafka_sasl_username
        config["sasl.password"] = _secret(settings)
    if settings.kafka_ssl_ca_location:
        config["ssl.ca.location"] = str(settings.kafka_ssl_ca_location)
    return config


def spark_options(settings: Settings) -> dict[str, str]:
    """The same for Spark's Kafka source. Read committed: messages of aborted transactions are never seen."""
    options = {
        "kafka.bootstrap.servers": settings.kafka_bootstrap_servers,
        "kafka.security.protocol": settings.kafka_security_protocol,
        "kafka.isolation.level": "read_committed",
    }
    if settings.kafka_sasl_mechanism:
        scram = settings.kafka_sasl_mechanism.startswith("SCRAM")
        module = "scram.ScramLoginModule" if scram else "plain.PlainLoginModule"
        options["kafka.sasl.mechanism"] = settings.kafka_sasl_mechanism
        options["kafka.sasl.jaas.config"] = (
            f"org.apache.kafka.common.security.{module} required "
            f'username="{settings.kafka_sasl_username}" password="{_secret(settings)}";'
        )
    if settings.kafka_ssl_ca_location:
        options["kafka.ssl.truststore.type"] = "PEM"
        options["kafka.ssl.truststore.location"] = str(settings.kafka_ssl_ca_location)
    return options


def describe_topics(settings: Settings, names: Iterable[str]) -> dict[str, Topic]:
    """The named topics by name, without those that don't exist.

    Raises BrokerUnavailableError where no broker answers within five seconds.
    """
    wanted = list(names)
    admin = AdminClient(client_config(settings))
    try:
        known = set(admin.list_topics(timeout=TIMEOUT_SECONDS).topics)
        described = admin.describe_topics(
            TopicCollection([name for name in wanted if name in known]), request_timeout=TIMEOUT_SECONDS
        )
        ids = {name: str(future.result(TIMEOUT_SECONDS).topic_id) for name, future in described.items()}
        return {name: _topic(settings, admin, name, topic_id) for name, topic_id in ids.items()}
    except KafkaException as error:
        raise _unavailable(settings, error) from error


def ensure_topics(settings: Settings, names: Iterable[str], *, partitions: int = 2) -> list[str]:
    """Create the topics that are missing, and return their names.

    Raises TopicMissingError where the broker doesn't let us create one, BrokerUnavailableError where none answers.
    """
    admin = AdminClient(client_config(settings))
    try:
        known = set(admin.list_topics(timeout=TIMEOUT_SECONDS).topics)
    except KafkaException as error:
        raise _unavailable(settings, error) from error
    missing = [name for name in names if name not in known]
    if not missing:
        return []
    for name, future in admin.create_topics([NewTopic(n, num_partitions=partitions) for n in missing]).items():
        try:
            future.result(TIMEOUT_SECONDS)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue
            raise TopicMissingError(
                f"topic {name} does not exist on {settings.kafka_bootstrap_servers} and could not be created "
                f"({error.args[0].str()}): create it, or set KAFKA_TOPIC_PREFIX"
            ) from error
    return missing


def newest_message_time(settings: Settings, topic: Topic) -> int | None:
    """Kafka's time (epoch milliseconds) of the newest message at the topic's end; None where it is empty.

    Raises BrokerUnavailableError where no broker answers.
    """
    consumer = Consumer(
        {**client_config(settings), "group.id": "music-lakehouse-observer", "enable.auto.commit": False}
    )
    try:
        newest = None
        for partition, (first, end) in topic.offsets.items():
            if end == first:
                continue
            consumer.assign([TopicPartition(topic.name, partition, end - 1)])
            message = consumer.poll(TIMEOUT_SECONDS)
            if message is not None and message.error() is None:
                newest = max(newest or 0, message.timestamp()[1])
        return newest
    except KafkaException as error:
        raise _unavailable(settings, error) from error
    finally:
        consumer.close()


def _topic(settings: Settings, admin: AdminClient, name: str, topic_id: str) -> Topic:
    consumer = Consumer(
        {**client_config(settings), "group.id": "music-lakehouse-observer", "enable.auto.commit": False}
    )
    try:
        metadata = admin.list_topics(name, timeout=TIMEOUT_SECONDS).topics[name]
        offsets = {
            partition: consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=TIMEOUT_SECONDS)
            for partition in sorted(metadata.partitions)
        }
        return Topic(name, topic_id, offsets)
    finally:
        consumer.close()


def _unavailable(settings: Settings, error: KafkaException) -> BrokerUnavailableError:
    return BrokerUnavailableError(
        f"no Kafka broker answers at {settings.kafka_bootstrap_servers} ({error.args[0].str()}): start it "
        "(`music-lakehouse broker start` starts the embedded one), or set KAFKA_BOOTSTRAP_SERVERS"
    )


def _secret(settings: Settings) -> str:
    return settings.kafka_sasl_password.get_secret_value() if settings.kafka_sasl_password else ""
