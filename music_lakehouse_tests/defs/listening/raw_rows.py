"""Rows of a raw table, written without Spark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from music_lakehouse.defs.listening.tables import RAW
from music_lakehouse.lakehouse.lake import LakePaths

ARROW = {"STRING": pa.string(), "BINARY": pa.binary(), "TIMESTAMP": pa.timestamp("us", "UTC"), "INT": pa.int32()}


def write_raw(lake: LakePaths, event: str, topic: str, rows: Sequence[tuple[str, int, int]]) -> None:
    """Append messages, given by topic id, partition and offset, of a topic, to the event's raw table."""
    columns: dict[str, list[Any]] = {column.name: [None] * len(rows) for column in RAW[event].columns}
    columns["kafka_topic"] = [topic] * len(rows)
    columns["kafka_topic_id"] = [topic_id for topic_id, _, _ in rows]
    columns["kafka_partition"] = [partition for _, partition, _ in rows]
    columns["kafka_offset"] = [offset for _, _, offset in rows]
    schema = pa.schema([(column.name, ARROW.get(column.type, pa.int64())) for column in RAW[event].columns])
    write_deltalake(lake.path(RAW[event]), pa.table(columns, schema=schema), mode="append")
