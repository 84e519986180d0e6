"""Kafka to a raw table: every message exactly once, unparsed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.lakehouse import checkpoints, delta, kafka, kafka_access, kafka_positions
from music_lakehouse.lakehouse.lake import Lake, LakePaths, conform
from music_lakehouse.lakehouse.stream_figures import MicroBatch
from music_lakehouse.lakehouse.streaming import drain, without_damage
from music_lakehouse.lakehouse.tables import Column, Table
from music_lakehouse.settings import Settings

RAW_COLUMNS = (
    Column("value", "STRING", "the message as text; null for a tombstone, and where it is not UTF-8", pii=True),
    Column("value_bytes", "BINARY", "the message where it is not UTF-8", pii=True),
    Column("key", "BINARY", "the message's key", pii=True),
    Column("kafka_timestamp", "TIMESTAMP", "Kafka's time of the message, UTC"),
    Column("kafka_topic", "STRING", "the topic's name"),
    Column("kafka_topic_id", "STRING", "the broker's id of the topic"),
    Column("kafka_partition", "INT", "the partition"),
    Column("kafka_offset", "BIGINT", "the offset in the partition"),
    Column("ingestion_timestamp", "TIMESTAMP", "when the message was read, UTC"),
)


@dataclass(frozen=True)
class Ingested:
    """What was read of one topic: rows, by partition the offsets from (inclusive) and to (exclusive), and the query's
    micro-batches, which whoever ran it records."""

    rows: int
    seconds: float
    start_offsets: dict[int, int]
    end_offsets: dict[int, int]
    micro_batches: tuple[MicroBatch, ...] = ()

    @property
    def batches(self) -> int:
        return len(self.micro_batches)


def raw_rows(messages: DataFrame, topic_id: str) -> DataFrame:
    """Spark's Kafka rows as rows of a raw table. Text that is not UTF-8 keeps its bytes in `value_bytes`."""
    text = F.try_validate_utf8(F.col("value").cast("string"))
    return messages.select(
        text.alias("value"),
        F.when(text.isNull(), F.col("value")).alias("value_bytes"),
        F.col("key"),
        F.col("timestamp").alias("kafka_timestamp"),
        F.col("topic").alias("kafka_topic"),
        F.lit(topic_id).alias("kafka_topic_id"),
        F.col("partition").alias("kafka_partition"),
        F.col("offset").alias("kafka_offset"),
        F.current_timestamp().alias("ingestion_timestamp"),
    )


def waiting(lake: LakePaths, topic: kafka.Topic, table: Table) -> int:
    """How many messages of the topic the raw table lacks, about."""
    starts = kafka_positions.starting_offsets(lake, table, topic)
    return sum(end - starts[partition] for partition, end in topic.end_offsets.items())


def ingest_topic(lake: Lake, settings: Settings, topic: kafka.Topic, table: Table, *, max_offsets: int) -> Ingested:
    """Append to the raw table all messages of the topic that it lacks, up to the topic's present end.

    At most `max_offsets` messages a micro-batch. A query whose checkpoint is gone goes on behind what was read; what
    was erased is not read again. Raises MessagesLostError where messages that were never read are gone, before anything
    is written.
    """
    lake.create(table)
    kafka_positions.record_rows(lake, table, topic)
    kafka_positions.check_nothing_lost(lake, table, topic)
    starts = kafka_positions.starting_offsets(lake, table, topic)
    # Where reading begins is fixed before it does, so that what expires meanwhile is seen as lost.
    if kafka_positions.read_up_to(lake, table, topic) != starts:
        kafka_positions.record_read_up_to(lake, table, topic, starts)
    if starts == topic.end_offsets:
        return Ingested(0, 0.0, starts, topic.end_offsets)
    before, written = lake.rows(table), delta.written_at(lake.present(table))
    messages = (
        lake.spark.readStream.format("kafka")
        .options(**kafka_access.spark_options(settings))
        .option("subscribe", topic.name)
        .option("startingOffsets", json.dumps({topic.name: {str(p): offset for p, offset in starts.items()}}))
        .option("failOnDataLoss", "true")
        .option("maxOffsetsPerTrigger", max_offsets)
        .load()
    )
    erased = kafka_positions.erased_behind(lake, topic, starts)
    if erased:
        places = lake.spark.createDataFrame(erased, "partition INT, offset BIGINT")
        messages = messages.join(F.broadcast(places), ["partition", "offset"], "left_anti")
    state = lake.state(table)
    epoch = kafka_positions.epoch(lake, topic)
    query = checkpoints.of_topic(table, state.table_id if state else "", topic.topic_id, epoch)
    try:
        report = drain(
            conform(raw_rows(messages, topic.topic_id), table)
            .writeStream.format("delta")
            .queryName(table.full_name)
            .option("checkpointLocation", without_damage(lake.checkpoint(query))),
            lake.path(table),
        )
    except StreamingQueryException as error:
        # Perhaps the broker went away, or messages expired or the topic was made anew while it was read.
        _look_again(lake, settings, topic, table, error)
        raise
    ends = {int(p): offset for end in report.end_offsets for p, offset in end[topic.name].items()} or starts
    kafka_positions.record_read_up_to(lake, table, topic, ends)
    batches = tuple(batch.arrived_since(written) for batch in report.batches)
    return Ingested(lake.rows(table) - before, report.seconds, starts, ends, batches)


def _look_again(lake: Lake, settings: Settings, topic: kafka.Topic, table: Table, error: Exception) -> None:
    """Raise BrokerUnavailableError, BrokerAccessError, TopicMissingError or MessagesLostError where that is what ended
    the query."""
    now = kafka.describe_topics(settings, [topic.name])
    if topic.name not in now:
        raise kafka.TopicMissingError(f"topic {topic.name} was deleted while it was read: run again") from error
    kafka_positions.check_nothing_lost(lake, table, now[topic.name])
