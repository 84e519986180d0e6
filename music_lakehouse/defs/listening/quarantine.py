"""Quarantined messages put through the rules as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.tables import BRONZE, QUARANTINE, RAW
from music_lakehouse.defs.listening.transforms import events
from music_lakehouse.lakehouse.kafka_positions import MESSAGE
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.positions import forget_positions, retrying
from music_lakehouse.lakehouse.upsert import make_equal


@dataclass(frozen=True)
class Retried:
    """What became of one topic's quarantined messages: how many there were, and how many of them are bronze now."""

    topic: str
    quarantined: int
    accepted: int


def retry_quarantine(lake: Lake, topics: Sequence[str] = tuple(RAW)) -> list[Retried]:
    """Judge the quarantined messages of the topics (event names) by the present rules, from their raw rows.

    What is valid now is appended to bronze and leaves quarantine, what still isn't stays with its present reasons.
    Bronze is written first, and only with what it lacks: killed in between, the messages are in both until the next run
    of the pipeline, or this, takes them out of quarantine. A message whose raw row is gone stays as it is. The caller
    holds the lake's lock.
    """
    return [_retry_topic(lake, topic) for topic in topics]


def _retry_topic(lake: Lake, topic: str) -> Retried:
    refused = lake.read(QUARANTINE).where(F.col("topic") == topic)
    quarantined = refused.count()
    if quarantined == 0:
        return Retried(topic, 0, 0)
    raw = lake.read(RAW[topic]).join(refused, list(QUARANTINE.key), "left_semi")
    marked = events.parse(raw, topic).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        if lake.create(BRONZE[topic]):
            forget_positions(lake, BRONZE[topic].full_name)
        with retrying(lake, BRONZE[topic].full_name):
            _append_new(lake, topic, events.valid(marked, topic))
            judged = refused.join(marked, list(QUARANTINE.key), "left_semi")
            written = make_equal(lake, QUARANTINE, events.refused(marked, topic), current=judged, delete=True)
        return Retried(topic, quarantined, written.deleted)
    finally:
        marked.unpersist()


def end_retry(lake: Lake, topic: str) -> None:
    """Take out of quarantine what a retry that was killed has brought to bronze."""
    with retrying(lake, BRONZE[topic].full_name), lake.writing(QUARANTINE):
        refused = lake.read(QUARANTINE).where(F.col("topic") == topic)
        left = refused.join(lake.read(BRONZE[topic]), list(MESSAGE), "left_anti")
        make_equal(lake, QUARANTINE, left, current=refused, delete=True)


def _append_new(lake: Lake, topic: str, valid: DataFrame) -> None:
    table = BRONZE[topic]
    new = valid.join(lake.read(table).select("bronze_id"), "bronze_id", "left_anti")
    # An append of no rows would still be a new version.
    if new.limit(1).collect():
        lake.append(new, table)
