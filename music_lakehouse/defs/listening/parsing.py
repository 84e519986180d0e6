"""Raw to bronze: the streaming queries that parse messages, once each, and set aside what is no event."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pyspark import StorageLevel
from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.quarantine import end_retry
from music_lakehouse.defs.listening.tables import BRONZE, QUARANTINE, RAW
from music_lakehouse.defs.listening.transforms import events
from music_lakehouse.defs.listening.transforms.plain_events import IS_VALID, plain_events
from music_lakehouse.lakehouse import checkpoints, delta
from music_lakehouse.lakehouse.changes import Change, Changes, find_changes, record_positions, total
from music_lakehouse.lakehouse.expectations import FAILED_RULES, RuleResult, count_failures, results
from music_lakehouse.lakehouse.inventory import remove_directories
from music_lakehouse.lakehouse.kafka_positions import MESSAGE
from music_lakehouse.lakehouse.lake import MOST_ROWS_AT_ONCE, Lake, Rows, conformed
from music_lakehouse.lakehouse.positions import Stretch, forget_positions
from music_lakehouse.lakehouse.query import evaluated, fetched, has_rows, query
from music_lakehouse.lakehouse.ranges import Range
from music_lakehouse.lakehouse.stream_figures import MicroBatch
from music_lakehouse.lakehouse.streaming import drain, without_damage
from music_lakehouse.lakehouse.tables import Table
from music_lakehouse.lakehouse.upsert import Written, make_equal

KAFKA_TIME = "kafka_timestamp"
# On a Spark Connect server a run that is killed has done the pieces before.
MOST_MESSAGES_A_PIECE = 100_000
MOST_MESSAGES_PARSED_HERE = 1_000_000
"""Messages that one process holds as they came and parsed, both at once: less than a gigabyte."""
MOST_RAW_BYTES_A_BATCH = "64m"
"""Bytes of raw files that a micro-batch takes: with messages of the usual length no more than these."""


class OffsetRange(NamedTuple):
    """Offsets of a partition, both ends inclusive, and how many messages lie between them."""

    topic_id: str
    partition: int
    first: int
    last: int
    messages: int


@dataclass(frozen=True)
class Offsets:
    """The offsets between which a batch's messages lie."""

    ranges: tuple[OffsetRange, ...]

    @staticmethod
    def of(batch: Rows) -> Offsets:
        partition, offset = ["kafka_topic_id", "kafka_partition"], "kafka_offset"
        if isinstance(batch, DataFrame):
            found: list[Any] = batch.groupBy(partition).agg(F.min(offset), F.max(offset), F.count("*")).collect()
        else:
            ends = batch.group_by(partition).aggregate([(offset, "min"), (offset, "max"), (offset, "count")])
            found = [tuple(row.values()) for row in ends.to_pylist()]
        return Offsets(tuple(OffsetRange(*row) for row in found))

    @property
    def messages(self) -> int:
        return sum(r.messages for r in self.ranges)

    @property
    def predicate(self) -> str:
        return " OR ".join(
            f"(kafka_topic_id = '{r.topic_id}' AND kafka_partition = {r.partition} "
            f"AND kafka_offset BETWEEN {r.first} AND {r.last})"
            for r in self.ranges
        )


@dataclass
class Parsed:
    """What one run of a topic's query read and wrote, how its rules fared, and its micro-batches, which whoever ran it
    records."""

    topic: str
    seconds: float = 0.0
    anew: bool = False
    corrected: Written = field(default_factory=Written)
    """How bronze differed where messages were parsed again."""
    counts: dict[str, int] = field(default_factory=dict)
    micro_batches: tuple[MicroBatch, ...] = ()

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
        return results(events.rules(self.topic), self.counts)


def waiting(lake: Lake, topic: str) -> int | None:
    """How many raw rows of the topic are to be parsed, about or at most; None where nobody knows."""
    changes = _unparsed(lake, topic)
    return total([changes.count, lake.rows(RAW[topic])]) if changes.again or changes.retry else changes.count


def _unparsed(lake: Lake, topic: str) -> Changes:
    return find_changes(lake, BRONZE[topic].full_name, [RAW[topic]])


