"""What waits too long is told: decided from what is seen at each look, and posted to a real HTTP server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from confluent_kafka import Producer

from music_lakehouse.defs import alerts
from music_lakehouse.defs.alerts import freshness_alert, lag_alert
from music_lakehouse.defs.delays import AGAIN_SECONDS, Delay, dumps, loads, of_lake, overdue, told
from music_lakehouse.defs.listening.tables import BRONZE, RAW
from music_lakehouse.lakehouse.delta import TableState
from music_lakehouse.lakehouse.kafka import describe_topics, ensure_topics
from music_lakehouse.lakehouse.kafka_positions import record_read_up_to
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.positions import record_source_position
from music_lakehouse.resources.build import build_resources
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import EmbeddedBroker, free_port
from music_lakehouse_tests.defs.listening.raw_rows import write_raw
from music_lakehouse_tests.defs.listening.small_lakes import write
from music_lakehouse_tests.defs.webhook import Webhook

NOW = 1_795_262_400.0
"""2026-11-21 12:00 UTC."""
EVENT = "listen_events"


class Watch:
    """Looks, each with the delays that are there a number of seconds after noon; patience is a minute. What is to be
    told is delivered, or not."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.delivers = True

    def look(self, seconds: float, *waiting: Delay) -> list[str]:
        seen, due = overdue(waiting, loads(self.cursor), NOW + seconds, 60)
        self.cursor = dumps(told(seen, due, NOW + seconds) if self.delivers else seen)
        return list(due.values())


def test_a_delay_is_told_once_it_has_lasted_and_again_after_a_day() -> None:
    watch, delay = Watch(), Delay("topic", "raw lacks 3 messages", "17")
    assert watch.look(0, delay) == []
    assert watch.look(59, delay) == []
    assert watch.look(60, delay) == ["raw lacks 3 messages, since 2026-11-21 12:00 UTC"]
    assert watch.look(120, delay) == []
    assert watch.look(59 + AGAIN_SECONDS, delay) == []
    assert watch.look(60 + AGAIN_SECONDS, delay) == ["raw lacks 3 messages, since 2026-11-21 12:00 UTC"]


def test_a_delay_that_could_not_be_delivered_is_told_at_the_next_look() -> None:
    watch, delay = Watch(), Delay("topic", "raw lacks 3 messages", "17")
    watch.look(0, delay)
    watch.delivers = False
    assert watch.look(60, delay) == ["raw lacks 3 messages, since 2026-11-21 12:00 UTC"]
    watch.delivers = True
    assert watch.look(120, delay) == ["raw lacks 3 messages, since 2026-11-21 12:00 UTC"]
    assert watch.look(180, delay) == []


def test_whoever_comes_further_is_not_late_however_much_waits() -> None:
    watch = Watch()
    for minute in range(10):
        assert watch.look(minute * 60, Delay("topic", "much waits", f"{minute}")) == []
    assert watch.look(600, Delay("topic", "much waits", "9")) == ["much waits, since 2026-11-21 12:09 UTC"]


def test_what_went_away_begins_anew_when_it_comes_back() -> None:
    watch, delay, other = Watch(), Delay("topic", "it waits"), Delay("other", "that waits")
    watch.look(0, delay, other)
    assert watch.look(60, other) == ["that waits, since 2026-11-21 12:00 UTC"]
    assert watch.look(120, delay, other) == []
    assert watch.look(180, delay, other) == ["it waits, since 2026-11-21 12:02 UTC"]


