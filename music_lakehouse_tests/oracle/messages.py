"""The oracle's input: Kafka messages, from the broker itself or back from a lake's raw tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from music_lakehouse_tests.oracle.lake import read_table
from music_lakehouse_tests.oracle.values import EPOCH

TOPICS = ("listen_events", "page_view_events", "auth_events", "status_change_events")
PATIENCE_SECONDS = 30.0
BATCH_SECONDS = 0.1
"""How long a batch is gathered: confluent-kafka waits that long for a full one, also when no more can come."""


class Message(NamedTuple):
    """One Kafka message; `event_name` is the topic's name without a prefix, `value` None for a tombstone."""

    event_name: str
    kafka_topic: str
    topic_id: str
    partition: int
    offset: int
    kafka_timestamp_ms: int
    value: bytes | None


def messages_from_raw(root: str | Path) -> list[Message]:
    """Every message that the lake's raw tables hold; a raw table that isn't there counts as empty."""
    return [
        Message(
            event_name,
            row["kafka_topic"],
            row["kafka_topic_id"],
            row["kafka_partition"],
            row["kafka_offset"],
            (row["kafka_timestamp"] - EPOCH) // timedelta(milliseconds=1),
            row["value_bytes"] if row["value"] is None else row["value"].encode(),
        )
        for event_name in TOPICS
        for row in read_table(root, f"raw.{event_name}")
    ]


def messages_from_kafka(bootstrap: str, topics: Mapping[str, str]) -> list[Message]:
    """Every committed message that the topics hold now; `topics` maps event names to topic names. A topic that
    doesn't exist raises KafkaException, a broker that falls silent TimeoutError."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    described = admin.describe_topics(TopicCollection(list(topics.values())), request_timeout=PATIENCE_SECONDS)
    found: list[Message] = []
    for event_name, topic in topics.items():
        description = described[topic].result()
        topic_id, partitions = str(description.topic_id), [each.id for each in description.partitions]
        found += _read_topic(bootstrap, event_name, topic, topic_id, partitions)
    return found


def _read_topic(bootstrap: str, event_name: str, topic: str, topic_id: str, partitions: list[int]) -> Iterator[Message]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "oracle",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    try:
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
        unfinished, heard_at = set(partitions), monotonic()
        while unfinished:
            batch = consumer.consume(10_000, timeout=BATCH_SECONDS)
            if batch:
                heard_at = monotonic()
            elif monotonic() - heard_at > PATIENCE_SECONDS:
                raise TimeoutError(f"{bootstrap} sent nothing of {topic} for {PATIENCE_SECONDS:.0f} s")
            for message in batch:
                partition, offset, error = message.partition(), message.offset(), message.error()
                assert partition is not None, f"a message of {topic} without a partition"
                if error is None:
                    assert offset is not None, f"a message of {topic} without an offset"
                    timestamp = message.timestamp()[1]
                    yield Message(event_name, topic, topic_id, partition, offset, timestamp, message.value())
                elif error.code() == KafkaError._PARTITION_EOF:
                    unfinished.discard(partition)
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()
