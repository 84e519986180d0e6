"""Raw to bronze: the streaming queries that parse messages, once each, and set aside what is no event."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.tables import BRONZE, QUARANTINE, RAW
from music_lakehouse.defs.listening.transforms import events
from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.changes import (
    find_changes,
    forget_positions,
    read_source_position,
    record_source_position,
)
from music_lakehouse.lakehouse.expectations import FAILED_RULES, RuleResult, count_failures, results
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.streaming import drain, without_damage
from music_lakehouse.lakehouse.tables import Table


@dataclass
class Parsed:
    """What one run of a topic's query read and wrote, and how its rules fared."""

    topic: str
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.counts.get("rows", 0)

    @property
    def refused(self) -> int:
        return self.counts.get("_refused", 0)

    @property
    def rescued(self) -> int:
        return self.counts.get("_rescued", 0)

    @property
    def rule_results(self) -> list[RuleResult]:
        rules = events.rules(self.topic)
        return results(rules, {"rows": 0, **dict.fromkeys((rule.name for rule in rules), 0), **self.counts})


def waiting(lake: Lake, topic: str) -> int | None:
    """How many raw rows of the topic were not parsed yet, about; None where nobody knows."""
    change = find_changes(lake, BRONZE[topic].full_name, [RAW[topic]]).get(RAW[topic])
    return 0 if change is None else change.count


def parse_topic(lake: Lake, topic: str, *, max_bytes: str) -> Parsed:
    """Take what is new in the topic's raw table into bronze and quarantine: every raw row is in exactly one of them,
    once.

    Each micro-batch takes about `max_bytes` of raw files ("64m"). A batch that is repeated, or a query whose
    checkpoint is gone, adds nothing twice.
    """
    started = time.monotonic()
    bronze_name = BRONZE[topic].full_name
    if lake.create(BRONZE[topic]):
        forget_positions(lake, bronze_name)
    lake.create(QUARANTINE)
    parsed = Parsed(topic)
    raw, bronze = lake.state(RAW[topic]), lake.state(BRONZE[topic])
    if raw is None or bronze is None or read_source_position(lake, bronze_name, RAW[topic].full_name) == raw:
        return parsed

    def process(batch: DataFrame, _batch_id: int) -> None:
        for name, count in _write_batch(lake, topic, batch).items():
            parsed.counts[name] = parsed.counts.get(name, 0) + count

    stream = lake.spark.readStream.format("delta").option("maxBytesPerTrigger", max_bytes)
    checkpoint = lake.checkpoint(f"{BRONZE[topic].full_name}/{raw.table_id}-{bronze.table_id}")
    drain(
        stream.load(lake.path(RAW[topic]))
        .writeStream.foreachBatch(process)
        .queryName(BRONZE[topic].full_name)
        .option("checkpointLocation", without_damage(checkpoint))
    )
    record_source_position(lake, bronze_name, RAW[topic].full_name, raw)
    parsed.seconds = time.monotonic() - started
    return parsed


def _write_batch(lake: Lake, topic: str, batch: DataFrame) -> dict[str, int]:
    marked = events.parse(batch, topic).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        ranges, counts = _look_at(marked, topic)
        if counts["rows"] > counts["_refused"]:
            _append_new(lake, BRONZE[topic], events.valid(marked, topic), ranges)
        if counts["_refused"]:
            _append_new(lake, QUARANTINE, events.refused(marked, topic), ranges)
        return counts
    finally:
        marked.unpersist()


def _look_at(marked: DataFrame, topic: str) -> tuple[Sequence[Any], dict[str, int]]:
    """One pass over a batch: the offsets in it by topic id and partition, and its counts."""
    ranges = (
        marked.groupBy("kafka_topic_id", "kafka_partition")
        .agg(
            F.min("kafka_offset").alias("first"),
            F.max("kafka_offset").alias("last"),
            F.count_if(F.size(FAILED_RULES) > 0).alias("_refused"),
            F.count_if(F.col("_rescued_data").isNotNull() & (F.size(FAILED_RULES) == 0)).alias("_rescued"),
            *count_failures(events.rules(topic)),
        )
        .collect()
    )
    names = ["rows", "_refused", "_rescued", *(rule.name for rule in events.rules(topic))]
    return ranges, {name: sum(row[name] for row in ranges) for name in names}


def _append_new(lake: Lake, table: Table, rows: DataFrame, ranges: Sequence[Any]) -> None:
    """Append the rows whose offsets the table lacks.

    Only the files that may hold such offsets are looked at, by their statistics: for a batch that comes the first time
    that is hardly any.
    """
    offsets = " OR ".join(
        f"(kafka_topic_id = '{row.kafka_topic_id}' AND kafka_partition = {row.kafka_partition} "
        f"AND kafka_offset BETWEEN {row['first']} AND {row['last']})"
        for row in ranges
    )
    identity = ["kafka_topic_id", "kafka_partition", "kafka_offset"]
    # Quarantine is common to the queries of all topics, and Delta would take what one adds for what another should see.
    with lake.writing(table):
        if delta.may_overlap(lake.open(table), "kafka_offset", [(row["first"], row["last"]) for row in ranges]):
            rows = rows.join(lake.read(table).where(offsets).select(*identity), identity, "left_anti")
        lake.append(rows, table)