class Place:
    """A lake and topics of a test's own, and what was posted."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, webhook: Webhook) -> None:
        self.settings, self.instance, self.webhook = settings, instance, webhook
        self.lake = LakePaths(settings.lake_uri)
        self.cursors: dict[str, str | None] = {}

    def send(self, messages: int) -> None:
        topic = self.settings.topics[EVENT]
        ensure_topics(self.settings, [topic])
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap_servers})
        for number in range(messages):
            producer.produce(topic, f"{number}".encode(), partition=0)
        producer.flush()

    def read(self) -> None:
        """As a run does."""
        name = self.settings.topics[EVENT]
        topic = describe_topics(self.settings, [name])[name]
        write_raw(self.lake, EVENT, name, [(topic.topic_id, 0, topic.end_offsets[0] - 1)])
        record_read_up_to(self.lake, RAW[EVENT], topic, topic.end_offsets)

    def tick(self, sensor: dg.SensorDefinition) -> list[dict[str, Any]]:
        """What a look of the sensor posts."""
        before, resources = len(self.webhook.posted), build_resources(self.settings)
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(sensor.name),
            resources={name: resources[name] for name in ("kafka", "lakehouse", "spark")},
        ) as context:
            sensor(context)
            self.cursors[sensor.name] = context.cursor
        return self.webhook.posted[before:]


@pytest.fixture
def place(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    settings = Settings(
        lakehouse_root=str(tmp_path / "lake"),
        kafka_bootstrap_servers=broker.bootstrap_servers,
        kafka_topic_prefix=topic_prefix,
    )
    monkeypatch.setenv("ALERT_LAG_MESSAGES", "4")
    monkeypatch.setenv("ALERT_FRESHNESS_MINUTES", "0.000001")
    monkeypatch.setattr(alerts, "LAG_SECONDS", 0)
    with Webhook("/hooks") as webhook, dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setenv("ALERT_WEBHOOK_URL", webhook.url)
        yield Place(settings, instance, webhook)


@pytest.mark.kafka
def test_a_topic_with_more_messages_than_usual_is_posted_once_until_it_was_read(place: Place) -> None:
    topic = place.settings.topics[EVENT]
    place.send(4)
    assert place.tick(lag_alert) == []
    place.send(1)
    [posted] = place.tick(lag_alert)
    assert (posted["kind"], posted["job"], posted["run_id"], posted["failed_checks"]) == ("lag", "", "", [])
    assert posted["text"].startswith(f"lag: topic {topic} has 5 messages that were not read, since ")
    assert place.tick(lag_alert) == []
    place.read()
    assert place.tick(lag_alert) == []
    place.send(5)
    place.webhook.refuses = 1
    assert len(place.tick(lag_alert)) == 1
    assert len(place.tick(lag_alert)) == 1, "it was refused"
    assert place.tick(lag_alert) == []


@pytest.mark.kafka
def test_messages_that_nobody_reads_and_rows_that_no_step_takes_are_posted(place: Place) -> None:
    place.send(1)
    assert place.tick(freshness_alert) == [], "first seen now"
    [posted] = place.tick(freshness_alert)
    assert posted["kind"] == "freshness"
    assert posted["text"].startswith("freshness: raw.listen_events lacks 1 messages, and none is being read, since ")
    assert place.tick(freshness_alert) == []

    place.read()
    write(place.lake, BRONZE[EVENT], [])
    state = place.lake.state(RAW[EVENT])
    assert state is not None
    record_source_position(place.lake, "bronze.listen_events", "raw.listen_events", TableState(state.table_id, 0))
    place.send(1)
    place.read()
    assert place.tick(freshness_alert) == []
    [posted] = place.tick(freshness_alert)
    assert [text.split(", since")[0] for text in posted["errors"]] == [
        "bronze.listen_events lacks rows of raw.listen_events"
    ]
    state = place.lake.state(RAW[EVENT])
    assert state is not None
    record_source_position(place.lake, "bronze.listen_events", "raw.listen_events", state)
    assert place.tick(freshness_alert) == []
    assert of_lake(place.lake, place.settings) == []


@pytest.mark.kafka
def test_a_broker_that_is_gone_is_posted_where_there_was_one_to_read_from(place: Place) -> None:
    place.send(1)
    gone = place.settings.model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{free_port()}"})
    assert of_lake(place.lake, gone) == [], "nothing was ever read"
    place.read()
    place.settings = gone
    place.tick(freshness_alert)
    [posted] = place.tick(freshness_alert)
    assert "no Kafka broker answers" in posted["text"]
    assert place.tick(lag_alert) == []
