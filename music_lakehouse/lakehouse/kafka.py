"""What a Kafka broker holds of a topic, asked without Spark: its identity and its offsets."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import TimeoutError as NoAnswerError
from dataclasses import dataclass

from confluent_kafka import IsolationLevel, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
from confluent_kafka.error import KafkaError

from music_lakehouse.lakehouse.kafka_access import open_admin, unavailable
from music_lakehouse.settings import Settings

TIMEOUT_SECONDS = 5.0
# What a broker answers for a moment after a topic is made, or while a partition moves.
NO_LEADER_YET = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
NO_ANSWER = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError.REQUEST_TIMED_OUT,
}
EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
NEWEST: OffsetSpec = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]


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


def describe_topics(
    settings: Settings, names: Iterable[str], *, timeout_seconds: float = TIMEOUT_SECONDS
) -> dict[str, Topic]:
    """The named topics by name, without those that don't exist. Their ends are those of committed messages: behind them
    may be messages of a transaction that is still open.

    Raises BrokerUnavailableError where no broker has told all of it within `timeout_seconds`, BrokerAccessError where
    one refuses us.
    """
    deadline = time.monotonic() + timeout_seconds
    admin, cluster = open_admin(settings, deadline)
    known = cluster.topics
    try:
        partitions = {name: sorted(known[name].partitions) for name in names if name in known}
        if not partitions:
            return {}
        described = admin.describe_topics(TopicCollection(list(partitions)), request_timeout=_left(deadline))
        ids = {name: str(future.result(_left(deadline)).topic_id) for name, future in described.items()}
        places = [TopicPartition(name, partition) for name in partitions for partition in partitions[name]]
        first = _offsets(admin, places, EARLIEST, deadline)
        end = _offsets(admin, places, LATEST, deadline)
    except (KafkaException, NoAnswerError) as error:
        raise unavailable(settings, error) from error
    return {
        name: Topic(name, ids[name], {p: (first[name, p][0], end[name, p][0]) for p in partitions[name]})
        for name in partitions
    }


def ensure_topics(settings: Settings, names: Iterable[str], *, partitions: int = 2) -> list[str]:
    """Create the topics that are missing, and return their names, once the broker tells of them.

    Raises TopicMissingError where the broker doesn't let us create one, BrokerUnavailableError where none answers,
    BrokerAccessError where one refuses us.
    """
    admin, cluster = open_admin(settings, time.monotonic() + TIMEOUT_SECONDS)
    missing = [name for name in names if name not in cluster.topics]
    if not missing:
        return []
    for name, future in admin.create_topics([NewTopic(n, num_partitions=partitions) for n in missing]).items():
        try:
            future.result(TIMEOUT_SECONDS)
        except NoAnswerError as error:
            raise unavailable(settings, error) from error
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue
            if error.args[0].code() in NO_ANSWER:
                raise unavailable(settings, error) from error
            raise TopicMissingError(
                f"topic {name} does not exist on {settings.kafka_bootstrap_servers} and could not be created "
                f"({error.args[0].str()}): create it, or set KAFKA_TOPIC_PREFIX"
            ) from error
    try:
        await_topics(admin, missing, time.monotonic() + TIMEOUT_SECONDS)
    except (KafkaException, TimeoutError) as error:
        raise unavailable(settings, error) from error
    return missing


def await_topics(admin: AdminClient, names: Iterable[str], deadline: float) -> None:
    """Wait until a broker tells of topics that were just created, as it learns of them a moment later. Raises
    TimeoutError at the deadline (`time.monotonic()`), KafkaException where no broker answers."""
    missing = set(names)
    while missing := missing - admin.list_topics(timeout=_left(deadline)).topics.keys():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no broker tells of {', '.join(sorted(missing))}")
        time.sleep(0.05)


def newest_message_time(settings: Settings, topic: Topic) -> int | None:
    """The greatest of Kafka's times (epoch milliseconds) of the topic's messages; None where it is empty.

    Raises BrokerUnavailableError where no broker answers within five seconds, BrokerAccessError where one refuses us.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    admin, _ = open_admin(settings, deadline)
    places = [TopicPartition(topic.name, partition) for partition in topic.offsets]
    try:
        newest = _offsets(admin, places, NEWEST, deadline)
    except (KafkaException, NoAnswerError) as error:
        raise unavailable(settings, error) from error
    return max((sent for offset, sent in newest.values() if offset >= 0), default=None)


def _offsets(
    admin: AdminClient, places: list[TopicPartition], spec: OffsetSpec, deadline: float
) -> dict[tuple[str, int], tuple[int, int]]:
    """By topic and partition, the offset that fits the specification, and its message's time where it asks for one."""
    while True:
        asked = admin.list_offsets(
            dict.fromkeys(places, spec), isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=_left(deadline)
        )
        try:
            found = {(place.topic, place.partition): future.result(_left(deadline)) for place, future in asked.items()}
        except KafkaException as error:
            if error.args[0].code() not in NO_LEADER_YET or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return {place: (result.offset, result.timestamp) for place, result in found.items()}


def _left(deadline: float) -> float:
    return max(0.1, deadline - time.monotonic())
