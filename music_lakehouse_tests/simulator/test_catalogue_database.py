from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from music_lakehouse.lakehouse.database import Database
from music_lakehouse.simulator.catalogue_database import (
    HISTORY_ENDS,
    LATEST,
    METADATA,
    STREAMS_A_DAY,
    SUBSCRIPTIONS,
    Counted,
    change,
    fill,
)

pytestmark = pytest.mark.thorough

Row = dict[str, Any]
COLUMNS = {
    "DimUser": ["user_id", "user_name", "country", "subscription_type", "start_date", "end_date", "updated_at"],
    "DimArtist": ["artist_id", "artist_name", "genre", "country", "updated_at"],
    "DimTrack": ["track_id", "track_name", "artist_id", "album_name", "duration_sec", "release_date", "updated_at"],
    "DimDate": ["date_key", "date", "day", "month", "year", "weekday"],
    "FactStream": [
        *("stream_id", "user_id", "track_id", "date_key"),
        *("listen_duration", "device_type", "stream_timestamp"),
    ],
}


class Catalogue:
    """A database in a state, and its rows by table and key."""

    def __init__(self, url: SecretStr) -> None:
        self.database = Database(url, setting="CATALOGUE_DATABASE_URL")

    def fill(self, streams: int = 2000, seed: int = 1) -> Counted:
        counted = Counted()
        assert fill(self.database, counted, streams=streams, seed=seed)
        return counted

    def change(self, streams: int = 200, seed: int = 1) -> Counted:
        counted = Counted()
        change(self.database, counted, streams=streams, seed=seed)
        return counted

    def raw(self, sql: str) -> list[Any]:
        return self.database.read("the test", lambda connection: list(connection.execute(sa.text(sql))))

    def rows(self, name: str) -> dict[int, Row]:
        table = METADATA.tables[name]
        found = self.database.read(name, lambda connection: connection.execute(sa.select(table)).mappings().all())
        [key] = table.primary_key.columns
        return {row[key.name]: dict(row) for row in found}

    def everything(self) -> dict[str, dict[int, Row]]:
        return {name: self.rows(name) for name in COLUMNS}


@pytest.fixture
def sqlite(tmp_path: Path) -> Catalogue:
    return Catalogue(SecretStr(f"sqlite:///{tmp_path}/below/catalogue.db"))


@pytest.fixture(params=["sqlite", "postgresql"])
def catalogue(request: pytest.FixtureRequest) -> Catalogue:
    """An empty database, once SQLite and once PostgreSQL."""
    if request.param == "sqlite":
        made: Catalogue = request.getfixturevalue("sqlite")
        return made
    return Catalogue(request.getfixturevalue("postgres").new_database())


def test_the_five_tables_have_the_columns_that_belong_to_them(catalogue: Catalogue) -> None:
    catalogue.fill(100)

    def columns(connection: sa.Connection) -> dict[str, list[str]]:
        inspector = sa.inspect(connection)
        return {name: [c["name"] for c in inspector.get_columns(name)] for name in inspector.get_table_names()}

    assert catalogue.database.read("the test", columns) == COLUMNS


def test_facts_refer_to_rows_that_are_there_and_tell_their_own_day(catalogue: Catalogue) -> None:
    counted = catalogue.fill()
    users, tracks, dates, artists = (catalogue.rows(f"Dim{name}") for name in ("User", "Track", "Date", "Artist"))
    streams = catalogue.rows("FactStream")

    assert len(streams) == counted["FactStream"].new == 2000
    assert {row["user_id"] for row in streams.values()} <= users.keys()
    assert {row["track_id"] for row in streams.values()} <= tracks.keys()
    assert {row["artist_id"] for row in tracks.values()} == artists.keys()
    for row in streams.values():
        assert dates[row["date_key"]]["date"] == row["stream_timestamp"].date()
        assert row["listen_duration"] > 0
    assert all(row["date"].strftime("%A") == row["weekday"] for row in dates.values())


def test_the_history_ends_when_it_is_told_and_is_longer_with_more_streams(sqlite: Catalogue) -> None:
    sqlite.fill(STREAMS_A_DAY * 2)
    times = [row["stream_timestamp"] for row in sqlite.rows("FactStream").values()]

    assert HISTORY_ENDS - timedelta(minutes=1) < max(times) <= HISTORY_ENDS
    assert HISTORY_ENDS - timedelta(days=2) <= min(times) < HISTORY_ENDS - timedelta(days=1.99)
    assert times == sorted(times)
    assert 0.03 < sum(before == after for before, after in pairwise(times)) / len(times) < 0.07


def test_timestamps_are_iso_text_in_sqlite_that_sorts_by_time(sqlite: Catalogue) -> None:
    sqlite.fill(200)
    [(text,)] = sqlite.raw("SELECT max(stream_timestamp) FROM FactStream")

    assert len(text) == len("2024-12-31 23:59:59.123")
    assert datetime.fromisoformat(text).replace(tzinfo=timezone.utc) <= HISTORY_ENDS


