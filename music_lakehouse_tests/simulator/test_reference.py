from __future__ import annotations

import csv
import re
import struct
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from music_lakehouse.simulator.catalogue import catalogue
from music_lakehouse.simulator.places import cities
from music_lakehouse.simulator.reference import SONG_COLUMNS, write_reference


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("reference") / "below"
    write_reference(directory)
    return directory


@pytest.fixture(scope="module")
def songs(reference: Path) -> list[dict[str, str]]:
    with (reference / "songs.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_catalogue_holds_10000_songs_by_3000_artists(songs: list[dict[str, str]]) -> None:
    assert tuple(songs[0]) == SONG_COLUMNS
    assert len(songs) == len({song["song_id"] for song in songs}) == 10_000
    assert len({(song["title"], song["artist_name"]) for song in songs}) == 10_000
    assert len({song["artist_name"] for song in songs}) == 3_000
    assert len({(song["artist_id"], song["artist_name"], song["artist_location"]) for song in songs}) == 3_000


def test_ids_look_like_those_of_the_million_song_dataset(songs: list[dict[str, str]]) -> None:
    assert all(re.fullmatch("SO[A-Z0-9]{16}", song["song_id"]) for song in songs)
    assert all(re.fullmatch("AR[A-Z0-9]{16}", song["artist_id"]) for song in songs)


def test_some_names_need_care(songs: list[dict[str, str]]) -> None:
    for column in ("title", "artist_name"):
        names = [song[column] for song in songs]
        assert sum(not name.isascii() for name in names) > 500
        assert sum('"' in name for name in names) > 100
        assert sum("," in name for name in names) > 100


def test_durations_are_texts_of_32_bit_floats(songs: list[dict[str, str]]) -> None:
    for song in songs[:1000]:
        single = struct.unpack("f", struct.pack("f", float(song["duration"])))[0]
        assert float(f"{single:.9g}") == pytest.approx(float(song["duration"]), rel=1e-7)
        assert len(song["duration"].replace(".", "")) <= 9
        assert 40 < float(song["duration"]) < 1500


def test_few_songs_are_played_often(seed: int) -> None:
    print(f"seed {seed}")
    popularity, rng = catalogue().popularity(0.02), Random(seed)
    plays = Counter(popularity.pick(rng) for _ in range(50_000))
    known = sum(count for song, count in plays.items() if song.song_id)
    top = sum(plays[song] for song in catalogue().songs[:100])
    assert known / 50_000 == pytest.approx(0.98, abs=0.01)
    assert 0.25 < top / 50_000 < 0.45
    assert all(song.duration == "180.0" for song in plays if not song.song_id)


def test_the_states_are_those_of_the_union_and_its_capital(reference: Path) -> None:
    with (reference / "state_codes.csv").open(newline="", encoding="utf-8") as file:
        states = {row["stateCode"]: row["stateName"] for row in csv.DictReader(file)}
    assert len(states) == 51
    assert states["DC"] == "District of Columbia"
    assert {city.state for city in cities().items} == set(states)


def test_cities_have_five_digit_zip_codes_and_lie_in_the_united_states() -> None:
    towns = cities().items
    assert len(towns) >= 200
    assert all(re.fullmatch(r"\d{5}", city.zip_code) for city in towns)
    assert any(city.zip_code.startswith("0") for city in towns)
    assert all(18 < city.latitude < 72 and -180 < city.longitude < -66 for city in towns)


def test_files_that_are_there_keep_their_corrections(tmp_path: Path) -> None:
    (tmp_path / "songs.csv").write_text("corrected")
    assert write_reference(tmp_path) == [tmp_path / "state_codes.csv"]
    assert (tmp_path / "songs.csv").read_text() == "corrected"
    assert write_reference(tmp_path, overwrite=True) == [tmp_path / "songs.csv", tmp_path / "state_codes.csv"]
    assert (tmp_path / "songs.csv").read_text().startswith("song_id,title")
    assert {path.name for path in tmp_path.iterdir()} == {"songs.csv", "state_codes.csv"}
