from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from music_lakehouse.lakehouse.database import Database, DatabaseError
from music_lakehouse.lakehouse.key_scan import scan_keys
from music_lakehouse.lakehouse.landing import RESCUED, Landing
from music_lakehouse.lakehouse.sql_source import SourceTable, extract
from music_lakehouse.simulator.catalogue_database import Counted, change, fill
from music_lakehouse_tests.lakehouse.sources import (
    DAYS,
    USERS,
    Source,
    known,
    landed,
    landed_again,
    landing_of,
    names,
    newest,
)
from music_lakehouse_tests.postgres import Postgres

pytestmark = pytest.mark.thorough

MON, TUE, WED = "2024-01-01 12:00:00", "2024-01-02 12:00:00", "2024-01-03 12:00:00"
THU = "2024-01-04 12:00:00"


def test_the_first_load_is_full_and_the_next_ones_land_what_is_new_or_changed(source: Source, landing: Landing) -> None:
    source.put((1, "Ann", MON), (2, "Bob", TUE))
    first = extract(source.database, USERS, landing)
    source.put((3, "Cid", WED), (1, "Anna", WED))
    second = extract(source.database, USERS, landing)
    third = extract(source.database, USERS, landing)

    assert names(landing) == [["Ann", "Bob"], ["Cid", "Anna"]] or names(landing) == [["Ann", "Bob"], ["Anna", "Cid"]]
    assert (first.full, first.landed, second.full, second.landed, third.landed) == (True, 2, False, 2, 0)
    assert second.high_watermark == datetime(2024, 1, 3, 12)


def test_rows_that_share_the_newest_watermark_are_neither_lost_nor_doubled(source: Source, landing: Landing) -> None:
    source.put((1, "Ann", MON), (2, "Bob", TUE))
    without_overlap = replace(USERS, overlap=timedelta(0))
    extract(source.database, without_overlap, landing)
    source.put((3, "Cid", TUE))
    extract(source.database, without_overlap, landing)

    assert names(landing) == [["Ann", "Bob"], ["Cid"]]


def test_a_row_that_changes_without_a_newer_watermark_lands_again(source: Source, landing: Landing) -> None:
    for name in ("Ann", "Anna", "Ann"):
        source.put((1, name, MON))
        extract(source.database, USERS, landing)

    assert names(landing) == [["Ann"], ["Anna"], ["Ann"]]


def test_rows_committed_late_are_found_within_the_overlap_and_by_the_scan_beyond_it(
    source: Source, landing: Landing
) -> None:
    source.put((1, "Ann", WED))
    extract(source.database, USERS, landing)
    source.put((2, "A day late", TUE), (3, "Two days late", MON))
    extract(source.database, USERS, landing)
    assert names(landing) == [["Ann"], ["A day late"]]

    scan_keys(source.database, USERS, landing, known(newest(landing, "user_id"), USERS))
    assert names(landing)[2:] == [["Two days late"]]


def test_an_increment_reads_the_window_and_not_the_history(source: Source, landing: Landing) -> None:
    start = datetime(2024, 1, 1)
    source.put(*((n, f"user {n}", str(start + timedelta(hours=n))) for n in range(1, 500)))
    extract(source.database, USERS, landing, rows_a_file=100)
    source.put((500, "new", str(start + timedelta(hours=500))))

    assert extract(source.database, USERS, landing).read == 26


def test_sqlite_finds_the_window_by_its_index(tmp_path: Path, landing: Landing) -> None:
    source = Source(SecretStr(f"sqlite:///{tmp_path}/source.db"))
    source.run('CREATE INDEX by_time ON "DimUser" (updated_at)')
    source.put((1, "Ann", MON))
    extract(source.database, USERS, landing)
    asked: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *others: Any) -> None:
        asked.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    extract(source.database, USERS, landing)
    sa.event.remove(sa.Engine, "before_cursor_execute", note)
    database = sqlite3.connect(tmp_path / "source.db")
    plans = [
        database.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall() for sql, values in asked if "_name" in sql
    ]
    database.close()

    assert [len(plan) for plan in plans] == [1, 1]
    assert all("SEARCH DimUser USING INDEX by_time" in plan[0][3] for plan in plans)