def test_the_same_seed_gives_the_same_rows_in_any_database(sqlite: Catalogue, tmp_path: Path) -> None:
    others = [Catalogue(SecretStr(f"sqlite:///{tmp_path}/{number}.db")) for number in range(2)]
    for one, seed in zip((sqlite, *others), (1, 1, 2), strict=True):
        one.fill(300, seed=seed)
        for _ in range(3):
            one.change(50, seed=seed)

    assert sqlite.everything() == others[0].everything() != others[1].everything()


def test_both_kinds_of_database_get_the_same_rows(sqlite: Catalogue, postgres: Any) -> None:
    server = Catalogue(postgres.new_database())
    for one in (sqlite, server):
        one.fill(300)
        one.change(50)

    assert sqlite.everything() == server.everything()


def test_a_round_adds_changes_renames_and_deletes(catalogue: Catalogue) -> None:
    catalogue.fill()
    before = catalogue.everything()
    counted = catalogue.change(200)
    after = catalogue.everything()

    def changed(name: str) -> list[tuple[Row, Row]]:
        return [(row, after[name][key]) for key, row in before[name].items() if after[name].get(key, row) != row]

    for name in COLUMNS:
        assert len(after[name].keys() - before[name].keys()) == counted[name].new
        assert len(before[name].keys() - after[name].keys()) == counted[name].deleted
    assert counted["FactStream"].new == 200
    assert counted["DimUser"].deleted >= 1
    assert counted["DimUser"].new > counted["DimUser"].deleted
    assert counted["DimArtist"].new == counted["DimTrack"].new == 1
    assert changed("DimUser")
    assert changed("DimTrack")
    for old, new in changed("DimUser"):
        assert new["subscription_type"] in set(SUBSCRIPTIONS) - {old["subscription_type"]}
        assert new["updated_at"] > old["updated_at"]
        assert (new["end_date"] is None) == (new["subscription_type"] != "free")
    assert all(new["track_name"] != old["track_name"] for old, new in changed("DimTrack"))


def test_rounds_bring_rows_that_are_late_and_rows_that_share_their_time(sqlite: Catalogue) -> None:
    sqlite.fill()
    newest, late, shared = HISTORY_ENDS, 0, 0
    known: set[int] = set(sqlite.rows("FactStream"))
    for _ in range(5):
        newest = max(row["stream_timestamp"] for row in sqlite.rows("FactStream").values())
        sqlite.change(200)
        times = [row["stream_timestamp"] for key, row in sqlite.rows("FactStream").items() if key not in known]
        known = set(sqlite.rows("FactStream"))
        late += sum(time < newest for time in times)
        shared += sum(count - 1 for count in Counter(times).values())
        assert min(times) > newest - LATEST - timedelta(hours=1)
    assert late > 10
    assert shared > 10


def test_a_change_of_a_user_may_be_late_or_share_the_newest_time_of_the_round_before(sqlite: Catalogue) -> None:
    sqlite.fill()
    sqlite.change(200)
    newest = max(row["updated_at"] for row in sqlite.rows("DimUser").values())
    before = sqlite.rows("DimUser")
    sqlite.change(200)
    times = [row["updated_at"] for key, row in sqlite.rows("DimUser").items() if before.get(key) != row]

    assert {time < newest for time in times} == {True, False}
    assert newest in times


def test_rounds_go_on_from_what_is_there_and_make_the_dates_they_need(sqlite: Catalogue) -> None:
    fill(sqlite.database, Counted(), streams=100, seed=1, until=datetime(2024, 12, 31, 23, 30, tzinfo=timezone.utc))
    assert max(sqlite.rows("DimDate")) == 20241231
    sqlite.change(50)

    assert max(sqlite.rows("DimDate")) == 20251231
    assert {row["date_key"] for row in sqlite.rows("FactStream").values()} <= sqlite.rows("DimDate").keys()
    assert 20250101 in {row["date_key"] for row in sqlite.rows("FactStream").values()}


def test_a_database_that_is_there_is_taken_as_it_is(sqlite: Catalogue) -> None:
    sqlite.fill(100)
    before = sqlite.everything()

    assert not fill(sqlite.database, Counted(), streams=500, seed=9)
    assert sqlite.everything() == before


def test_tables_that_are_missing_or_empty_are_made_beside_those_that_have_rows(sqlite: Catalogue) -> None:
    create = "CREATE TABLE DimUser (user_id INTEGER PRIMARY KEY, user_name TEXT, nickname TEXT)"
    insert = "INSERT INTO DimUser VALUES (1, 'Ann', 'A'), (2, 'Bob', 'B')"
    for sql in (create, insert):
        sqlite.database.write("the test", methodcaller("exec_driver_sql", sql))
    sqlite.fill(100)

    assert sqlite.raw("SELECT * FROM DimUser") == [(1, "Ann", "A"), (2, "Bob", "B")]
    assert {row["user_id"] for row in sqlite.rows("FactStream").values()} == {1, 2}
    assert len(sqlite.rows("DimTrack")) == 50
