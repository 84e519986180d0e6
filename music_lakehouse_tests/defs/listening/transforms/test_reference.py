from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.defs.listening.transforms.reference import (
    SONG_COLUMNS,
    STATE_COLUMNS,
    reference_songs,
    reference_states,
)
from music_lakehouse_tests.defs.listening.transforms.frames import frame, picked, rows_of
from music_lakehouse_tests.oracle.values import key

pytestmark = pytest.mark.spark

LINES = ", ".join(f"`{column.name}` STRING" for column in SONG_COLUMNS)


def test_songs_are_typed_and_cleaned_and_what_cannot_be_read_is_missing(spark: SparkSession) -> None:
    lines: list[dict[str, Any]] = [
        {
            "song_id": "S1",
            "title": '"NaÃ¯ve"',
            "artist_name": "Band ",
            "duration": " 2.5",
            "key": "7.0",
            "year": "1999",
        },
        {"song_id": "S2", "title": "Tune", "artist_name": "Band", "duration": "long", "key": "99999999999", "year": ""},
        {
            "song_id": "S3",
            "title": '" "',
            "artist_name": "Solo",
            "artist_latitude": "nan",
            "artist_longitude": "Infinity",
            "year": "1999.5",
        },
        {"song_id": "S4", "title": "Lost", "artist_name": None},
    ]
    rows = rows_of(reference_songs(frame(spark, LINES, [*lines, lines[1]])), "song_id")
    assert picked(rows, "song_id", "title", "artist_name", "duration", "key", "year") == [
        ("S1", "Naïve", "Band", 2.5, 7, 1999),
        ("S2", "Tune", "Band", None, None, None),
        ("S3", None, "Solo", None, None, None),
    ]
    assert picked(rows, "artist_latitude", "artist_longitude") == [(None, None)] * 3
    assert picked(rows, "songKey", "artistKey") == [
        (key("Naïve", "Band"), key("Band")),
        (key("Tune", "Band"), key("Band")),
        (None, key("Solo")),
    ]
    assert len({row["row_id"] for row in rows}) == 3


def test_states_have_one_name_a_code(spark: SparkSession) -> None:
    columns = ", ".join(f"{column.name} STRING" for column in STATE_COLUMNS)
    lines: list[dict[str, Any]] = [
        {"stateCode": " ny ", "stateName": " New York"},
        {"stateCode": "NY", "stateName": "York"},
        {"stateCode": "CA", "stateName": ""},
        {"stateCode": None, "stateName": "Nowhere"},
    ]
    assert rows_of(reference_states(frame(spark, columns, lines))) == [{"stateCode": "NY", "stateName": "New York"}]