@pytest.mark.parametrize("at", [None, "2099-01-01 00:00:00"])
def test_a_row_that_has_no_time_or_one_in_the_future_lands_once_and_hides_nothing(
    at: str | None, source: Source, landing: Landing
) -> None:
    noon = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)
    users = [(1, "Ann", MON), (2, "Odd", at), (3, "Cid", TUE), None, (4, "Dan", THU), None]
    for day, user in enumerate(users):
        if user is not None:
            source.put(user)
        extract(source.database, USERS, landing, now=noon + timedelta(days=day))
    assert names(landing) == [["Ann"], ["Odd"], ["Cid"], ["Dan"]]

    source.put((2, "Even", at))
    extract(source.database, USERS, landing, now=noon + timedelta(days=9))
    extract(source.database, USERS, landing, now=noon + timedelta(days=9))
    assert names(landing)[4:] == [["Even"]]


def test_rows_without_a_key_land_once_and_of_a_key_with_several_rows_the_newest_lands_last(
    tmp_path: Path, landing: Landing
) -> None:
    source = Source(SecretStr(f"sqlite:///{tmp_path}/source.db"))
    source.run('DROP TABLE "DimUser"', 'CREATE TABLE "DimUser" (user_id INTEGER, user_name TEXT, updated_at TEXT)')
    insert = 'INSERT INTO "DimUser" VALUES'
    source.run(f"{insert} (NULL, 'No', '{MON}'), (NULL, 'One', '{MON}'), (1, 'New', '{TUE}'), (1, 'Old', '{MON}')")

    def last() -> str:
        return [row["user_name"] for rows in landed(landing) for row in rows if row["user_id"] == 1][-1]

    loads = [extract(source.database, USERS, landing).landed for _ in range(3)]
    assert (loads, last()) == ([4, 0, 0], "New")
    source.run(f"{insert} (1, 'Late', '{MON}'), (NULL, 'Two', '{MON}')")
    loads = [extract(source.database, USERS, landing, rows_a_file=1).landed for _ in range(4)]
    assert loads[0] == 3, "the late row, the newer one behind it, and the one without a key"
    assert (loads[2:], last()) == ([0, 0], "New")

    scan_keys(source.database, USERS, landing, known({}, USERS))
    assert last() == "New"


def test_a_full_refresh_lands_all_rows_again_and_counts_as_the_first_load(source: Source, landing: Landing) -> None:
    source.put((1, "Ann", MON), (2, "Bob", WED))
    extract(source.database, USERS, landing)
    again = extract(source.database, USERS, landing, full_refresh=True)
    after = extract(source.database, USERS, landing)

    assert names(landing) == [["Ann", "Bob"], ["Ann", "Bob"]]
    assert (again.full, again.landed, after.full, after.landed) == (True, 2, False, 0)


def test_a_landing_directory_that_was_deleted_is_loaded_in_full(source: Source, landing: Landing) -> None:
    source.put((1, "Ann", MON), (2, "Bob", WED))
    extract(source.database, USERS, landing)
    [before] = landing.files()
    shutil.rmtree(landing.directory)

    assert extract(source.database, USERS, landing).landed == 2
    assert before not in landing.files(), "a reader that remembers the names of files would pass over it"


def test_another_database_is_loaded_in_full(tmp_path: Path, landing: Landing) -> None:
    first, second = (Source(SecretStr(f"sqlite:///{tmp_path}/{name}.db")) for name in "ab")
    first.put((1, "Ann", WED))
    second.put((1, "Another Ann", MON))
    extract(first.database, USERS, landing)

    assert extract(second.database, USERS, landing).full
    assert names(landing) == [["Ann"], ["Another Ann"]]


