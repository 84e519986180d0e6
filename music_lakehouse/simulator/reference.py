"""The reference files that belong to the simulated events: songs.csv and state_codes.csv."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from music_lakehouse.simulator.catalogue import Song, catalogue
from music_lakehouse.simulator.weighted import read_rows

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
STATE_COLUMNS = ("stateCode", "stateName")


def write_reference(directory: Path, *, overwrite: bool = False) -> list[Path]:
    """Writes `songs.csv` and `state_codes.csv` (UTF-8, header, comma) and returns the files written.

    The directory is created. A file that is there is left alone unless `overwrite`: it may hold corrections. A file
    appears whole or not at all.
    """
    directory.mkdir(parents=True, exist_ok=True)
    songs, states = directory / "songs.csv", directory / "state_codes.csv"
    written = []
    if overwrite or not songs.exists():
        _write(songs, SONG_COLUMNS, map(_song_row, catalogue().songs))
        written.append(songs)
    if overwrite or not states.exists():
        rows = ([row[column] for column in STATE_COLUMNS] for row in read_rows("state_codes.csv"))
        _write(states, STATE_COLUMNS, rows)
        written.append(states)
    return written


def _song_row(song: Song) -> list[object]:
    home = song.artist.home
    return [
        song.song_id,
        song.title,
        song.artist.name,
        song.duration,
        song.key,
        song.key_confidence,
        song.loudness,
        song.hotness,
        song.tempo,
        song.year,
        song.artist.artist_id,
        home.latitude if home else None,
        home.longitude if home else None,
        f"{home.name}, {home.state}" if home else None,
    ]


def _write(path: Path, columns: tuple[str, ...], rows: Iterable[Iterable[object]]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    partial.replace(path)
