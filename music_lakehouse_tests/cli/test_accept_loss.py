from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from confluent_kafka.admin import AdminClient
from deltalake import write_deltalake

from music_lakehouse.defs.listening.tables import RAW
from music_lakehouse.lakehouse.kafka import describe_topics
from music_lakehouse.lakehouse.kafka_positions import ACCEPTED_LOSS, record_read_up_to
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.records import read_records
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse_tests.cli.conftest import Command


@pytest.mark.kafka
@pytest.mark.usefixtures("own_topics")
def test_a_topic_made_anew_is_accepted_by_either_name_and_the_gaps_are_shown_once(
    command: Command, broker: EmbeddedBroker, topic_prefix: str, place: Path
) -> None:
    name = f"{topic_prefix}listen_events"
    lake = LakePaths(str(place / "data" / "lakehouse"))
    table = RAW["listen_events"]
    write_deltalake(
        lake.path(table), pa.table({"kafka_topic_id": ["other"], "kafka_partition": [0], "kafka_offset": [1]})
    )
    broker.create_topics([name])
    old = describe_topics(Settings(), [name])[name]
    record_read_up_to(lake, table, old, {0: 5, 1: 0})
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.delete_topics([name])[name].result(30)
    while describe_topics(Settings(), [name]):
        pass
    gone = command("accept-loss", "listen_events")
    broker.create_topics([name])

    first = command("accept-loss", name)
    second = command("accept-loss", "listen_events")

    assert gone.code == 1
    assert f"topic {name} does not exist" in gone.error
    assert first.code == 0
    assert old.topic_id in first.out
    assert "made anew" in first.out
    recorded = read_records(lake, ACCEPTED_LOSS)
    assert {(row["kafka_partition"], row["from_offset"]) for row in recorded} == {(0, 5), (1, 0)}
    assert second.code == 0
    assert "Nothing of" in second.out
    assert len(read_records(lake, ACCEPTED_LOSS)) == 2


@pytest.mark.usefixtures("place")
def test_without_a_broker_nothing_is_accepted(command: Command) -> None:
    ran = command("accept-loss", "auth_events")

    assert ran.code == 1
    assert "no Kafka broker answers" in ran.error
