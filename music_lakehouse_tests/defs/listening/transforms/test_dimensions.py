from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.defs.listening.silver_tables import DIM_ARTISTS, DIM_DATETIME, DIM_LOCATION, DIM_SONGS
from music_lakehouse.defs.listening.tables import REFERENCE_SONGS, REFERENCE_STATES
from music_lakehouse.defs.listening.transforms import dimensions
from music_lakehouse.lakehouse.query import in_spark
from music_lakehouse_tests.defs.listening.transforms.frames import at, cleaned, frame, picked, rows_of, told_by
from music_lakehouse_tests.oracle.values import key

pytestmark = pytest.mark.spark

UNKNOWN = "unknown"


def test_a_listen_has_the_keys_of_what_it_names_after_cleaning(spark: SparkSession) -> None:
    oslo = {"city": '"Oslo', "state": "NY", "zip": "01234", "latitude": 59.5, "longitude": 10.75}
    rows = rows_of(
        cleaned(
            spark,
            {"song": '"NaÃ¯ve"', "artist": " Band ", "timestamp": at(3599.999), **oslo},
            {"song": '" "', "artist": "Band", "zip": "1"},
            {"song": "Tune", "artist": "\\", "latitude": -0.0},
            {"song": None, "artist": None, "longitude": 1e-4},
            {"song": "a|b", "artist": "c", "state": "NY"},
        ),
        "event_id",
    )
    assert picked(rows, "title", "artistName", "songKey", "artistKey", "dateKey") == [
        ("Naïve", "Band", key("Naïve", "Band"), key("Band"), 1_704_067_200),
        (None, "Band", None, key("Band"), 1_704_067_200),
        ("Tune", None, None, None, 1_704_067_200),
        (None, None, None, None, 1_704_067_200),
        ("a|b", "c", key("a|b", "c"), key("c"), 1_704_067_200),
    ]
    assert [row["locationKey"] for row in rows] == [
        key("Oslo", "NY", "01234", 59.5, 10.75),
        key(None, None, "1", None, None),
        key(None, None, None, -0.0, None),
        key(None, None, None, None, 1e-4),
        key(None, "NY", None, None, None),
    ]
    assert rows_of(cleaned(spark, {"city": ' "" '}))[0]["locationKey"] == UNKNOWN


SONGS: list[dict[str, Any]] = [
    {"songKey": "s", "artistKey": "a", "song_id": "S2", "title": "Tune", "artist_name": "Band", "artist_id": "A9"},
    {"songKey": "s", "artistKey": "a", "song_id": "S1", "title": "Tune", "artist_name": "Band", "duration": 7.0,
     "year": 1999, "artist_id": "A2", "artist_latitude": 1.5, "artist_location": "Oslo"},
    {"songKey": "s", "artistKey": "a", "song_id": None, "title": "Tune", "artist_name": "Band"},
    {"songKey": "t", "artistKey": "a", "song_id": "S0", "title": "Air", "artist_name": "Band", "artist_id": "A2"},
    {"songKey": None, "artistKey": "b", "song_id": "S5", "title": None, "artist_name": "Solo", "artist_longitude": 2.5},
]  # fmt: skip


def test_of_several_rows_for_a_song_the_smallest_song_id_holds(spark: SparkSession) -> None:
    reference = [{**row, "songKey": row["songKey"] and key(row["title"], row["artist_name"])} for row in SONGS]
    heard = [
        {"song": "Tune", "artist": "Band", "duration": 99.0},
        {"song": "New", "artist": "Band", "duration": 5.0},
    ]
    songs = told_by(spark, dimensions.DIM_SONGS_ROWS, *heard, reference=frame(spark, REFERENCE_SONGS, reference))
    assert songs.columns == DIM_SONGS.column_names
    assert picked(
        rows_of(songs, "songId", "title"), "songKey", "songId", "title", "artistName", "duration", "year"
    ) == [
        (key("New", "Band"), None, "New", "Band", 5.0, None),
        (key("Air", "Band"), "S0", "Air", "Band", None, None),
        (key("Tune", "Band"), "S1", "Tune", "Band", 7.0, 1999),
    ]


def test_an_artist_has_the_smallest_id_and_the_place_of_that_id(spark: SparkSession) -> None:
    reference = [{**row, "artistKey": key(row["artist_name"])} for row in SONGS]
    artists = told_by(
        spark,
        dimensions.DIM_ARTISTS_ROWS,
        {"artist": "Band"},
        {"artist": "Heard"},
        reference=frame(spark, REFERENCE_SONGS, reference),
    )
    assert artists.columns == DIM_ARTISTS.column_names
    assert [tuple(row.values()) for row in rows_of(artists, "name")] == [
        (key("Band"), "A2", "Band", None, None, None),
        (key("Heard"), None, "Heard", None, None, None),
        (key("Solo"), None, "Solo", None, 2.5, None),
    ]


