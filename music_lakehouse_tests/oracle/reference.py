"""The reference files as typed rows: whatever of them can be read."""

from __future__ import annotations

import csv
from pathlib import Path

from music_lakehouse_tests.oracle.coercion import Coercion, UnfitValueError, double, integer
from music_lakehouse_tests.oracle.values import Row, clean

SONG_NUMBERS: dict[str, Coercion] = {
    "duration": double,
    "key": integer(32),
    "key_confidence": double,
    "loudness": double,
    "song_hotttnesss": double,
    "tempo": double,
    "year": integer(32),
    "artist_latitude": double,
    "artist_longitude": double,
}
SONG_CLEANED = ("title", "artist_name", "artist_location")
SONG_COLUMNS = (
    "song_id",
    "title",
    "artist_name",
    "duration",
    "key",
    "key_confidence",
    "loudness",
    "song_hotttnesss",
    "tempo",
    "year",
    "artist_id",
    "artist_latitude",
    "artist_longitude",
    "artist_location",
)


def reference_songs(path: Path) -> list[Row]:
    """The rows of songs.csv under its own column names, smallest song_id first (rows without one last, equal ones by
    the other columns); names cleaned, numbers typed, what is empty or unreadable None."""
    songs = [{column: _song_value(column, row.get(column)) for column in SONG_COLUMNS} for row in _csv_rows(path)]
    return sorted(songs, key=lambda song: [(song[column] is None, song[column] or 0) for column in SONG_COLUMNS])


def state_names(path: Path) -> dict[str, str]:
    """State name by upper-case code; of several names for one code the smallest."""
    names: dict[str, str] = {}
    for row in _csv_rows(path):
        code, name = ((row.get(column) or "").strip() for column in ("statecode", "statename"))
        if code and name:
            names[code.upper()] = min(name, names.get(code.upper(), name))
    return names


def _csv_rows(path: Path) -> list[dict[str, str | None]]:
    if not path.is_file():
        return []
    csv.field_size_limit(1 << 30)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        header, *lines = [line for line in csv.reader(file) if line] or [[]]
    names = [name.strip().lower() for name in header]
    return [{name: value or None for name, value in zip(names, line, strict=False)} for line in lines]


def _song_value(column: str, value: str | None) -> str | float | int | None:
    if value is None or column not in SONG_NUMBERS:
        return clean(value) if column in SONG_CLEANED else value
    try:
        number: float | int = SONG_NUMBERS[column](value)
    except UnfitValueError:
        return None
    return number
