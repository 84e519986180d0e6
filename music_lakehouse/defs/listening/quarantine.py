"""Messages that were refused: what a run tells of them, and how they are put through the rules as they are now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.listening.tables import BRONZE, QUARANTINE, RAW
from music_lakehouse.defs.listening.transforms import events
from music_lakehouse.lakehouse.kafka_positions import MESSAGE
from music_lakehouse.lakehouse.lake import CHANGE_TYPE, Lake, LakePaths
from music_lakehouse.lakehouse.positions import forget_positions, retrying
from music_lakehouse.lakehouse.query import query
from music_lakehouse.lakehouse.upsert import Written, make_equal


def refused_since(lake: LakePaths, version: int) -> dict[str, Any]:
    """What was written to quarantine after the version, as a run's metadata names it: the rows that came and went, and
    of those that came how many by topic and, each for all of its reasons, by reason."""
    found = lake.open(QUARANTINE)
    if found is None or found.version() <= version:
        return Written().figures
    feed = pa.table(found.load_cdf(version + 1, columns=["topic", "reasons", CHANGE_TYPE]))

    def counts(of: str, where: str = "true") -> Counter[str]:
        sql = f"SELECT value, count(*) AS rows FROM (SELECT {of} AS value FROM {{feed}}) GROUP BY value ORDER BY value"
        return Counter({row["value"]: row["rows"] for row in query(lake, sql, where=where, feed=feed).to_pylist()})

    kinds, came = counts(CHANGE_TYPE), f"{CHANGE_TYPE} = 'insert'"
    return {
        **Written(kinds["insert"], kinds["update_postimage"], kinds["delete"]).figures,
        "rows_by_topic": dict(counts("topic", came)),
        "rows_by_reason": dict(counts("unnest(reasons)", came)),
    }


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
    # All of raw and bronze is looked through. A Spark Connect server's own settings would make 200 tasks of each join.
    lake.expect(None)
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
