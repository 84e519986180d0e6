"""Small frames in, whole frames out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from music_lakehouse.defs.listening.tables import BRONZE
from music_lakehouse.defs.listening.transforms.listens import CLEANED_LISTENS, NUMBERS, TEXTS
from music_lakehouse.defs.listening.transforms.text import cleaned_texts, shown_numbers
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.query import in_spark, query
from music_lakehouse.lakehouse.tables import Table

NEW_YEAR = datetime(2024, 1, 1, tzinfo=timezone.utc)


def at(seconds: float) -> datetime:
    """That many seconds after NEW_YEAR."""
    return NEW_YEAR + timedelta(seconds=seconds)


def frame(spark: SparkSession, columns: Table | str, rows: Iterable[Mapping[str, Any]]) -> DataFrame:
    """A frame with the table's columns, or those of the DDL; what a row leaves out is null."""
    schema = cast(StructType, StructType.fromDDL(columns.ddl if isinstance(columns, Table) else columns))
    return spark.createDataFrame([tuple(row.get(name) for name in schema.names) for row in rows], schema)


def evaluated(spark: SparkSession, sql: str, **frames: DataFrame) -> DataFrame:
    """What the query gives of the frames, which is the same in Spark and in DuckDB."""
    found = in_spark(spark, sql, **frames)
    _assert_same(query(LakePaths("/nowhere"), sql, **_here(frames)), found)
    return found


def told_by(spark: SparkSession, sql: str, *listens: Mapping[str, Any], **frames: DataFrame) -> DataFrame:
    """What the query gives of these listens when cleaned, `{told}`, which is the same in Spark and in DuckDB."""
    given = [{"event_id": f"e{n}", "bronze_id": f"b{n}", "timestamp": at(0), **row} for n, row in enumerate(listens)]
    sent = frame(spark, BRONZE["listen_events"], given)
    sql = sql.replace("{told}", f"({CLEANED_LISTENS})")
    texts = cleaned_texts(evaluated(spark, TEXTS, listens=sent))
    numbers = shown_numbers(evaluated(spark, NUMBERS, listens=sent))
    return evaluated(spark, sql, listens=sent, texts=texts, numbers=numbers, **frames)


def cleaned(spark: SparkSession, *listens: Mapping[str, Any]) -> DataFrame:
    """These listens when cleaned."""
    return told_by(spark, "SELECT * FROM {told} AS told", *listens)


def _here(frames: Mapping[str, DataFrame]) -> dict[str, Any]:
    return {name: rows.toArrow() for name, rows in frames.items()}


def _assert_same(here: pa.Table, found: DataFrame) -> None:
    there, near = (sorted(map(str, rows.to_pylist())) for rows in (found.toArrow(), here))
    assert near == there


def rows_of(rows: DataFrame, *order: str) -> list[dict[str, Any]]:
    """The frame's rows, timestamps as instants in UTC, in the order of the columns named (None first)."""
    found: list[dict[str, Any]] = rows.toArrow().to_pylist()
    return sorted(found, key=lambda row: [(row[name] is not None, row[name]) for name in order])


def picked(rows: Iterable[Mapping[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    """The rows' values in these columns only."""
    return [tuple(row[column] for column in columns) for row in rows]


def values(rows: DataFrame, columns: Sequence[str], *order: str) -> list[tuple[Any, ...]]:
    """`rows_of`, with these columns only."""
    return picked(rows_of(rows, *order), *columns)
