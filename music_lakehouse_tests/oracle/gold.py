"""Facts, wide facts and their summaries."""

from __future__ import annotations

from collections.abc import Sequence

from music_lakehouse_tests.oracle.dimensions import date_key, location_key
from music_lakehouse_tests.oracle.profiles import first_deliveries
from music_lakehouse_tests.oracle.users import History, user_key
from music_lakehouse_tests.oracle.values import Row, Tables, clean, key

SUMMARIES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "gold.daily_user_summary": (
        ("date_part", "userId", "firstName", "lastName", "level"),
        {"unique_songs": "songName", "unique_artists": "artistName"},
    ),
    "gold.daily_location_summary": (
        ("date_part", "city", "state"),
        {"unique_users": "userId", "unique_songs": "songName"},
    ),
    "gold.artist_popularity": (
        ("artistName",),
        {"unique_users": "userId", "unique_songs": "songName", "active_days": "date_part"},
    ),
}


def fact_listens(listens: list[Row]) -> list[Row]:
    """The bronze listen rows that facts are made of: with a user, a song and an artist, one a distinct event."""
    complete = [row for row in listens if row["userId"] is not None and clean(row["song"]) and clean(row["artist"])]
    return list(first_deliveries(complete).values())


def fact_streams(listens: list[Row], users: dict[int, History]) -> list[Row]:
    """One row a distinct listen event with a user, a song and an artist."""
    return [
        {
            "event_id": row["event_id"],
            "userKey": user_key(row["userId"], users[row["userId"]].at(row["ts"])),
            "artistKey": key(clean(row["artist"])),
            "songKey": key(clean(row["song"]), clean(row["artist"])),
            "dateKey": date_key(row),
            "locationKey": location_key(row),
            "ts": row["timestamp"],
            "date_part": row["timestamp"].date(),
            "userId": row["userId"],
            "sessionId": row["sessionId"],
            "itemInSession": row["itemInSession"],
            "duration": row["duration"],
        }
        for row in fact_listens(listens)
    ]


def wide_streams(facts: list[Row], silver: Tables) -> list[Row]:
    """One row a fact, joined with its five dimensions."""
    users = {row["userKey"]: row for row in silver["silver.dim_users"]}
    songs = {row["songKey"]: row for row in silver["silver.dim_songs"]}
    artists = {row["artistKey"]: row for row in silver["silver.dim_artists"]}
    places = {row["locationKey"]: row for row in silver["silver.dim_location"]}
    hours = {row["dateKey"]: row for row in silver["silver.dim_datetime"]}
    rows = []
    for fact in facts:
        user, song, artist = users[fact["userKey"]], songs[fact["songKey"]], artists[fact["artistKey"]]
        place, hour = places[fact["locationKey"]], hours[fact["dateKey"]]
        rows.append(
            {
                "event_id": fact["event_id"],
                "userKey": fact["userKey"],
                "artistKey": fact["artistKey"],
                "songKey": fact["songKey"],
                "dateKey": fact["dateKey"],
                "locationKey": fact["locationKey"],
                "timestamp": fact["ts"],
                "date_part": fact["date_part"],
                "userId": fact["userId"],
                "firstName": user["firstName"],
                "lastName": user["lastName"],
                "gender": user["gender"],
                "level": user["level"],
                "songName": song["title"],
                "songDuration": song["duration"],
                "artistName": artist["name"],
                "city": place["city"],
                "state": place["stateCode"],
                "stateName": place["stateName"],
                "latitude": place["latitude"],
                "longitude": place["longitude"],
                "dateHour": hour["date"],
                "dayOfMonth": hour["dayOfMonth"],
                "dayOfWeek": hour["dayOfWeek"],
            }
        )
    return rows


def summary(wide: list[Row], by: Sequence[str], distinct: dict[str, str]) -> list[Row]:
    """The GROUP BY over wide_streams: total_streams, and for each name in `distinct` how many different values (other
    than None) its column has."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in wide:
        groups.setdefault(tuple(row[column] for column in by), []).append(row)
    return [
        {
            **dict(zip(by, group, strict=True)),
            "total_streams": len(rows),
            **{name: len({row[column] for row in rows} - {None}) for name, column in distinct.items()},
        }
        for group, rows in groups.items()
    ]