def parse_topic(lake: Lake, topic: str, *, max_bytes: str) -> Parsed:
    """Take what is new in the topic's raw table into bronze and quarantine: every raw row is in exactly one of them,
    once.

    Each micro-batch takes about `max_bytes` of raw files ("64m"); on a Spark Connect server, commits of up to 100,000
    messages. A batch that is repeated, or a query whose checkpoint is gone, adds nothing twice. Where bronze was told
    to begin anew, all raw rows are parsed again, and what they give takes the place of what was there; where it was
    told to compute a stretch of time again, messages that Kafka took then are parsed again, and the difference is
    written. What a retry of quarantine that was killed has brought to bronze leaves quarantine.
    """
    started = time.monotonic()
    bronze_name = BRONZE[topic].full_name
    if lake.create(BRONZE[topic]):
        forget_positions(lake, bronze_name)
    lake.create(QUARANTINE)
    parsed = Parsed(topic)
    changes = _unparsed(lake, topic)
    if changes.retry:
        end_retry(lake, topic)
    bronze = lake.state(BRONZE[topic])
    if bronze is None or not (changes or changes.again):
        return parsed
    # A streaming query keeps what it has done of many messages in its checkpoint.
    for piece in changes.in_pieces(MOST_MESSAGES_A_PIECE) if lake.is_remote else [changes]:
        change = piece.get(RAW[topic])
        if change is not None:
            _parse_new(lake, parsed, piece, change, bronze, max_bytes)
        # What is there already is passed over by the query, whatever it saw.
        for stretch in piece.again:
            parsed.corrected += _parse_again(lake, topic, stretch)
        record_positions(lake, piece)
    parsed.seconds = time.monotonic() - started
    return parsed


def _parse_new(
    lake: Lake, parsed: Parsed, changes: Changes, change: Change, bronze: delta.TableState, max_bytes: str
) -> None:
    topic, bronze_name = parsed.topic, BRONZE[parsed.topic].full_name
    checkpoint = lake.checkpoint(checkpoints.of_source(BRONZE[topic], bronze.table_id, change.state.table_id))

    rows_of: dict[int, int] = {}

    def process(batch: Rows, batch_id: int) -> None:
        counts = _write_batch(lake, topic, batch)
        rows_of[batch_id] = counts.get("rows", 0)
        for name, count in counts.items():
            parsed.counts[name] = parsed.counts.get(name, 0) + count

    if changes.anew:
        parsed.anew = True
        # It has read other versions of raw, or read them otherwise.
        remove_directories(lake.root, [checkpoint])
        parsed.counts = _write_anew(lake, topic, lake.read(RAW[topic], version=change.state.version))
    elif change.count != 0 and lake.is_remote:
        # The function of a streaming query would run on the server: the same rows are taken by the log, and the query
        # that has not seen them begins anew behind them, if there ever is one.
        remove_directories(lake.root, [checkpoint])
        process(change.found_inserted if lake.small else change.inserted, 0)
    elif change.count != 0:
        stream = lake.spark.readStream.format("delta").option("maxBytesPerTrigger", max_bytes)
        # Raw rows are erased, never changed: what is left of their files was read before.
        stream = stream.option("skipChangeCommits", "true")
        if change.since is not None:
            # Without a checkpoint it begins behind what was taken.
            stream = stream.option("startingVersion", change.since + 1)
        written = delta.written_at(lake.present(BRONZE[topic]))
        report = drain(
            stream.load(lake.path(RAW[topic]))
            .writeStream.foreachBatch(process)
            .queryName(bronze_name)
            .option("checkpointLocation", without_damage(checkpoint))
        )
        counted = (b.counted(rows_of[b.batch_id]) if b.batch_id in rows_of else b for b in report.batches)
        parsed.micro_batches = tuple(batch.arrived_since(written) for batch in counted)


def _parse_again(lake: Lake, topic: str, stretch: Stretch) -> Written:
    """Make bronze and quarantine what the raw rows of the stretch of time give now, and return what differed of bronze.
    Killed between the two, messages are in both, or in none, until it is repeated."""
    within = stretch.of(KAFKA_TIME)
    marked = events.parse(lake.read(RAW[topic]).where(within.predicate()), topic).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        written = make_equal(lake, BRONZE[topic], events.valid(marked, topic), within=within, delete=True)
        with lake.writing(QUARANTINE):
            held = lake.read(QUARANTINE).where(F.col("topic") == topic).where(within.predicate())
            refused = events.refused(marked, topic)
            make_equal(lake, QUARANTINE, refused, current=held, within=within, delete=True)
        return written
    finally:
        marked.unpersist()


def _write_batch(lake: Lake, topic: str, batch: Rows) -> dict[str, int]:
    """Write a batch of raw rows, and return its counts: plain messages are parsed here, as long as one process can hold
    them, and only what isn't plain by Spark."""
    offsets = Offsets.of(batch)
    if not offsets.ranges:
        return {}
    if offsets.messages > MOST_MESSAGES_PARSED_HERE:
        return _write_many(lake, topic, lake.frame(batch), offsets)
    plain, others = _plain_and_others(lake, topic, batch, offsets)
    if others.num_rows <= MOST_ROWS_AT_ONCE:
        return _write_few(lake, topic, plain, others, offsets)
    _append_new(lake, BRONZE[topic], plain, offsets)
    counts = _write_many(lake, topic, lake.frame(_without_those_in(lake, BRONZE[topic], batch, offsets)), offsets)
    return {**counts, "rows": counts["rows"] + plain.num_rows}


