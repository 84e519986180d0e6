from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse_tests.oracle.compare import messages_from_kafka


def test_the_oracle_loads_nothing_of_the_package_under_test() -> None:
    program = (
        "import sys, music_lakehouse_tests.oracle.compare, music_lakehouse_tests.oracle.laws\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'music_lakehouse'])"
    )
    root = Path(__file__).parents[2]
    loaded = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


@pytest.mark.kafka
def test_committed_messages_come_from_the_broker_as_they_are(broker: EmbeddedBroker, topic_prefix: str) -> None:
    topic = f"{topic_prefix}listen_events"
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])[topic].result()
    plain = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for partition, value in [(0, b"{}"), (0, None), (1, b"\xff"), (1, b"")]:
        plain.produce(topic, value, partition=partition, timestamp=1_700_000_000_123)
    plain.flush()
    transactional = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": topic})
    transactional.init_transactions()
    for commit in (False, True):
        transactional.begin_transaction()
        transactional.produce(topic, str(commit).encode(), partition=0, timestamp=1_700_000_000_456)
        transactional.flush()
        if commit:
            transactional.commit_transaction()
        else:
            transactional.abort_transaction()

    found = sorted(messages_from_kafka(broker.bootstrap_servers, {"listen_events": topic}), key=lambda each: each[3:5])

    assert [each[3:] for each in found] == [
        (0, 0, 1_700_000_000_123, b"{}"),
        (0, 1, 1_700_000_000_123, None),
        (0, 4, 1_700_000_000_456, b"True"),
        (1, 0, 1_700_000_000_123, b"\xff"),
        (1, 1, 1_700_000_000_123, b""),
    ]
    ((event_name, name, topic_id),) = {each[:3] for each in found}
    assert (event_name, name, len(topic_id)) == ("listen_events", topic, 22)


@pytest.mark.kafka
def test_a_topic_that_does_not_exist_is_an_error(broker: EmbeddedBroker, topic_prefix: str) -> None:
    with pytest.raises(KafkaException, match="UNKNOWN_TOPIC_OR_PART"):
        messages_from_kafka(broker.bootstrap_servers, {"listen_events": f"{topic_prefix}missing"})
