from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from music_lakehouse.simulator.broker import STOP_SECONDS, BrokerError, EmbeddedBroker, free_port

START = """
from pathlib import Path
from music_lakehouse.simulator.broker import EmbeddedBroker
EmbeddedBroker(Path({data!r}), {port}).start()
"""


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker for one test, not started, in a directory whose name holds what a path may hold."""
    broker = EmbeddedBroker(tmp_path / "Müller, data", free_port())
    yield broker
    broker.stop()


def produce(broker: EmbeddedBroker, topic: str, value: bytes, timestamp: int = 0) -> None:
    """Sends one message to partition 0 and waits until the broker has it; raises what the delivery reports."""
    problems = []
    producer = Producer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "message.max.bytes": 10_000_000,
            "message.timeout.ms": 20_000,
            "topic.metadata.propagation.max.ms": 2_000,
        }
    )
    producer.produce(
        topic, value, partition=0, timestamp=timestamp, on_delivery=lambda error, _: problems.append(error)
    )
    producer.flush(30)
    assert len(problems) == 1
    if problems[0] is not None:
        raise KafkaException(problems[0])


def consume(broker: EmbeddedBroker, topic: str, count: int) -> list[Message]:
    """The first `count` messages of partition 0, or those that there are after 20 seconds."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "test", "fetch.max.bytes": 10**7})
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages: list[Message] = []
    deadline = time.monotonic() + 20
    while len(messages) < count and time.monotonic() < deadline:
        messages += consumer.consume(count - len(messages), timeout=1)
    consumer.close()
    return messages


def process_id(broker: EmbeddedBroker) -> int:
    pid: int = json.loads((broker.data / "broker.json").read_text())["pid"]
    return pid


def kill(broker: EmbeddedBroker) -> None:
    process = psutil.Process(process_id(broker))
    process.kill()
    process.wait(10)


