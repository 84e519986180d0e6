from __future__ import annotations

import hashlib
from pathlib import Path

from music_lakehouse_tests.oracle.examples import at, listen, picked, tables
from music_lakehouse_tests.oracle.values import Row

HEADER = "song_id,title,artist_name,duration,artist_id,artist_latitude,artist_longitude,artist_location\n"


def test_the_reference_goes_before_what_was_heard(tmp_path: Path) -> None:
    songs = tmp_path / "songs.csv"
    songs.write_text(HEADER + 'S2,Tune,Band,200,,,,\nS1,"""Tune""",Band,,,,,\nS3,Lost,,1,,,,\n')
    rows = tables(
        [
            listen(duration=999.0),
            listen(song="New", duration=5.0),
            listen(song="New", userId=None, duration=7.5),
            listen(song="Mute", duration=None),
            listen(song="Other", artist='" "'),
        ],
        songs_csv=songs,
    )["silver.dim_songs"]
    assert picked(rows, "songId", "title", "artistName", "duration") == [
        ("S1", "Tune", "Band", None),
        (None, "New", "Band", 7.5),
        (None, "Mute", "Band", None),
        (None, "Unknown", "Unknown", None),
    ]
    assert picked(rows, "songKey")[0] == (hashlib.md5(b"Tune|Band").hexdigest(),)
    assert rows[-1]["songKey"] == "unknown"


def test_an_artist_has_the_smallest_id_and_the_place_of_its_first_row(tmp_path: Path) -> None:
    songs = tmp_path / "songs.csv"
    songs.write_text(
        HEADER
        + "S1,A,Band,1,AR9,1,1,Far\nS2,B,Band,1,AR1,,2.5,ZÃ¼rich\nS3,C,Band,1,AR1,3,3,Late\n"
        + "S4,D,Solo,1,,4,4,There\nS5,,Trio,1,AR5,5,5,\n"
    )
    rows = tables([listen(artist="Heard", song=None), listen()], songs_csv=songs)["silver.dim_artists"]
    assert {row.pop("name"): tuple(row.values()) for row in rows} == {
        "Heard": (hashlib.md5(b"Heard").hexdigest(), None, None, None, None),
        "Band": (hashlib.md5(b"Band").hexdigest(), "AR1", None, 2.5, "Zürich"),
        "Solo": (hashlib.md5(b"Solo").hexdigest(), None, 4.0, 4.0, "There"),
        "Trio": (hashlib.md5(b"Trio").hexdigest(), "AR5", 5.0, 5.0, None),
        "Unknown": ("unknown", None, None, None, None),
    }


def test_places_are_told_apart_by_all_five_parts(tmp_path: Path) -> None:
    codes = tmp_path / "state_codes.csv"
    codes.write_text("stateCode,stateName\nNY,New York\n")
    nowhere: Row = {"city": None, "state": "", "zip": None, "lat": None, "lon": None}
    rows = tables(
        [
            listen(),
            listen(1),
            listen(city='"Oslo" '),
            listen(zip=1234),
            listen(**{**nowhere, "state": " ny", "userId": None}),
            listen(**{**nowhere, "state": "QQ"}),
            listen(**{**nowhere, "lat": 0.0001}),
            listen(**nowhere),
        ],
        state_codes_csv=codes,
    )["silver.dim_location"]
    assert picked(rows, "city", "stateCode", "stateName", "zip", "latitude", "longitude") == [
        ("Oslo", "NY", "New York", "01234", 59.5, 10.75),
        ("Oslo", "NY", "New York", "1234", 59.5, 10.75),
        (None, " ny", "New York", None, None, None),
        (None, "QQ", "NA", None, None, None),
        (None, None, "NA", None, 0.0001, None),
        ("Unknown", None, "Unknown", None, None, None),
    ]
    assert [row["locationKey"] for row in rows] == [
        *(
            hashlib.md5(parts.encode()).hexdigest()
            for parts in ("Oslo|NY|01234|59.5|10.75", "Oslo|NY|1234|59.5|10.75", "| ny|||", "|QQ|||", "|||1.0E-4|")
        ),
        "unknown",
    ]


def test_there_is_a_row_for_each_hour_listened_in() -> None:
    hour = 3_600_000
    rows = tables([listen(5), listen(hour - 1), listen(-1), listen(-4 * 24 * hour, userId=None)])["silver.dim_datetime"]
    assert rows[0] == {
        "dateKey": 1_699_704_000,
        "date": at(-4 * 24 * hour),
        "hour": 12,
        "dayOfMonth": 11,
        "dayOfWeek": 7,
        "dayOfYear": 315,
        "month": 11,
        "year": 2023,
        "weekendFlag": True,
    }
    assert picked(rows[1:], "dateKey", "hour", "dayOfWeek", "weekendFlag") == [
        (1_700_046_000, 11, 4, False),
        (1_700_049_600, 12, 4, False),
    ]


def test_an_empty_lake_has_the_unknown_members_and_nothing_else() -> None:
    sizes = {name: len(rows) for name, rows in tables().items() if rows}
    assert sizes == {"silver.dim_songs": 1, "silver.dim_artists": 1, "silver.dim_location": 1}
