from __future__ import annotations

from pathlib import Path

from music_lakehouse_tests.oracle.examples import picked
from music_lakehouse_tests.oracle.reference import reference_songs, state_names


def test_songs_are_read_whatever_the_order_of_columns_and_the_quoting(tmp_path: Path) -> None:
    path = tmp_path / "songs.csv"
    path.write_bytes(
        b"\xef\xbb\xbf Title ,ARTIST_NAME,song_id,duration,key,year\r\n"
        b'"A ""B"", C",D\xc3\x83\xc2\xb6,S2,210.5,3,2001.0\r\n'
    )
    (song,) = reference_songs(path)
    assert (song["title"], song["artist_name"], song["song_id"]) == ('A "B", C', "Dö", "S2")
    assert (song["duration"], song["key"], song["year"], song["tempo"]) == (210.5, 3, 2001, None)


def test_broken_rows_are_used_as_far_as_they_go(tmp_path: Path) -> None:
    path = tmp_path / "songs.csv"
    path.write_text('song_id,title,artist_name,duration\nS1,T\n\nS2,T,A,long,extra,extra\n,"",A,1\n')
    assert picked(reference_songs(path), "song_id", "title", "artist_name", "duration") == [
        ("S1", "T", None, None),
        ("S2", "T", "A", None),
        (None, None, "A", 1.0),
    ]


def test_songs_come_by_id_with_those_that_lack_one_last(tmp_path: Path) -> None:
    path = tmp_path / "songs.csv"
    path.write_text("song_id,title,artist_name,duration\n,T,A,1\nS2,T,A,9\nS2,T,A,8\nS10,T,A,3\n")
    assert [song["duration"] for song in reference_songs(path)] == [3, 8, 9, 1]


def test_states_are_trimmed_and_matched_in_upper_case(tmp_path: Path) -> None:
    path = tmp_path / "state_codes.csv"
    path.write_bytes(b"\xef\xbb\xbfstateCode,stateName\n ny , New York \nCA,Westland\nca,California\n,Nowhere\nTX,\n")
    assert state_names(path) == {"NY": "New York", "CA": "California"}


def test_a_reference_that_is_missing_or_empty_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    assert reference_songs(tmp_path / "empty.csv") == []
    assert reference_songs(tmp_path / "missing.csv") == []
    assert state_names(tmp_path / "missing.csv") == {}
