from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest

from music_lakehouse.simulator.landing import LandingError, Staging, evenly, land, landed_files, last_landing

NOON = datetime(2024, 3, 1, 12, 0, 0, 123_000, timezone.utc)


def test_a_file_lands_whole_with_its_time_and_nothing_else_stays(tmp_path: Path) -> None:
    with Staging(tmp_path) as staging:
        file = staging.path / "part"
        file.write_text("content")
        assert staging.path.name.startswith(".")
        target = land(file, tmp_path / "source" / "file.csv", NOON)

    assert target.read_text() == "content"
    assert target.stat().st_mtime_ns == round(NOON.timestamp() * 1000) * 1_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_what_did_not_land_is_gone_after_an_error(tmp_path: Path) -> None:
    def interrupted() -> None:
        with Staging(tmp_path) as staging:
            (staging.path / "half").write_text("cont")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_what_has_landed_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text("first")
    (tmp_path / "staged").write_text("second")
    with pytest.raises(LandingError, match=r"file\.csv has landed already"):
        land(tmp_path / "staged", tmp_path / "file.csv")
    assert (tmp_path / "file.csv").read_text() == "first"


def test_files_are_in_the_order_of_their_times_then_their_names(tmp_path: Path) -> None:
    for name, hours in (("c.csv", 1), ("b.csv", 2), ("a.csv", 2), ("other.json", 3)):
        (tmp_path / "staged").write_text("")
        land(tmp_path / "staged", tmp_path / "source" / name, NOON + timedelta(hours=hours))
    assert [file.name for file in landed_files(tmp_path / "source", "*.csv")] == ["c.csv", "a.csv", "b.csv"]
    assert last_landing([tmp_path / "source", tmp_path / "nothing"], "*.csv") == NOON + timedelta(hours=2)
    assert last_landing([tmp_path / "nothing"], "*.csv") is None


def test_moments_are_evenly_spread_up_to_the_last_one() -> None:
    assert list(evenly(NOON, NOON + timedelta(hours=3), 3)) == [NOON + timedelta(hours=hour) for hour in (1, 2, 3)]


def test_moments_are_a_millisecond_apart_where_there_is_no_room() -> None:
    moments = list(evenly(NOON, NOON - timedelta(days=1), 5))
    assert moments[0] > NOON
    assert all(b - a == timedelta(milliseconds=1) for a, b in pairwise(moments))