def test_a_table_without_a_watermark_is_read_whole_and_lands_where_it_changed(source: Source, landing: Landing) -> None:
    source.run("INSERT INTO \"DimDate\" VALUES (20240101, 'Monday'), (20240102, 'Tuesday')")
    extract(source.database, DAYS, landing)
    unchanged = extract(source.database, DAYS, landing)
    source.run("UPDATE \"DimDate\" SET weekday = 'Mon' WHERE date_key = 20240101")
    extract(source.database, DAYS, landing)

    assert (unchanged.read, unchanged.landed) == (2, 0)
    assert [[row["weekday"] for row in rows] for rows in landed(landing)] == [["Monday", "Tuesday"], ["Mon"]]


def test_a_column_that_comes_or_goes_stops_nothing_and_is_told(source: Source, landing: Landing) -> None:
    source.put((1, "Ann", MON))
    extract(source.database, USERS, landing)
    source.run('ALTER TABLE "DimUser" ADD COLUMN age INTEGER', 'ALTER TABLE "DimUser" DROP COLUMN user_name')
    source.run(f"INSERT INTO \"DimUser\" (user_id, updated_at, age) VALUES (2, '{MON}', 30)")
    changed = extract(source.database, USERS, landing)
    after = extract(source.database, USERS, landing)

    assert (changed.added_columns, changed.lost_columns) == (("age",), ("user_name",))
    assert (after.added_columns, after.lost_columns, after.landed) == ((), ("user_name",), 0)
    assert {key: (row["user_name"], row["age"]) for key, row in newest(landing, "user_id").items()} == {
        1: (None, None),
        2: (None, 30),
    }


def test_a_column_keeps_the_type_in_which_it_landed_and_what_does_not_fit_is_rescued(
    source: Source, landing: Landing
) -> None:
    source.run('ALTER TABLE "DimUser" ADD COLUMN age INTEGER')
    source.run(f"INSERT INTO \"DimUser\" VALUES (1, 'Ann', '{MON}', 30)")
    extract(source.database, USERS, landing)
    if not source.is_sqlite:
        source.run('ALTER TABLE "DimUser" ALTER COLUMN age TYPE TEXT')
    source.run(f"INSERT INTO \"DimUser\" VALUES (2, 'Bob', '{MON}', 'old'), (3, 'Cid', '{MON}', '40')")
    rescued = extract(source.database, USERS, landing)

    assert [(row["age"], row[RESCUED]) for row in list(landed(landing))[1]] == [(None, '{"age": "old"}'), (40, None)]
    assert rescued.rescued == 1
    assert len({str(pq.read_schema(file)) for file in landing.files()}) == 1
    assert extract(source.database, USERS, landing).landed == 0


def test_a_table_that_lost_its_watermark_is_compared_whole(source: Source, landing: Landing) -> None:
    source.put((1, "Ann", MON), (2, "Bob", WED))
    extract(source.database, USERS, landing)
    source.run('ALTER TABLE "DimUser" DROP COLUMN updated_at')
    extract(source.database, USERS, landing)
    source.run("UPDATE \"DimUser\" SET user_name = 'Anna' WHERE user_id = 1")
    extract(source.database, USERS, landing)

    assert names(landing) == [["Ann", "Bob"], ["Ann", "Bob"], ["Anna"]]


def test_text_that_is_not_utf_8_and_values_of_any_type_land(tmp_path: Path, landing: Landing) -> None:
    source = Source(SecretStr(f"sqlite:///{tmp_path}/source.db"))
    source.run(
        f"INSERT INTO \"DimUser\" VALUES (1, CAST(x'C3' AS TEXT), '{MON}'), (2, x'416E6E', '{MON}'), (3, 1.5, 'never')"
    )
    extract(source.database, USERS, landing)

    assert sorted(name for name in names(landing)[0]) == ["1.5", "Ann", "�"]


