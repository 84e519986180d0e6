"""Messages that were refused: what a run tells of them, and how they are put through the rules as they are now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame

from music_lakehouse.defs.listening.tables import BRONZE, QUARANTINE, RAW
from music_lakehouse.defs.listening.transforms import events
from music_lakehouse.lakehouse.kafka_positions import MESSAGE
from music_lakehouse.lakehouse.lake import CHANGE_TYPE, Lake, LakePaths, Rows
from music_lakehouse.lakehouse.positions import forget_positions, retrying
from music_lakehouse.lakehouse.query import evaluated, has_rows, query
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
    # A Spark Connect server's own settings would make 200 tasks of each join.
    lake.expect(lake.rows(QUARANTINE))
    return [_retry_topic(lake, topic) for topic in topics]


def _retry_topic(lake: Lake, topic: str) -> Retried:
    refused = _refused(lake, topic)
    if not has_rows(refused):
        return Retried(topic, 0, 0)
    raw = evaluated(lake, f"SELECT r.* FROM {{raw}} AS r SEMI JOIN {{q}} AS q ON {_SAME}", raw=RAW[topic], q=refused)
    judged = evaluated(lake, f"SELECT q.* FROM {{q}} AS q SEMI JOIN {{raw}} AS r ON {_SAME}", raw=raw, q=refused)
    marked = events.parse(lake.frame(raw), topic).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        if lake.create(BRONZE[topic]):
            forget_positions(lake, BRONZE[topic].full_name)
        with retrying(lake, BRONZE[topic].full_name):
            valid = events.valid(marked, topic)
            _append_new(lake, topic, valid.toArrow() if lake.small else valid)
            written = make_equal(lake, QUARANTINE, events.refused(marked, topic), current=judged, delete=True)
        count = refused.count() if isinstance(refused, DataFrame) else refused.num_rows
        return Retried(topic, count, written.deleted)
    finally:
        marked.unpersist()


def end_retry(lake: Lake, topic: str) -> None:
    """Take out of quarantine what a retry that was killed has brought to bronze."""
    with retrying(lake, BRONZE[topic].full_name), lake.writing(QUARANTINE):
        refused = _refused(lake, topic)
        sql = f"SELECT q.* FROM {{q}} AS q ANTI JOIN {{bronze}} AS r ON {_SAME}"
        left = evaluated(lake, sql, bronze=BRONZE[topic], q=refused)
        make_equal(lake, QUARANTINE, left, current=refused, delete=True)


_SAME = " AND ".join(f"q.{name} = r.{name}" for name in MESSAGE)


def _refused(lake: Lake, topic: str) -> Rows:
    return evaluated(lake, "SELECT * FROM {refused}", where=f"topic = '{topic}'", refused=QUARANTINE)


def _append_new(lake: Lake, topic: str, valid: Rows) -> None:
    sql = "SELECT v.* FROM {valid} AS v ANTI JOIN {bronze} AS b ON v.bronze_id = b.bronze_id"
    new = evaluated(lake, sql, valid=valid, bronze=BRONZE[topic])
    # An append of no rows would still be a new version.
    if has_rows(new):
        lake.append(new, BRONZE[topic])