@pytest.mark.kafka
def test_missing_topics_are_created_with_two_partitions_and_others_are_left(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    one, two = f"{topic_prefix}one", f"{topic_prefix}two"

    assert broker.create_topics([one], partitions=3) == [one]
    assert broker.create_topics([one, two]) == [two]

    topics = AdminClient({"bootstrap.servers": broker.bootstrap_servers}).list_topics(timeout=10).topics
    assert (len(topics[one].partitions), len(topics[two].partitions)) == (3, 2)


@pytest.mark.kafka
def test_a_topic_name_that_kafka_refuses_is_named(broker: EmbeddedBroker) -> None:
    with pytest.raises(BrokerError, match=r"Topic a topic was not created on 127\.0\.0\.1"):
        broker.create_topics(["a topic"])


@pytest.mark.kafka
def test_a_message_of_five_megabytes_goes_through_whole(broker: EmbeddedBroker, topic_prefix: str) -> None:
    topic = f"{topic_prefix}large"
    value = os.urandom(5_000_000)
    broker.create_topics([topic])

    produce(broker, topic, value)

    assert [message.value() for message in consume(broker, topic, 1)] == [value]


@pytest.mark.kafka
def test_messages_of_past_and_coming_years_are_taken_and_never_expire(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}years"
    broker.create_topics([topic])
    times = [978_307_200_000, 4_102_444_800_000]

    for moment in times:
        produce(broker, topic, b"{}", timestamp=moment)

    assert [message.timestamp()[1] for message in consume(broker, topic, 2)] == times
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    configuration = admin.describe_configs([resource])[resource].result(timeout=10)
    assert {name: configuration[name].value for name in ("retention.ms", "retention.bytes")} == {
        "retention.ms": "-1",
        "retention.bytes": "-1",
    }


@pytest.mark.kafka
def test_a_topic_that_nobody_created_is_not_there(broker: EmbeddedBroker, topic_prefix: str) -> None:
    with pytest.raises(KafkaException, match="UNKNOWN_TOPIC_OR_PART"):
        produce(broker, f"{topic_prefix}unknown", b"{}")


@pytest.mark.kafka
def test_two_brokers_run_side_by_side_with_topics_of_their_own(
    broker: EmbeddedBroker, own_broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}own"
    own_broker.start()

    assert own_broker.create_topics([topic]) == [topic]
    assert broker.create_topics([topic]) == [topic]
    own_broker.stop()
    assert broker.is_running()


@pytest.mark.kafka
def test_a_second_start_leaves_the_running_broker_as_it_is(own_broker: EmbeddedBroker) -> None:
    own_broker.start()
    first = process_id(own_broker)

    EmbeddedBroker(own_broker.data, own_broker.port).start()

    assert process_id(own_broker) == first


@pytest.mark.kafka
def test_a_start_on_another_port_names_the_port_that_the_broker_has(own_broker: EmbeddedBroker) -> None:
    own_broker.start()

    with pytest.raises(BrokerError, match=f"runs on port {own_broker.port}, not 9.*KAFKA_BOOTSTRAP_SERVERS"):
        EmbeddedBroker(own_broker.data, 9).start()
    assert own_broker.is_running()


@pytest.mark.slow
@pytest.mark.kafka
def test_after_a_stop_the_messages_are_still_there(own_broker: EmbeddedBroker) -> None:
    own_broker.start()
    own_broker.create_topics(["kept"])
    produce(own_broker, "kept", b"before")

    assert own_broker.stop()
    assert not own_broker.is_running()
    own_broker.start()

    produce(own_broker, "kept", b"after")
    assert [message.value() for message in consume(own_broker, "kept", 2)] == [b"before", b"after"]


@pytest.mark.kafka
@pytest.mark.chaos
def test_after_a_kill_the_messages_are_still_there(own_broker: EmbeddedBroker) -> None:
    own_broker.start()
    own_broker.create_topics(["kept"])
    produce(own_broker, "kept", b"before")

    kill(own_broker)
    assert not own_broker.is_running()
    own_broker.start()

    produce(own_broker, "kept", b"after")
    assert [message.value() for message in consume(own_broker, "kept", 2)] == [b"before", b"after"]


@pytest.mark.kafka
def test_a_broker_outlives_the_program_that_started_it_and_another_program_stops_it(
    own_broker: EmbeddedBroker,
) -> None:
    program = START.format(data=str(own_broker.data), port=own_broker.port)

    subprocess.run([sys.executable, "-c", program], check=True)

    pid = process_id(own_broker)
    assert os.getsid(pid) == os.getpgid(pid) == pid
    assert own_broker.create_topics(["after"]) == ["after"]
    assert own_broker.stop()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.kafka
def test_a_broker_is_stopped_at_once_whose_program_lives_and_does_not_look(own_broker: EmbeddedBroker) -> None:
    """What has ended stays in the system's table until the program that started it asks."""
    keeps = f"""
import sys
from pathlib import Path
from music_lakehouse.simulator.broker import EmbeddedBroker
broker = EmbeddedBroker(Path({str(own_broker.data)!r}), {own_broker.port})
broker.start()
print("up", flush=True)
sys.stdin.read()
"""
    program = subprocess.Popen([sys.executable, "-c", keeps], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "up\n"
        began = time.monotonic()
        assert own_broker.stop()
        assert time.monotonic() - began < STOP_SECONDS
        assert not own_broker.is_running()
    finally:
        program.communicate()


@pytest.mark.kafka
def test_a_storage_that_was_half_formatted_is_formatted_again(own_broker: EmbeddedBroker) -> None:
    (own_broker.data / "log.new").mkdir(parents=True)
    (own_broker.data / "log.new" / "meta.properties").write_text("cluster.id=hal")

    own_broker.start()

    assert own_broker.create_topics(["works"]) == ["works"]


@pytest.mark.kafka
def test_a_cluster_id_that_looks_like_an_option_is_taken(
    own_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins_with_a_dash = uuid.UUID(bytes=b"\xfb" + bytes(15))
    monkeypatch.setattr(uuid, "uuid4", lambda: begins_with_a_dash)

    own_broker.start()

    assert "cluster.id=-" in (own_broker.data / "log" / "meta.properties").read_text()


@pytest.mark.kafka
def test_a_broker_that_ends_while_it_starts_says_where_its_log_is(own_broker: EmbeddedBroker) -> None:
    broken = EmbeddedBroker(own_broker.data, own_broker.port, heap="1k")
    (own_broker.data / "log").mkdir(parents=True)

    with pytest.raises(BrokerError, match=re.escape(f"ended while it started: see {broken.log_file}")):
        broken.start()
    assert "Too small" in broken.log_file.read_text()
    assert not broken.is_running()


def test_a_port_that_is_taken_is_named_with_the_remedy(own_broker: EmbeddedBroker) -> None:
    with (
        socket.create_server(("127.0.0.1", own_broker.port)),
        pytest.raises(BrokerError, match=rf"Port {own_broker.port} .*KAFKA_BOOTSTRAP_SERVERS"),
    ):
        own_broker.start()
    assert not own_broker.is_running()


def test_stopping_a_broker_that_never_ran_does_nothing(own_broker: EmbeddedBroker) -> None:
    assert not own_broker.stop()
    assert not own_broker.is_running()
    assert not own_broker.data.exists()


def test_a_process_that_has_the_dead_brokers_id_is_not_taken_for_it(own_broker: EmbeddedBroker) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        started = psutil.Process(other.pid).create_time() - 3600
        own_broker.data.mkdir()
        record = {"pid": other.pid, "started": started, "port": own_broker.port}
        (own_broker.data / "broker.json").write_text(json.dumps(record))

        assert not own_broker.is_running()
        assert not own_broker.stop()
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("content", ['{"pid": 4194303, "started": 0, "port": 1}', '{"pid": 41', ""])
def test_a_stale_or_torn_process_file_means_that_no_broker_runs(own_broker: EmbeddedBroker, content: str) -> None:
    own_broker.data.mkdir()
    (own_broker.data / "broker.json").write_text(content)

    assert not own_broker.is_running()
    assert not own_broker.stop()
    assert not (own_broker.data / "broker.json").exists()


def test_free_ports_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert server.getsockname()[1] > 1024
