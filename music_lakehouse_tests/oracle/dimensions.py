"""The dimensions of what is listened to, where and when. Each function takes bronze listen rows, hidden users' too."""

from __future__ import annotations

from typing import Any

from music_lakehouse_tests.oracle.coercion import ASCII_SPACE
from music_lakehouse_tests.oracle.values import HOUR_MS, Row, clean, instant, key

UNKNOWN = "unknown"

SONG_COLUMNS = {
    "songId": "song_id",
    "title": "title",
    "artistName": "artist_name",
    "duration": "duration",
    "key": "key",
    "keyConfidence": "key_confidence",
    "loudness": "loudness",
    "songHotness": "song_hotttnesss",
    "tempo": "tempo",
    "year": "year",
}


def dim_songs(listens: list[Row], reference: list[Row]) -> list[Row]:
    """One row a cleaned (title, artist); `reference` in the order in which its rows take precedence."""
    songs: dict[tuple[str, str], Row] = {}
    for row in reference:
        title, artist = row["title"], row["artist_name"]
        if title and artist and (title, artist) not in songs:
            songs[title, artist] = {name: row[column] for name, column in SONG_COLUMNS.items()}
    only_heard: dict[tuple[str, str], float | None] = {}
    for listen in listens:
        title, artist = clean(listen["song"]), clean(listen["artist"])
        if title and artist and (title, artist) not in songs:
            durations = (listen["duration"], only_heard.get((title, artist)))
            only_heard[title, artist] = max((each for each in durations if each is not None), default=None)
    nothing: Row = dict.fromkeys(SONG_COLUMNS)
    for (title, artist), duration in only_heard.items():
        songs[title, artist] = {**nothing, "title": title, "artistName": artist, "duration": duration}
    unknown = {"songKey": UNKNOWN, **nothing, "title": "Unknown", "artistName": "Unknown"}
    return [{"songKey": key(*names), **song} for names, song in songs.items()] + [unknown]


def dim_artists(listens: list[Row], reference: list[Row]) -> list[Row]:
    """One row a cleaned name; `reference` in the order in which its rows take precedence."""
    rows_of: dict[str, list[Row]] = {name: [] for listen in listens if (name := clean(listen["artist"]))}
    for row in reference:
        if row["artist_name"]:
            rows_of.setdefault(row["artist_name"], []).append(row)
    artists = []
    for name, rows in rows_of.items():
        smallest = min((row["artist_id"] for row in rows if row["artist_id"]), default=None)
        source = next((row for row in rows if row["artist_id"] == smallest), {})
        artists.append(_artist(key(name), name, smallest, source))
    return [*artists, _artist(UNKNOWN, "Unknown", None, {})]


def _artist(artist_key: str, name: str, artist_id: str | None, source: Row) -> Row:
    return {
        "artistKey": artist_key,
        "artistId": artist_id,
        "name": name,
        "latitude": source.get("artist_latitude"),
        "longitude": source.get("artist_longitude"),
        "location": source.get("artist_location"),
    }


def location_parts(listen: Row) -> tuple[Any, ...]:
    """The five parts of a listen event's place: city (cleaned), state, zip, latitude, longitude."""
    return clean(listen["city"]), listen["state"], listen["zip"], listen["latitude"], listen["longitude"]


def location_key(listen: Row) -> str:
    """The key of a listen event's place, that of the unknown member where all five parts are missing."""
    parts = location_parts(listen)
    return UNKNOWN if all(part is None for part in parts) else key(*parts)


def dim_location(listens: list[Row], states: dict[str, str]) -> list[Row]:
    """One row a place that a listen event names."""
    places: dict[str, tuple[Any, ...]] = {}
    for listen in listens:
        places.setdefault(location_key(listen), location_parts(listen))
    places.pop(UNKNOWN, None)
    rows = []
    for place, (city, state, zip_code, latitude, longitude) in places.items():
        name = states.get((state or "").strip(ASCII_SPACE).upper(), "NA")
        rows.append(_location(place, city, state, name, zip_code, latitude, longitude))
    return [*rows, _location(UNKNOWN, "Unknown", None, "Unknown", None, None, None)]


def _location(*values: Any) -> Row:
    columns = ("locationKey", "city", "stateCode", "stateName", "zip", "latitude", "longitude")
    return dict(zip(columns, values, strict=True))


def date_key(listen: Row) -> int:
    """Unix seconds of the hour in which the event falls."""
    return int(listen["ts"] // HOUR_MS * 3600)


def dim_datetime(listens: list[Row]) -> list[Row]:
    """One row an hour in which a listen event falls."""
    rows = []
    for seconds in sorted({date_key(listen) for listen in listens}):
        hour = instant(seconds * 1000)
        rows.append(
            {
                "dateKey": seconds,
                "date": hour,
                "hour": hour.hour,
                "dayOfMonth": hour.day,
                "dayOfWeek": hour.isoweekday() % 7 + 1,
                "dayOfYear": hour.timetuple().tm_yday,
                "month": hour.month,
                "year": hour.year,
                "weekendFlag": hour.isoweekday() >= 6,
            }
        )
    return rows
