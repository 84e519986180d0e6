from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from confluent_kafka import Producer

from music_lakehouse.defs.listening.tables import RAW
from music_lakehouse.lakehouse.changes import total
from music_lakehouse.lakehouse.delta import commits_after, rows_of
from music_lakehouse.lakehouse.kafka import Topic, describe_topics, ensure_topics, newest_message_time
from music_lakehouse.lakehouse.kafka_ingest import Ingested, ingest_topic
from music_lakehouse.lakehouse.kafka_positions import read_up_to
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.records import read_records
from music_lakehouse.lakehouse.stream_figures import STREAMING, figures_of, record_batches
from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse_tests.oracle.lake import read_table

pytestmark = [pytest.mark.spark, pytest.mark.kafka, pytest.mark.slow]

TABLE = RAW["listen_events"]


class Reader:
    """A topic with one partition, and what the lake reads of it."""

    def __init__(self, lake: Lake, broker: EmbeddedBroker, prefix: str) -> None:
        self.lake = lake
        self.settings = Settings(kafka_bootstrap_servers=broker.bootstrap_servers, kafka_topic_prefix=prefix)
        self.name = self.settings.topics["listen_events"]
        assert ensure_topics(self.settings, [self.name], partitions=1) == [self.name]
        assert ensure_topics(self.settings, [self.name]) == []

    @property
    def topic(self) -> Topic:
        return describe_topics(self.settings, [self.name])[self.name]

    def read(self, max_offsets: int = 1000) -> Ingested:
        return ingest_topic(self.lake, self.settings, self.topic, TABLE, max_offsets=max_offsets)

    def send(self, *values: bytes | None, key: bytes | None = None) -> None:
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap_servers})
        for value in values:
            producer.produce(self.name, value, key)
        assert producer.flush(30) == 0

    def transaction(self, *values: bytes, commit: bool) -> None:
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap_servers, "transactional.id": self.name})
        producer.init_transactions(30)
        producer.begin_transaction()
        for value in values:
            producer.produce(self.name, value)
        producer.flush(30)
        producer.commit_transaction(30) if commit else producer.abort_transaction(30)

    @property
    def values(self) -> list[tuple[int, object]]:
        rows = read_table(self.lake.root, TABLE.full_name)
        return sorted((row["kafka_offset"], row["value"] or row["value_bytes"]) for row in rows)


@pytest.fixture
def reader(lake: Lake, broker: EmbeddedBroker, topic_prefix: str) -> Reader:
    return Reader(lake, broker, topic_prefix)


def version(reader: Reader) -> int:
    state = reader.lake.state(TABLE)
    assert state is not None
    return state.version


def rows_since(reader: Reader, before: int) -> int | None:
    """The rows of the versions behind this one: the sink may note in a version of its own that it has read on."""
    table = reader.lake.present(TABLE)
    return total(map(rows_of, commits_after(table, before, table.version()) or ()))


def test_every_message_is_read_once_in_steps_of_bounded_size(reader: Reader) -> None:
    assert reader.read() == Ingested(0, 0.0, {0: 0}, {0: 0})
    assert reader.values == []
    assert newest_message_time(reader.settings, reader.topic) is None
    reader.send(b"a", b"\xff", b"", None, b"e", key=b"k")
    first = reader.read(max_offsets=2)
    assert (first.rows, first.batches, first.start_offsets, first.end_offsets) == (5, 3, {0: 0}, {0: 5})
    assert reader.values == [(0, "a"), (1, b"\xff"), (2, None), (3, None), (4, "e")]
    row = read_table(reader.lake.root, TABLE.full_name)[0]
    assert (row["kafka_topic"], row["kafka_topic_id"], row["key"]) == (reader.name, reader.topic.topic_id, b"k")
    newest = newest_message_time(reader.settings, reader.topic)
    assert newest == max(r["kafka_timestamp"].timestamp() * 1000 for r in read_table(reader.lake.root, TABLE.full_name))

    before = version(reader)
    assert reader.read().rows == 0
    assert version(reader) == before
    reader.send(b"f")
    second = reader.read()
    assert (second.rows, second.start_offsets, second.end_offsets) == (1, {0: 5}, {0: 6})


def test_each_micro_batch_is_kept_with_its_figures(reader: Reader) -> None:
    reader.send(b"a", b"b", b"c", b"d", b"e")
    first = reader.read(max_offsets=2)
    reader.send(b"f")
    second = reader.read()
    assert reader.read().micro_batches == ()
    record_batches(reader.lake, [*first.micro_batches, *second.micro_batches])
    kept = sorted(read_records(reader.lake, STREAMING), key=lambda row: row["batch_id"])

    assert [(row["query"], row["rows"], row["lag"]) for row in kept] == [
        (TABLE.full_name, rows, lag) for rows, lag in ((2, 3), (2, 1), (1, 0), (1, 0))
    ]
    assert [json.loads(row["end_offsets"]) for row in kept] == [[{reader.name: {"0": end}}] for end in (2, 4, 5, 6)]
    assert all(row["duration_ms"] >= row["add_batch_ms"] > 0 for row in kept)
    assert len({row["query_run_id"] for row in kept}) == 2
    assert kept[0]["input_rows_per_second"] is None, "nothing was committed before it"
    assert all(row["input_rows_per_second"] > 0 for row in kept[1:])
    assert figures_of(first.micro_batches)["processed_rows_per_second"] > 0
    assert figures_of(second.micro_batches)["lag"] == 0


def test_what_a_transaction_aborted_is_never_seen_and_counts_as_read(reader: Reader) -> None:
    reader.transaction(b"kept", commit=True)
    reader.transaction(b"lost", b"lost", commit=False)
    assert reader.read().rows == 1
    assert reader.values == [(0, "kept")]
    assert read_up_to(reader.lake, TABLE, reader.topic) == reader.topic.end_offsets
    before = version(reader)
    reader.transaction(b"lost", commit=False)
    assert reader.read().rows == 0
    assert rows_since(reader, before) == 0
    assert read_up_to(reader.lake, TABLE, reader.topic) == reader.topic.end_offsets
    reader.send(b"last")
    assert reader.read().rows == 1
    assert [value for _, value in reader.values] == ["kept", "last"]


def test_a_query_whose_checkpoint_is_gone_goes_on_behind_what_was_read(reader: Reader) -> None:
    reader.send(b"a", b"b")
    reader.read()
    reader.send(b"c")
    shutil.rmtree(Path(reader.lake.root) / "_checkpoints")
    assert reader.read().rows == 1
    shutil.rmtree(Path(reader.lake.root) / "_checkpoints")
    shutil.rmtree(Path(reader.lake.root) / "metrics")
    # A lake keeps the tables open that it has read.
    reader.lake = Lake(reader.lake.root, reader.lake.spark)
    reader.send(b"d")
    assert reader.read().rows == 1
    assert reader.values == [(0, "a"), (1, "b"), (2, "c"), (3, "d")]
