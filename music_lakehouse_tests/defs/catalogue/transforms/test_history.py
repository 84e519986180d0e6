from __future__ import annotations

from datetime import datetime, timedelta, timezone
from random import Random

import pytest
from pyspark.sql import DataFrame, SparkSession

from music_lakehouse.defs.catalogue.entities import ARTISTS
from music_lakehouse.defs.catalogue.tables import DIMENSION_TABLES, SILVER
from music_lakehouse.defs.catalogue.transforms.history import versions
from music_lakehouse.defs.catalogue.transforms.rows import latest
from music_lakehouse_tests.oracle.catalogue.files import Record
from music_lakehouse_tests.oracle.catalogue.history import versions as told_by_the_oracle
from music_lakehouse_tests.oracle.values import Row

pytestmark = pytest.mark.spark

NOON = datetime(2025, 3, 1, 12, tzinfo=timezone.utc)
ARTIST_COUNT, MOST_LOADS = 150, 9
LANDED = f"{SILVER[ARTISTS].ddl}, _deleted BOOLEAN, _extracted_at TIMESTAMP, source_filename STRING, row_number BIGINT"


def history(rng: Random, artist_id: int) -> list[Record]:
    """What landed of an artist: changes, touches and deletions; clocks go forward, back and ahead of the loads."""
    records = []
    for number in range(1 + rng.randrange(MOST_LOADS)):
        deleted = rng.random() < 0.3
        updated_at = NOON + timedelta(hours=rng.choice([number, number, number, rng.randrange(12)]))
        row: Row = {
            "artist_id": artist_id,
            "artist_name": None if deleted else "The Band",
            "genre": None if deleted else rng.choice(["pop", "folk"]),
            "country": None,
            "updated_at": None if deleted else updated_at,
        }
        # Some share a load, of which the file and the row tell.
        load = NOON + timedelta(hours=number // 2, minutes=30)
        records.append(Record(f"{number // 3}.parquet", number, row, deleted, load, []))
    return records


def test_versions_and_the_last_state_are_those_of_the_oracle_whatever_clocks_do(spark: SparkSession, seed: int) -> None:
    rng = Random(seed)
    histories = [history(rng, number) for number in range(ARTIST_COUNT)]
    landed = [(*r.row.values(), r.deleted, r.extracted_at, r.file, r.number) for records in histories for r in records]
    rng.shuffle(landed)
    rows = spark.createDataFrame(landed, LANDED)

    told = _sorted_rows(versions(rows, ARTISTS))
    last = _sorted_rows(latest(rows, ARTISTS))

    expected = [version for records in histories for version in told_by_the_oracle(records, "artist_id")]
    assert len(expected) > ARTIST_COUNT
    assert any(version["is_deleted"] for version in expected)
    assert told == sorted((tuple(version.values()) for version in expected), key=str)
    assert last == sorted((tuple(r[-1].row.values()) for r in histories if not r[-1].deleted), key=str)
    assert versions(rows, ARTISTS).columns == DIMENSION_TABLES[ARTISTS].column_names
    current = {version["artist_id"] for version in expected if version["is_current"]}
    assert current == {row[0] for row in last}, "what is current is what silver has"


def _sorted_rows(frame: DataFrame) -> list[tuple[object, ...]]:
    return sorted((tuple(row.values()) for row in frame.toArrow().to_pylist()), key=str)