def test_postgresql_types_land_as_what_they_are(postgres: Postgres, landing: Landing) -> None:
    database = Database(postgres.new_database(), setting="URL")
    database.write(
        "the test",
        lambda connection: connection.exec_driver_sql(
            "CREATE TABLE things (id uuid PRIMARY KEY, price numeric(10, 2), exact numeric, day date, at timestamptz, "
            "good boolean, raw bytea, words text[], more jsonb);"
            "INSERT INTO things VALUES ('00000000-0000-0000-0000-000000000001', 1.50, 1.123456789012345678901, "
            "'2024-01-01', '2024-01-01 12:00+02', true, '\\x00ff', '{a,b}', '{\"a\": [1]}')"
        ),
    )
    extract(database, SourceTable("things", "id", "at"), landing)

    [[row]] = landed(landing)
    assert str(row["price"]) == "1.50"
    assert row["exact"] == "1.123456789012345678901"
    assert (str(row["day"]), row["at"]) == ("2024-01-01", datetime(2024, 1, 1, 10, tzinfo=timezone.utc))
    assert (row["good"], row["raw"], row["words"], row["more"]) == (True, b"\x00\xff", '["a", "b"]', '{"a": [1]}')
    assert extract(database, SourceTable("THINGS", "id", "at"), landing).landed == 0


def test_a_missing_table_a_missing_key_and_a_missing_database_are_told_apart(source: Source, landing: Landing) -> None:
    with pytest.raises(DatabaseError, match="DimGenre: the database has no table of this name") as no_table:
        extract(source.database, SourceTable("DimGenre", "id"), landing)
    with pytest.raises(DatabaseError, match="DimUser: the table has no column id") as no_key:
        extract(source.database, SourceTable("DimUser", "id"), landing)
    elsewhere = Database(SecretStr("sqlite:////nowhere/x.db"), setting="CATALOGUE_DATABASE_URL")
    with pytest.raises(DatabaseError, match=r"DimUser: there is no database /nowhere/x\.db") as no_database:
        extract(elsewhere, USERS, landing)

    assert not any(error.value.retriable for error in (no_table, no_key, no_database))
    assert landing.files() == []


def test_a_load_killed_in_the_middle_goes_on_where_it_was(tmp_path: Path, landing: Landing) -> None:
    source = Source(SecretStr(f"sqlite:///{tmp_path}/source.db"))
    start = datetime(2024, 1, 1)
    source.put(*((n, f"user {n}", str(start + timedelta(minutes=n))) for n in range(1, 20_001)))
    program = (
        "import sys; from pathlib import Path; from pydantic import SecretStr\n"
        "from music_lakehouse.lakehouse.database import Database\n"
        "from music_lakehouse.lakehouse.landing import Landing\n"
        "from music_lakehouse.lakehouse.sql_source import SourceTable, extract\n"
        "extract(Database(SecretStr(sys.argv[1]), setting='URL'), SourceTable('DimUser', 'user_id', 'updated_at'),"
        " Landing(Path(sys.argv[2])), rows_a_file=50)\n"
    )
    arguments = [source.url.get_secret_value(), str(landing.directory)]
    running = subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=Path(__file__).parents[2])
    while len(landing.files()) < 20 and running.poll() is None:
        time.sleep(0.002)
    running.kill()
    running.wait()
    (landing.directory / ".half.parquet.tmp").write_bytes(b"half")
    assert 20 <= len(landing.files()) < 400

    rest = extract(source.database, USERS, landing)

    assert rest.landed < 20_000
    assert newest(landing, "user_id") == source.rows(USERS)
    assert landed_again(landing, "user_id") == []
    assert [file.name for file in landing.directory.iterdir() if file not in landing.files()] == []


def test_a_full_refresh_that_was_cut_off_is_completed_by_the_next_extraction(source: Source, landing: Landing) -> None:
    start = datetime(2024, 1, 1)
    source.put(*((n, f"user {n}", str(start + timedelta(hours=n))) for n in range(1, 200)))
    extract(source.database, USERS, landing)
    extract(source.database, USERS, landing, full_refresh=True, rows_a_file=20)
    for file in landing.files()[5:]:
        file.unlink()
    assert extract(source.database, USERS, landing).landed == 199 - 4 * 20

    assert newest(landing, "user_id") == source.rows(USERS)


