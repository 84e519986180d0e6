"""Where messages go: to Kafka or to files, at once or at the pace of the wall clock."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage

from music_lakehouse.lakehouse.kafka import ensure_topics
from music_lakehouse.lakehouse.kafka_access import client_config
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.messages import PROGRESS_EVERY, Message, Progress

MAX_MESSAGE_BYTES = 10 * 1024 * 1024
DELIVERY_SECONDS = 30


class DeliveryError(RuntimeError):
    """Kafka didn't take a message; the text is one line with the remedy."""


def to_kafka(messages: Iterable[Message], settings: Settings, *, on_progress: Progress | None = None) -> dict[str, int]:
    """Sends the messages to the topics of `settings`, and returns how many each event name got once all are
    acknowledged.

    Without a key, so that partitions are chosen freely; the producer is idempotent, so that its retries neither double
    nor reorder. Kafka's timestamps are the time of sending. Topics that are missing are created. Memory is bounded; an
    interrupt still delivers what was sent before.
    Raises BrokerUnavailableError or BrokerAccessError (within five seconds), TopicMissingError, or DeliveryError where
    a message wasn't acknowledged within 30 seconds or is too large.
    """
    topics = settings.topics
    ensure_topics(settings, topics.values())
    failures: list[tuple[KafkaError, KafkaMessage]] = []
    producer = Producer(
        {
            **client_config(settings),
            "enable.idempotence": True,
            "linger.ms": 20,
            "batch.size": 512 * 1024,
            "compression.type": "lz4",
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "message.timeout.ms": DELIVERY_SECONDS * 1000,
            "queue.buffering.max.messages": 50_000,
            "delivery.report.only.error": True,
            "on_delivery": lambda error, message: failures.append((error, message)),
        }
    )
    sent: Counter[str] = Counter()
    try:
        for message in counted(messages, on_progress):
            while True:
                try:
                    producer.produce(topics[message.topic], message.value)
                    break
                except BufferError:
                    producer.poll(0.1)
                    _raise_first(failures, settings)
                except KafkaException as error:
                    raise _delivery_error(error.args[0], topics[message.topic], message.value, settings) from error
            sent[message.topic] += 1
            producer.poll(0)
            _raise_first(failures, settings)
    except DeliveryError:
        producer.purge()
        raise
    finally:
        producer.flush()
    _raise_first(failures, settings)
    return dict(sent)


def to_files(messages: Iterable[Message], directory: Path, *, on_progress: Progress | None = None) -> dict[str, int]:
    """Writes the messages to `TOPIC.jsonl` in the directory, one line a message, and returns how many each got.

    The directory is created, files of these names are replaced. A tombstone and an empty value are an empty line.
    """
    directory.mkdir(parents=True, exist_ok=True)
    sent: Counter[str] = Counter()
    files: dict[str, IO[bytes]] = {}
    with ExitStack() as stack:
        for message in counted(messages, on_progress):
            if message.topic not in files:
                files[message.topic] = stack.enter_context((directory / f"{message.topic}.jsonl").open("wb"))
            line = message.value or b""
            files[message.topic].write(line if line.endswith(b"\n") else line + b"\n")
            sent[message.topic] += 1
    return dict(sent)


def paced(messages: Iterable[Message]) -> Iterator[Message]:
    """The messages, each no sooner than its own time; what is older comes at once."""
    for message in messages:
        ahead = message.timestamp / 1000 - time.time()
        if ahead > 0:
            time.sleep(ahead)
        yield message


def counted(messages: Iterable[Message], on_progress: Progress | None) -> Iterator[Message]:
    """The messages as they are; `on_progress` is told how many went by, every thousand and at the end."""
    number = 0
    for number, message in enumerate(messages, 1):
        yield message
        if on_progress is not None and number % PROGRESS_EVERY == 0:
            on_progress(number)
    if on_progress is not None:
        on_progress(number)


def _raise_first(failures: list[tuple[KafkaError, KafkaMessage]], settings: Settings) -> None:
    if failures:
        error, message = failures[0]
        raise _delivery_error(error, str(message.topic()), message.value(), settings)


def _delivery_error(error: KafkaError, topic: str, value: bytes | None, settings: Settings) -> DeliveryError:
    return DeliveryError(
        f"Kafka at {settings.kafka_bootstrap_servers} did not take a message of {len(value or b'')} bytes for topic "
        f"{topic} ({error.str()}): see that the broker runs and takes messages of that size, and send again; what it "
        "acknowledged before stays"
    )
