from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from music_lakehouse.lakehouse.kafka_access import BrokerUnavailableError
from music_lakehouse.settings import TOPICS, Settings
from music_lakehouse.simulator.broker import EmbeddedBroker, free_port
from music_lakehouse.simulator.config import SimulatorConfig
from music_lakehouse.simulator.messages import LISTEN, PAGE_VIEW, Message
from music_lakehouse.simulator.replay import read_recorded
from music_lakehouse.simulator.simulation import simulate
from music_lakehouse.simulator.sinks import DeliveryError, counted, paced, to_files, to_kafka

CONFIG = SimulatorConfig(users=100, days=7, start=datetime(2024, 1, 1))


@pytest.fixture
def settings(broker: EmbeddedBroker, topic_prefix: str) -> Settings:
    return Settings(kafka_bootstrap_servers=broker.bootstrap_servers, kafka_topic_prefix=topic_prefix)


def consume(settings: Settings) -> dict[str, list[tuple[bytes | None, bytes | None, int]]]:
    """Key, value and Kafka's time of all messages, by event name."""
    names = {topic: name for name, topic in settings.topics.items()}
    found: dict[str, list[tuple[bytes | None, bytes | None, int]]] = {name: [] for name in TOPICS}
    consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": "tests"})
    try:
        known = consumer.list_topics(timeout=10).topics
        partitions = [TopicPartition(topic, number, 0) for topic in names for number in known[topic].partitions]
        total = sum(consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in partitions)
        consumer.assign(partitions)
        for message in consumer.consume(total, timeout=30):
            assert message.error() is None
            found[names[str(message.topic())]].append((message.key(), message.value(), message.timestamp()[1]))
    finally:
        consumer.close()
    return found


@pytest.mark.kafka
def test_all_messages_reach_their_topics_without_a_key_at_the_time_of_sending(settings: Settings) -> None:
    messages = list(simulate(CONFIG))
    before = time.time() * 1000
    sent = to_kafka(messages, settings)
    found = consume(settings)
    assert sent == Counter(message.topic for message in messages)
    for topic in TOPICS:
        values = [message.value for message in messages if message.topic == topic]
        assert Counter(value for _, value, _ in found[topic]) == Counter(values)
        assert all(key is None for key, _, _ in found[topic])
        assert all(before - 1000 <= at <= time.time() * 1000 + 1000 for _, _, at in found[topic])


@pytest.mark.kafka
def test_tombstones_and_empty_values_stay_what_they_are(settings: Settings) -> None:
    to_kafka([Message(LISTEN, None, 0), Message(LISTEN, b"", 0), Message(LISTEN, b"\xff", 0)], settings)
    assert Counter(value for _, value, _ in consume(settings)[LISTEN]) == Counter([None, b"", b"\xff"])


@pytest.mark.kafka
def test_a_message_of_five_megabytes_passes_and_one_of_eleven_is_refused_by_name(settings: Settings) -> None:
    assert to_kafka([Message(LISTEN, b"x" * 5_000_000, 0)], settings) == {LISTEN: 1}
    with pytest.raises(DeliveryError, match=r"11000000 bytes for topic .*listen_events"):
        to_kafka([Message(LISTEN, b"x" * 11_000_000, 0)], settings)


@pytest.mark.kafka
def test_an_interrupt_delivers_what_was_sent_before(settings: Settings) -> None:
    def interrupted() -> Iterator[Message]:
        yield from islice(simulate(CONFIG), 500)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        to_kafka(interrupted(), settings)
    assert sum(map(len, consume(settings).values())) == 500


@pytest.mark.kafka
def test_sending_to_kafka_is_fast(settings: Settings) -> None:
    begin = time.perf_counter()
    sent = to_kafka(simulate(SimulatorConfig(users=1000, days=None, events=40_000)), settings)
    rate = sent[PAGE_VIEW] / (time.perf_counter() - begin)
    print(f"{rate:,.0f} events a second to Kafka")
    assert rate > 2_500


@pytest.mark.kafka
def test_a_broker_that_does_not_answer_is_named_with_the_remedy_within_ten_seconds() -> None:
    settings = Settings(kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")
    begin = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match=r"no Kafka broker answers at 127\.0\.0\.1:\d+ .* broker start"):
        to_kafka([Message(LISTEN, b"{}", 0)], settings)
    assert time.monotonic() - begin < 10


def test_files_hold_one_line_a_message_and_replay_gives_the_same(tmp_path: Path) -> None:
    messages = [*simulate(CONFIG), Message(LISTEN, b'{"cut": ', 0), Message(LISTEN, None, 0)]
    sent = to_files(messages, tmp_path / "out")
    assert sent == Counter(message.topic for message in messages)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{topic}.jsonl" for topic in sent}
    recorded = Counter((message.topic, message.value) for message in read_recorded([tmp_path / "out"]))
    expected = Counter((message.topic, message.value) for message in messages[:-2])
    assert recorded == expected + Counter({(LISTEN, b'{"cut": \n'): 1, (LISTEN, b"\n"): 1})


def test_paced_messages_wait_for_their_time() -> None:
    now = int(time.time() * 1000)
    begin = time.monotonic()
    values = [message.timestamp - now for message in paced(Message(LISTEN, b"", now + ms) for ms in (-5000, 150, 300))]
    assert values == [-5000, 150, 300]
    assert time.monotonic() - begin >= 0.28


def test_a_live_run_keeps_its_pace() -> None:
    begin = time.time()
    messages = list(paced(simulate(SimulatorConfig(users=20, days=None, live_rate=100.0, events=51))))
    assert 0.49 <= time.time() - begin < 5
    assert all(begin * 1000 - 2 <= message.timestamp <= time.time() * 1000 for message in messages)


def test_progress_is_told_every_thousand_messages_and_at_the_end() -> None:
    seen: list[int] = []
    assert sum(1 for _ in counted((Message(LISTEN, b"", 0) for _ in range(2500)), seen.append)) == 2500
    assert seen == [1000, 2000, 2500]
