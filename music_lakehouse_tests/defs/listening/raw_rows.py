"""Rows of a raw table, written without Spark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from music_lakehouse.defs.listening.tables import RAW
from music_lakehouse.lakehouse.lake import LakePaths


def write_raw(lake: LakePaths, event: str, topic: str, rows: Sequence[tuple[str, int, int]]) -> None:
    """Append messages, given by topic id, partition and offset, of a topic, to the event's raw table."""
    columns: dict[str, list[Any]] = {column.name: [None] * len(rows) for column in RAW[event].columns}
    columns["kafka_topic"] = [topic] * len(rows)
    columns["kafka_topic_id"] = [topic_id for topic_id, _, _ in rows]
    columns["kafka_partition"] = [partition for _, partition, _ in rows]
    columns["kafka_offset"] = [offset for _, _, offset in rows]
    write_deltalake(lake.path(RAW[event]), pa.table(columns, schema=RAW[event].arrow_schema), mode="append")
