"""Topics that lose messages, are made anew, grow, or are not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions
from pyspark.sql import SparkSession

from music_lakehouse.defs import shell
from music_lakehouse.defs.listening.tables import RAW
from music_lakehouse.lakehouse.kafka_positions import (
    ACCEPTED_LOSS,
    KAFKA_POSITIONS,
    accept_losses,
    find_losses,
    read_up_to,
)
from music_lakehouse.lakehouse.records import read_records
from music_lakehouse.lakehouse.streaming import StreamReport, drain
from music_lakehouse_tests.chaos.lab import Lab

pytestmark = [pytest.mark.chaos, pytest.mark.spark, pytest.mark.kafka]

LISTENS, PAGE_VIEWS, AUTH, STATUS_CHANGES = RAW
FIVE_MEGABYTES = b'{"lyrics": "' + b"la " * 1_666_666 + b'"}'
ALL_RAW = tuple(table.full_name for table in RAW.values())


@pytest.fixture(autouse=True)
def _soon_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "FIRST_RETRY_SECONDS", 0.1)


def busiest(lab: Lab, event: str, before: Mapping[int, int] | None = None) -> int:
    """The partition that got most messages, since it ended `before` there. A producer sends what it has gathered within
    some milliseconds to one partition, so that another may get none."""
    known = before or {}
    ends = lab.topic(event).end_offsets
    return max(ends, key=lambda partition: ends[partition] - known.get(partition, 0))


def add_partition(lab: Lab, event: str, partitions: int) -> None:
    name = lab.settings.topics[event]
    lab.admin.create_partitions([NewPartitions(name, partitions)])[name].result(30)


def send_to_partition(lab: Lab, event: str, partition: int, value: bytes) -> None:
    producer = Producer(
        {"bootstrap.servers": lab.settings.kafka_bootstrap_servers, "message.max.bytes": 2 * len(FIVE_MEGABYTES)}
    )
    producer.produce(lab.settings.topics[event], value, partition=partition)
    assert producer.flush(30) == 0


def send_transactions(lab: Lab, event: str) -> None:
    """To the topic's partition 0: one message of a transaction that is aborted, then one of a committed one."""
    producer = Producer({"bootstrap.servers": lab.settings.kafka_bootstrap_servers, "transactional.id": lab.root.name})
    producer.init_transactions(30)
    for value, end in ((b"aborted", producer.abort_transaction), (b"committed", producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(lab.settings.topics[event], value, partition=0)
        producer.flush(30)
        end(30)


def test_what_was_never_read_stops_the_run_until_its_loss_is_accepted(lab: Lab, spark: SparkSession) -> None:
    """Messages that expired, a topic made anew and shorter, and one made anew and longer, all at once; then a partition
    that is new, transactions, and a message of 5 MB."""
    lab.write_reference()
    lab.create_topics()
    lab.send(500, seed=1)
    assert lab.run_here(*ALL_RAW).success
    seen = lab.messages()
    lab.send(500, seed=2)
    # The partition's last message stays, so that there is something behind the gap.
    read = {event: read_up_to(lab.lake, RAW[event], lab.topic(event)) for event in RAW}
    partition = busiest(lab, LISTENS, read[LISTENS])
    expired = lab.topic(LISTENS).end_offsets[partition] - 1
    lab.expire(LISTENS, {partition: expired})
    old_ids = {event: lab.topic(event).topic_id for event in (AUTH, PAGE_VIEWS)}
    for event in old_ids:
        lab.delete_topic(event)
    lab.create_topics()
    lab.send(700, seed=3)
    assert sum(lab.topic(AUTH).end_offsets.values()) < sum(read[AUTH].values()) + 10
    rows = {event: lab.lake.rows(RAW[event]) for event in RAW}

    stopped = lab.run_here(*ALL_RAW)

    assert not stopped.success
    assert stopped.retries == [], "a loss does not pass by itself"
    (text,) = stopped.errors
    lost = f"offsets {read[LISTENS][partition]} to {expired}"
    gap = f"partition {partition}: {lost} of topic id {lab.topic(LISTENS).topic_id}"
    assert f"topic {lab.settings.topics[LISTENS]} are gone" in text
    assert gap in text
    for event, topic_id in old_ids.items():
        fullest = max(read[event], key=read[event].__getitem__)
        assert f"partition {fullest}: offsets {read[event][fullest]} to unknown of topic id {topic_id}" in text
        assert f"music-lakehouse accept-loss {lab.settings.topics[event]}" in text
        assert lab.lake.rows(RAW[event]) == rows[event]
    assert lab.lake.rows(RAW[LISTENS]) == rows[LISTENS]

    accepted = [
        loss for event in (LISTENS, AUTH, PAGE_VIEWS) for loss in accept_losses(lab.lake, RAW[event], lab.topic(event))
    ]
    assert {(loss["kafka_topic_id"], loss["kafka_partition"]) for loss in accepted} == {
        (lab.topic(LISTENS).topic_id, partition),
        *((topic_id, partition) for topic_id in old_ids.values() for partition in (0, 1)),
    }
    assert len(read_records(lab.lake, ACCEPTED_LOSS)) == len(accepted)
    add_partition(lab, STATUS_CHANGES, 3)
    send_to_partition(lab, STATUS_CHANGES, 2, b"neither was there before")
    send_to_partition(lab, LISTENS, 1, FIVE_MEGABYTES)
    send_transactions(lab, PAGE_VIEWS)

    assert lab.run_here().success
    lab.compare(gone=seen)
    for event in RAW:
        assert read_up_to(lab.lake, RAW[event], lab.topic(event)) == lab.topic(event).end_offsets
        assert find_losses(lab.lake, RAW[event], lab.topic(event)) == []


def test_a_gap_that_grows_after_it_was_accepted_stops_the_run_again(lab: Lab, spark: SparkSession) -> None:
    lab.create_topics()
    lab.send(60, seed=1)
    table = RAW[PAGE_VIEWS]
    lab.run_here(table.full_name)
    before = lab.topic(PAGE_VIEWS).end_offsets
    lab.send(200, seed=2)
    partition = busiest(lab, PAGE_VIEWS, before)
    first = before[partition]
    lab.expire(PAGE_VIEWS, {partition: first + 10})
    assert [
        (loss["from_offset"], loss["to_offset"]) for loss in accept_losses(lab.lake, table, lab.topic(PAGE_VIEWS))
    ] == [(first, first + 10)]

    lab.expire(PAGE_VIEWS, {partition: first + 15})

    (grown,) = find_losses(lab.lake, table, lab.topic(PAGE_VIEWS))
    assert (grown["from_offset"], grown["to_offset"]) == (first + 10, first + 15)
    assert "expired before it was read" in lab.run_here(table.full_name).errors[0]
    accept_losses(lab.lake, table, lab.topic(PAGE_VIEWS))
    assert lab.run_here(table.full_name).success
    assert lab.lake.rows(table) == sum(lab.topic(PAGE_VIEWS).end_offsets.values()) - 15


def test_a_topic_made_anew_is_noticed_also_where_the_positions_are_gone(lab: Lab, spark: SparkSession) -> None:
    lab.create_topics()
    lab.send(60, seed=1)
    table = RAW[PAGE_VIEWS]
    lab.run_here(table.full_name)
    old, partition = lab.topic(PAGE_VIEWS), busiest(lab, PAGE_VIEWS)
    lab.forget(KAFKA_POSITIONS.full_name)
    lab.delete_topic(PAGE_VIEWS)
    lab.create_topics()

    result = lab.run_here(table.full_name)

    assert f"offsets {old.end_offsets[partition]} to unknown of topic id {old.topic_id}" in result.errors[0]


def test_messages_that_expire_while_they_are_read_are_named(
    lab: Lab, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.create_topics()
    lab.send(200, seed=1)
    table, partition = RAW[PAGE_VIEWS], busiest(lab, PAGE_VIEWS)
    end = lab.topic(PAGE_VIEWS).end_offsets[partition]

    def expire_then_read(*args: Any) -> StreamReport:
        lab.expire(PAGE_VIEWS, {partition: end - 1})
        return drain(*args)

    monkeypatch.setattr("music_lakehouse.lakehouse.kafka_ingest.drain", expire_then_read)
    result = lab.run_here(table.full_name, max_messages_per_batch=10)
    monkeypatch.undo()

    assert len(result.errors) == 1
    assert f"partition {partition}: offsets 0 to {end - 1}" in result.errors[0]
    accept_losses(lab.lake, table, lab.topic(PAGE_VIEWS))
    assert lab.run_here(table.full_name).success
    assert lab.rows(table.full_name) == sum(end - first for first, end in lab.topic(PAGE_VIEWS).offsets.values())


def test_a_topic_that_may_not_be_created_is_named(lab: Lab, spark: SparkSession) -> None:
    lab.settings = lab.settings.model_copy(update={"kafka_topic_prefix": "not allowed: "})

    result = lab.run_here(RAW[LISTENS].full_name)

    assert result.retries == []
    assert "topic not allowed: listen_events does not exist" in result.errors[0]


def test_topics_and_reference_files_that_are_missing_are_made_or_empty(lab: Lab, spark: SparkSession) -> None:
    result = lab.run_here(RAW[LISTENS].full_name, "bronze.reference_songs", "bronze.reference_states")

    assert result.success, result.errors
    assert lab.topic(LISTENS).end_offsets == {0: 0, 1: 0}
    assert len(result.warnings) == 2
    assert {"songs.csv is not there", "state_codes.csv is not there"} == {
        text.rpartition("/")[2] for text in result.warnings
    }