def test_a_server_that_goes_down_in_the_middle_is_worth_another_try(postgres: Postgres, landing: Landing) -> None:
    source = Source(postgres.new_database())
    start = datetime(2024, 1, 1)
    source.put(*((n, f"user {n}", str(start + timedelta(minutes=n))) for n in range(1, 1501)))
    source.run('CREATE VIEW slow_users AS SELECT *, pg_sleep(0.001) IS NULL AS waited FROM "DimUser"')
    slow = SourceTable("slow_users", "user_id", "updated_at")
    errors: list[DatabaseError] = []

    def load() -> None:
        try:
            extract(source.database, slow, landing, rows_a_file=20)
        except DatabaseError as error:
            errors.append(error)

    loading = threading.Thread(target=load)
    loading.start()
    while len(landing.files()) < 2 and loading.is_alive():
        time.sleep(0.005)
    postgres.end_connections()
    loading.join()

    [error] = errors
    assert error.retriable
    assert "slow_users: the database postgresql://" in str(error)
    assert 2 <= len(landing.files()) < 75
    source.run("DROP VIEW slow_users", 'CREATE VIEW slow_users AS SELECT *, true AS waited FROM "DimUser"')
    extract(source.database, slow, landing)
    assert newest(landing, "user_id").keys() == source.rows(USERS).keys()


@pytest.mark.parametrize("number", range(2))
def test_after_any_changes_what_landed_last_is_what_the_database_holds(
    number: int, seed: int, source: Source, tmp_path: Path
) -> None:
    print(f"seed {seed}, number {number}")
    rng = Random(f"{seed}/{number}")
    database = Database(source.url, setting="CATALOGUE_DATABASE_URL")
    source.run('DROP TABLE "DimUser"', 'DROP TABLE "DimDate"')
    fill(database, Counted(), streams=300, seed=rng.randrange(1000))
    tables = [
        SourceTable("DimUser", "user_id", "updated_at"),
        SourceTable("DimArtist", "artist_id", "updated_at"),
        SourceTable("DimTrack", "track_id", "updated_at"),
        SourceTable("DimDate", "date_key"),
        SourceTable("FactStream", "stream_id", "stream_timestamp"),
    ]
    for _ in range(5):
        for _ in range(rng.randrange(3)):
            change(database, Counted(), streams=rng.choice([1, 40]), seed=rng.randrange(1000))
        if rng.random() < 0.5:
            _disturb(source, rng)
        for table in tables:
            landing = landing_of(tmp_path / "landing", table)
            extract(database, table, landing, rows_a_file=rng.choice([7, 100, 250_000]))
            if rng.random() < 0.5:
                _cut_off(landing, rng)
    for table in tables:
        landing = landing_of(tmp_path / "landing", table)
        extract(database, table, landing)
        scan_keys(database, table, landing, known(newest(landing, table.key), table))

        assert newest(landing, table.key) == source.rows(table), table.name
        assert landed_again(landing, table.key) == []
        assert extract(database, table, landing).landed == 0


def _disturb(source: Source, rng: Random) -> None:
    """What no service does by itself: a clock that goes back, a row that comes again, one that has no time."""
    user = rng.randrange(1, 20)
    source.run(
        f"UPDATE \"DimUser\" SET user_name = 'of old', updated_at = '2020-01-01 00:00:00' WHERE user_id = {user}"
    )
    source.run(f'DELETE FROM "FactStream" WHERE stream_id = {rng.randrange(1, 300)}')
    newest = 'SELECT max(updated_at) FROM "DimTrack"'
    source.run(f"UPDATE \"DimTrack\" SET album_name = 'in silence {rng.random()}' WHERE updated_at = ({newest})")
    source.run(f'UPDATE "DimArtist" SET genre = NULL, updated_at = NULL WHERE artist_id = {rng.randrange(1, 40)}')


def _cut_off(landing: Landing, rng: Random) -> None:
    """The newest file never appeared."""
    files = landing.files()
    if len(files) > 1 and rng.random() < 0.5:
        files[-1].unlink()