def test_songs_and_artists_of_events_are_told_once_with_the_greatest_duration(spark: SparkSession) -> None:
    listens: list[dict[str, Any]] = [
        {"song": "Tune", "artist": "Band", "duration": 3.0},
        {"song": '"Tune"', "artist": "Band ", "duration": 5.0, "userId": 1},
        {"song": "Tune", "artist": "Band", "duration": None},
        {"song": None, "artist": "Quiet"},
        {"song": "Lost", "artist": None},
    ]
    songs = rows_of(told_by(spark, dimensions.SONGS, *listens))
    assert [tuple(row.values()) for row in songs] == [(key("Tune", "Band"), "Tune", "Band", 5.0)]
    artists = rows_of(told_by(spark, dimensions.ARTISTS, *listens), "name")
    assert picked(artists, "name") == [("Band",), ("Quiet",)]


def test_names_that_share_a_key_make_one_row(spark: SparkSession) -> None:
    listens = [
        {"song": "a|b", "artist": "c", "city": "x|y", "state": "z", "duration": 2.0},
        {"song": "a", "artist": "b|c", "city": "x", "state": "y|z", "duration": 3.0},
    ]
    songs = rows_of(told_by(spark, dimensions.SONGS, *listens))
    places = rows_of(told_by(spark, dimensions.PLACES, *listens))
    assert len(songs) == len(places) == 1
    assert (songs[0]["title"], songs[0]["artistName"]) in {("a|b", "c"), ("a", "b|c")}
    assert (places[0]["city"], places[0]["stateCode"]) in {("x|y", "z"), ("x", "y|z")}


def test_a_place_has_its_states_name_or_na(spark: SparkSession) -> None:
    listens: list[dict[str, Any]] = [
        {"city": "Oslo", "state": "NY", "zip": "01234"},
        {"city": " Oslo", "state": "NY", "zip": "01234"},
        {"city": "Oslo", "state": " ny", "zip": "01234"},
        {"city": "Oslo", "state": "\tNY\n"},
        {"city": "Oslo", "state": "QQ"},
        {"latitude": 0.0},
        {"latitude": -0.0},
        {"city": '"'},
    ]
    states = frame(spark, REFERENCE_STATES, [{"stateCode": "NY", "stateName": "New York"}])
    named = dimensions.NAMED_PLACES.replace("{places}", f"({dimensions.PLACES})")
    places = told_by(spark, named, *listens, states=states)
    rows = rows_of(places.select(*DIM_LOCATION.column_names), "city", "stateCode", "locationKey")
    found = picked(rows, "city", "stateCode", "stateName", "zip", "locationKey")
    assert sorted(found, key=str) == sorted(
        [
            (None, None, "NA", None, key(None, None, None, 0.0, None)),
            (None, None, "NA", None, key(None, None, None, -0.0, None)),
            ("Oslo", " ny", "New York", "01234", key("Oslo", " ny", "01234", None, None)),
            ("Oslo", "\tNY\n", "New York", None, key("Oslo", "\tNY\n", None, None, None)),
            ("Oslo", "NY", "New York", "01234", key("Oslo", "NY", "01234", None, None)),
            ("Oslo", "QQ", "NA", None, key("Oslo", "QQ", None, None, None)),
        ],
        key=str,
    )


def test_there_is_a_row_for_each_hour_listened_in(spark: SparkSession) -> None:
    times = [
        datetime(2024, 2, 29, 23, 59, 59, 999_000, timezone.utc),
        datetime(2024, 3, 2, 0, 0, tzinfo=timezone.utc),
        datetime(2024, 3, 2, 0, 30, tzinfo=timezone.utc),
        datetime(2000, 1, 1, 0, 0, tzinfo=timezone.utc),
        datetime(2299, 12, 31, 13, 0, tzinfo=timezone.utc),
    ]
    hours = told_by(spark, dimensions.HOURS, *({"timestamp": time} for time in times))
    rows = rows_of(hours.select(*DIM_DATETIME.column_names), "dateKey")
    assert [tuple(row.values())[2:] for row in rows] == [
        (0, 1, 7, 1, 1, 2000, True),
        (23, 29, 5, 60, 2, 2024, False),
        (0, 2, 7, 62, 3, 2024, True),
        (13, 31, 1, 365, 12, 2299, True),
    ]
    assert [row["date"].timestamp() for row in rows] == [row["dateKey"] for row in rows]


def test_the_unknown_member_has_names_and_nothing_else(spark: SparkSession) -> None:
    for table, names in ((DIM_SONGS, ("title", "artistName")), (DIM_LOCATION, ("city", "stateName"))):
        none = f"SELECT * FROM ({dimensions.unknown_member(table)}) AS member WHERE false"
        rows = in_spark(spark, dimensions.with_unknown_member(none, table))
        assert rows_of(rows) == [
            {**dict.fromkeys(table.column_names), table.key[0]: UNKNOWN, **dict.fromkeys(names, "Unknown")}
        ]