def _plain_and_others(lake: Lake, topic: str, batch: Rows, offsets: Offsets) -> tuple[pa.Table, pa.Table]:
    """The bronze rows of the batch's valid plain messages, and the raw rows of the others; of a frame's messages those
    that raw has now."""
    raw = RAW[topic]
    if isinstance(batch, DataFrame):
        lying_in = [Range("kafka_offset", r.first, r.last) for r in offsets.ranges]
        batch = delta.dataset_within(lake.present(raw), lake.path(raw), lying_in).to_table(columns=raw.column_names)
    looked_at = query(lake, plain_events(topic), where=offsets.predicate, raw=batch)
    is_valid = looked_at[IS_VALID]
    return conformed(looked_at.filter(is_valid), BRONZE[topic]), conformed(looked_at.filter(pc.invert(is_valid)), raw)


def _write_few(lake: Lake, topic: str, plain: pa.Table, others: pa.Table, offsets: Offsets) -> dict[str, int]:
    """The valid plain messages, and others, which are parsed and fetched at once: of few Spark mostly plans what it
    does."""
    if not others.num_rows:
        _append_new(lake, BRONZE[topic], plain, offsets)
        return {"rows": plain.num_rows}
    # Messages may be of any length: only of those that are refused is the text kept.
    text = F.when(F.size(FAILED_RULES) > 0, F.col("value"))
    kept = events.parse(lake.frame(others), topic).withColumn("value", text).drop("value_bytes", "key")
    marked = events.as_quarantine_names_them(kept, topic).toArrow()
    is_refused = pc.greater(pc.list_value_length(marked["reasons"]), 0)
    bronze, refused = conformed(marked.filter(pc.invert(is_refused)), BRONZE[topic]), marked.filter(is_refused)
    _append_new(lake, BRONZE[topic], pa.concat_tables([plain, bronze]), offsets)
    if refused.num_rows:
        _append_new(lake, QUARANTINE, refused, offsets)
    return {
        "rows": plain.num_rows + marked.num_rows,
        "_refused": refused.num_rows,
        "_rescued": bronze.num_rows - bronze["_rescued_data"].null_count,
        **Counter(pc.list_flatten(marked["reasons"]).to_pylist()),
    }


def _write_many(lake: Lake, topic: str, batch: DataFrame, offsets: Offsets) -> dict[str, int]:
    """Each message is parsed and written in one pass; those that are refused, mostly few, once more."""
    marked, seen = _counted(events.parse(batch, topic), topic)
    _append_new(lake, BRONZE[topic], events.valid(marked, topic), offsets)
    counts: dict[str, int] = seen.get
    if counts["_refused"]:
        refused = lake.frame(_without_those_in(lake, BRONZE[topic], batch, offsets))
        _append_new(lake, QUARANTINE, events.refused(events.parse(refused, topic), topic), offsets)
    return counts


def _write_anew(lake: Lake, topic: str, raw: DataFrame) -> dict[str, int]:
    """Make what all raw rows give the topic's only rows in bronze and quarantine, and return the counts."""
    marked, seen = _counted(events.parse(raw, topic), topic)
    lake.replace(events.valid(marked, topic), BRONZE[topic])
    counts: dict[str, int] = seen.get
    with lake.writing(QUARANTINE):
        lake.replace(events.refused(events.parse(raw, topic), topic), QUARANTINE, where=f"topic = '{topic}'")
    return counts


def _counted(marked: DataFrame, topic: str) -> tuple[DataFrame, Observation]:
    """The parsed rows, and what is counted as they are written."""
    seen = Observation()
    counted = marked.observe(
        seen,
        F.count_if(F.size(FAILED_RULES) > 0).alias("_refused"),
        F.count_if(F.col("_rescued_data").isNotNull() & (F.size(FAILED_RULES) == 0)).alias("_rescued"),
        *count_failures(events.rules(topic)),
    )
    return counted, seen


def _append_new(lake: Lake, table: Table, rows: Rows, offsets: Offsets) -> None:
    """Append the rows whose offsets the table lacks.

    Only the files that may hold such offsets are looked at, by their statistics: for a batch that comes the first time
    that is hardly any.
    """
    # Quarantine is common to the queries of all topics, and Delta would take what one adds for what another should see.
    with lake.writing(table):
        lake.append(_without_those_in(lake, table, rows, offsets), table)


def _without_those_in(lake: Lake, table: Table, rows: Rows, offsets: Offsets) -> Rows:
    """The rows, all within the offsets, without the messages that the table holds."""
    if not delta.may_overlap(lake.open(table), "kafka_offset", [(r.first, r.last) for r in offsets.ranges]):
        return rows
    # Offsets of two partitions lie in the same files: mostly nothing is there.
    held = evaluated(lake, f"SELECT {', '.join(MESSAGE)} FROM {{held}} WHERE {offsets.predicate}", held=table)
    if not isinstance(held, DataFrame) and not has_rows(held):
        return rows
    if isinstance(rows, DataFrame):
        return rows.join(lake.frame(held), list(MESSAGE), "left_anti")
    lacking = f"SELECT * FROM {{rows}} AS r ANTI JOIN {{held}} AS h USING ({', '.join(MESSAGE)})"
    return query(lake, lacking, rows=rows, held=fetched(held))
