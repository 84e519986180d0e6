from __future__ import annotations

import socket
import time
from datetime import datetime, timezone
from pathlib import Path

import dagster as dg
import pytest
from confluent_kafka import Producer

from music_lakehouse.cli.standing import Looker, Seen
from music_lakehouse.lakehouse.expectations import EXPECTATIONS
from music_lakehouse.lakehouse.kafka import describe_topics
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.records import append_records
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import EmbeddedBroker, free_port
from music_lakehouse_tests.cli.conftest import Command
from music_lakehouse_tests.defs.listening.raw_rows import write_raw


def test_up_names_a_port_that_is_taken_and_starts_nothing(place: Path, command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = command("up", "--port", str(port), "--spark-port", str(free_port()))
    assert ran.code == 1
    assert f"something listens on port {port} of 127.0.0.1 already: choose another for Dagster" in ran.error
    assert not (place / "data" / "broker").exists()


def test_a_look_at_an_absent_lake_and_no_broker_says_so(tmp_path: Path) -> None:
    settings = Settings(lakehouse_root=str(tmp_path / "lake"), kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")
    with dg.DagsterInstance.ephemeral() as instance:
        seen = Looker(settings, instance).look()
    assert "no Kafka broker answers" in seen.kafka
    assert seen == Seen(kafka=seen.kafka)


@pytest.mark.kafka
def test_a_look_tells_what_waits_how_fast_events_come_the_last_run_and_failing_checks(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    settings = Settings(
        lakehouse_root=str(tmp_path / "lake"),
        kafka_bootstrap_servers=broker.bootstrap_servers,
        kafka_topic_prefix=topic_prefix,
    )
    broker.create_topics(settings.topics.values())
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})

    def send(event: str, messages: int) -> None:
        for number in range(messages):
            producer.produce(settings.topics[event], str(number))
        producer.flush()

    send("page_view_events", 10)
    send("listen_events", 4)
    lake = LakePaths(settings.lake_uri)
    topic = describe_topics(settings, settings.topics.values())[settings.topics["listen_events"]]
    write_raw(lake, "listen_events", topic.name, [(topic.topic_id, 0, offset) for offset in range(3)])
    row = {"table": "silver.dim_users", "rule": "one_current_row", "action": "error", "failed": 1, "rows": 9}
    append_records(lake, EXPECTATIONS, [{**row, "run_id": "r", "evaluated_at": datetime.now(timezone.utc)}])

    @dg.job
    def nothing() -> None:
        pass

    with dg.DagsterInstance.ephemeral() as instance:
        nothing.execute_in_process(instance=instance)
        looker = Looker(settings, instance)
        assert looker.look().rate is None
        send("page_view_events", 5)
        time.sleep(0.5)
        seen = looker.look()
    assert seen.kafka == ""
    held = sum(min(3, end) for partition, end in topic.end_offsets.items() if partition == 0)
    assert seen.unread == 15 + 4 - held
    assert seen.behind == 3 + 4 - held
    assert seen.rate is not None
    assert 0 < seen.rate <= 10
    assert seen.run.startswith("nothing success in 0 s")
    assert seen.failing == ("silver.dim_users one_current_row (error)",)
