from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from music_lakehouse_tests.oracle.examples import ANNA, NOON, at, event, listen, picked, tables

NOWHERE: dict[str, Any] = {"city": None, "state": None, "zip": None, "lat": None, "lon": None}


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def test_a_fact_and_its_wide_row_are_the_event_with_its_dimensions(tmp_path: Path) -> None:
    songs, codes = tmp_path / "songs.csv", tmp_path / "state_codes.csv"
    songs.write_text("song_id,title,artist_name,duration\nS1,Tune,Band,200\n")
    codes.write_text("stateCode,stateName\nNY,New York\n")
    found = tables([listen(1500, 3, song='"Tune"')], songs_csv=songs, state_codes_csv=codes)
    keys = {
        "event_id": md5(f"7|1|3|{NOON + 1500}"),
        "userKey": md5(f"7|{NOON + 1500}"),
        "artistKey": md5("Band"),
        "songKey": md5("Tune|Band"),
        "dateKey": NOON // 1000,
        "locationKey": md5("Oslo|NY|01234|59.5|10.75"),
        "date_part": at(0).date(),
        "userId": 7,
    }
    assert found["gold.fact_streams"] == [
        {**keys, "ts": at(1500), "sessionId": 1, "itemInSession": 3, "duration": 180.5}
    ]
    assert found["gold.wide_streams"] == [
        {
            **keys,
            "timestamp": at(1500),
            "firstName": "Anna",
            "lastName": "Berg",
            "gender": "F",
            "level": "free",
            "songName": "Tune",
            "songDuration": 200.0,
            "artistName": "Band",
            "city": "Oslo",
            "state": "NY",
            "stateName": "New York",
            "latitude": 59.5,
            "longitude": 10.75,
            "dateHour": at(0),
            "dayOfMonth": 15,
            "dayOfWeek": 4,
        }
    ]


def test_only_listens_with_a_user_a_song_and_an_artist_are_facts() -> None:
    rows = [listen(1, userId=""), listen(2, song=' "" '), listen(3, artist=None), listen(4, song="x", duration=None)]
    facts = tables(rows)["gold.fact_streams"]
    assert picked(facts, "ts", "duration") == [(at(4), None)]


def test_of_two_deliveries_the_complete_one_with_the_smallest_bronze_id_counts() -> None:
    offsets = sorted(range(3), key=lambda offset: md5(f"id-listen_events|0|{offset}"))
    songs = dict(zip(offsets, (None, "Smaller", "Greater"), strict=True))
    (fact,) = tables([listen(song=songs[offset]) for offset in range(3)])["gold.fact_streams"]
    assert fact["songKey"] == md5("Smaller|Band")


def test_a_fact_has_the_version_of_its_user_that_held_then() -> None:
    found = tables(
        [listen(0), listen(2000, 2, level="paid"), listen(3000, 3, level="paid")],
        status_changes=[event(1000, 1, level="free", **ANNA)],
    )
    assert picked(found["gold.wide_streams"], "level", "userKey") == [
        ("free", md5(f"7|{NOON}")),
        ("paid", md5(f"7|{NOON + 1001}")),
        ("paid", md5(f"7|{NOON + 1001}")),
    ]


def test_a_listen_without_a_place_has_the_unknown_one() -> None:
    found = tables([listen(**NOWHERE)])
    assert picked(found["gold.wide_streams"], "locationKey", "city", "state", "stateName", "latitude") == [
        ("unknown", "Unknown", None, "Unknown", None)
    ]


def test_summaries_group_what_is_wide() -> None:
    day = 86_400_000
    found = tables(
        [
            listen(0),
            listen(1, 1),
            listen(2, 2, song="Other", city=None),
            listen(3, 3, artist="Duo"),
            listen(4 - day, 4),
            listen(5, 5, userId=8, firstName=None, lastName=None, level="paid", state=None),
        ]
    )
    today, yesterday = at(0).date(), at(-day).date()
    columns = (
        "date_part",
        "userId",
        "firstName",
        "lastName",
        "level",
        "total_streams",
        "unique_songs",
        "unique_artists",
    )
    assert picked(found["gold.daily_user_summary"], *columns) == [
        (today, 7, "Anna", "Berg", "free", 4, 2, 2),
        (yesterday, 7, "Anna", "Berg", "free", 1, 1, 1),
        (today, 8, "Unknown", "Unknown", "paid", 1, 1, 1),
    ]
    places = ("date_part", "city", "state", "total_streams", "unique_users", "unique_songs")
    assert picked(found["gold.daily_location_summary"], *places) == [
        (today, "Oslo", "NY", 3, 1, 1),
        (today, None, "NY", 1, 1, 1),
        (yesterday, "Oslo", "NY", 1, 1, 1),
        (today, "Oslo", None, 1, 1, 1),
    ]
    artists = ("artistName", "total_streams", "unique_users", "unique_songs", "active_days")
    assert picked(found["gold.artist_popularity"], *artists) == [("Band", 5, 2, 2, 2), ("Duo", 1, 1, 1, 1)]
