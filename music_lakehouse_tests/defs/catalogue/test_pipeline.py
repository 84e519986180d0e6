"""The tables that the database makes, load by load and in whatever batches files are taken, against the oracle."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.defs.catalogue.tables import TABLES
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.positions import POSITIONS
from music_lakehouse_tests.defs.catalogue.databases import Catalogue, at, take, take_files, versions
from music_lakehouse_tests.oracle.catalogue.compare import assert_lake_equals_oracle, assert_silver_is_the_database
from music_lakehouse_tests.oracle.catalogue.tables import DIMENSIONS, FACTS, QUARANTINE
from music_lakehouse_tests.oracle.lake import read_table
from music_lakehouse_tests.oracle.values import Row

pytestmark = pytest.mark.spark

USERS = DIMENSIONS["DimUser"]


def users(lake: Lake, *columns: str) -> list[tuple[object, ...]]:
    """Some columns of the versions of all users, in their order."""
    rows = sorted(read_table(lake.root, USERS), key=lambda row: (row["user_id"], row["start_at"]))
    return [tuple(row[name] for name in columns) for row in rows]


def facts(lake: Lake) -> dict[int, Row]:
    return {row["stream_id"]: row for row in read_table(lake.root, FACTS)}


def test_the_first_load_increments_a_key_scan_and_a_full_refresh_make_the_oracles_tables(
    lake: Lake, catalogue: Catalogue, seed: int
) -> None:
    catalogue.simulate(streams=1500, seed=seed)
    catalogue.land()
    take(lake, catalogue.landing)
    assert_lake_equals_oracle(lake.root, catalogue.landing)
    assert_silver_is_the_database(lake.root, catalogue.url.get_secret_value())

    catalogue.simulate(streams=400, seed=seed, rounds=2)
    catalogue.land()
    scanned = catalogue.scan(lake)
    take(lake, catalogue.landing)
    assert scanned["catalogue_users"].deleted > 0
    assert_lake_equals_oracle(lake.root, catalogue.landing)
    assert_silver_is_the_database(lake.root, catalogue.url.get_secret_value())
    assert len({row["user_id"] for row in read_table(lake.root, USERS)}) < lake.rows(TABLES[USERS])

    before = versions(lake)
    assert {each.files for each in catalogue.land().values()} == {0}
    catalogue.land(full_refresh=True)
    take(lake, catalogue.landing)
    after = versions(lake)
    assert {name for name in TABLES if after[name] != before[name]} == {
        name for name in TABLES if name.startswith("bronze.catalogue_")
    }, "what lands again as it was changes nothing behind bronze"
    assert_lake_equals_oracle(lake.root, catalogue.landing)


def test_what_the_database_says_last_holds_deletions_clocks_and_returns_included(
    lake: Lake, catalogue: Catalogue
) -> None:
    def load() -> None:
        catalogue.land()
        catalogue.scan(lake)
        take(lake, catalogue.landing)
        assert_lake_equals_oracle(lake.root, catalogue.landing)
        assert_silver_is_the_database(lake.root, catalogue.url.get_secret_value())

    for number in (1, 2, 3, 4):
        catalogue.user(number, 0)
    catalogue.artist(1, 0)
    catalogue.track(1, 0)
    catalogue.stream(1, -1)
    catalogue.stream(2, 5)
    catalogue.stream(3, 50, user=9)
    load()
    assert {n: row["user_version_key"] is None for n, row in facts(lake).items()} == {1: False, 2: False, 3: True}

    catalogue.user(1, 4, plan="premium")
    catalogue.user(2, 10, plan="family")
    catalogue.user(9, 60)
    catalogue.run('DELETE FROM "DimUser" WHERE user_id IN (3, 4)')
    load()
    first, second, third = (facts(lake)[n]["user_version_key"] for n in (1, 2, 3))
    assert first != second
    assert third is not None, "a stream that came before its user is completed"

    # The clock went back beyond the window; one is back as it was, one otherwise; one has no newer time.
    catalogue.user(2, -50, plan="student")
    catalogue.user(3, 0)
    catalogue.user(4, 70, name="Bob")
    catalogue.user(9, 60, name="Zoe")
    catalogue.track(1, 3, name="Another")
    load()
    told = users(lake, "user_id", "user_name", "subscription_type", "is_current", "is_deleted")
    assert told == [
        (1, "ANN", "free", False, False),
        (1, "ANN", "premium", True, False),
        (2, "ANN", "student", True, False),
        (3, "ANN", "free", True, False),
        (4, "ANN", "free", False, False),
        (4, "BOB", "free", True, False),
        (9, "ZOE", "free", True, False),
    ]
    assert facts(lake)[2]["track_version_key"] != facts(lake)[1]["track_version_key"]


def test_dirty_rows_go_to_quarantine_and_the_last_valid_state_stays(lake: Lake, catalogue: Catalogue) -> None:
    catalogue.user(1, 0)
    catalogue.track(1, 0)
    catalogue.track(2, 0, seconds=0)
    catalogue.day(20250101, "2025-01-01")
    catalogue.day(20250102, None)
    catalogue.day(20250103, "some day")
    catalogue.stream(1, 1)
    catalogue.stream(2, None)
    catalogue.stream(3, 1, seconds=-1)
    catalogue.stream(4, 1, seconds="long")
    catalogue.stream(5, 1, seconds=2**40)
    catalogue.stream(6, 1, user=None)
    catalogue.land()
    take(lake, catalogue.landing)
    catalogue.user(1, None, plan="premium")
    catalogue.track(1, 2, seconds=-5)
    catalogue.run(
        'DROP TABLE "DimArtist"', 'CREATE TABLE "DimArtist" (artist_id INTEGER, artist_name TEXT, updated_at TEXT)'
    )
    catalogue.run(f"INSERT INTO \"DimArtist\" VALUES (NULL, 'Nobody', '{at(0)}'), (1, 'The Band', '{at(0)}')")
    catalogue.land()
    taken, _ = take(lake, catalogue.landing)
    assert_lake_equals_oracle(lake.root, catalogue.landing)
    refused = {(row["table"], tuple(row["reasons"])) for row in read_table(lake.root, QUARANTINE)}
    assert refused == {
        ("DimUser", ("updated_at_missing",)),
        ("DimArtist", ("artist_id_missing",)),
        ("DimTrack", ("duration_sec_not_positive",)),
        ("DimDate", ("date_missing",)),
        ("FactStream", ("stream_timestamp_missing",)),
        ("FactStream", ("listen_duration_not_positive",)),
    }
    rows = {row["stream_id"]: row for row in read_table(lake.root, "bronze.catalogue_streams")}
    assert rows[4]["_rescued_data"] == '{"listen_duration": "long"}'
    assert rows[5]["_rescued_data"] == f'{{"listen_duration": {2**40}}}'
    assert [row["subscription_type"] for row in read_table(lake.root, "silver.catalogue_users")] == ["free"]
    assert sorted(facts(lake)) == [1, 6]
    assert {each.files for each in catalogue.scan(lake).values()} == {0}, "what was refused, or is deleted, is known"
    assert taken[TABLES["bronze.catalogue_streams"]].rows == 0


def test_a_column_that_is_added_is_added_and_one_that_is_lost_is_null(lake: Lake, catalogue: Catalogue) -> None:
    catalogue.user(1, 0)
    catalogue.stream(1, 1)
    catalogue.land()
    take(lake, catalogue.landing)
    catalogue.run('ALTER TABLE "DimUser" ADD COLUMN email TEXT', 'ALTER TABLE "DimUser" DROP COLUMN country')
    catalogue.run(f"UPDATE \"DimUser\" SET email = 'ann@example.org', updated_at = '{at(1)}'")
    extracted = catalogue.land()["catalogue_users"]
    taken, _ = take(lake, catalogue.landing)
    assert (extracted.added_columns, extracted.lost_columns) == (("email",), ("country",))
    assert taken[TABLES["bronze.catalogue_users"]].new_columns == ["email"]
    rows = {row["updated_at"]: row for row in read_table(lake.root, "bronze.catalogue_users")}
    assert [row["email"] for _, row in sorted(rows.items())] == [None, "ann@example.org"]
    assert_lake_equals_oracle(lake.root, catalogue.landing)

    # Without its watermark nothing says from when on a state holds: quarantine, and the last state stays.
    catalogue.run('DROP INDEX "ix_DimUser_updated_at"', 'ALTER TABLE "DimUser" DROP COLUMN updated_at')
    catalogue.run("UPDATE \"DimUser\" SET email = 'else'")
    catalogue.land()
    again = Lake(lake.root, lake.spark)
    take(again, catalogue.landing)
    assert_lake_equals_oracle(lake.root, catalogue.landing)
    assert [row["reasons"] for row in read_table(lake.root, QUARANTINE)] == [["updated_at_missing"]]
    assert len(read_table(lake.root, "silver.catalogue_users")) == 1


@pytest.mark.slow
def test_files_that_are_taken_in_other_batches_and_orders_make_the_same_tables(
    lake: Lake, catalogue: Catalogue, spark: SparkSession, tmp_path: Path, seed: int
) -> None:
    catalogue.simulate(streams=600, seed=seed)
    loads = Lake(str(tmp_path / "loads"), spark)
    for number in range(5):
        catalogue.land(full_refresh=number == 3)
        catalogue.scan(loads)
        take(loads, catalogue.landing)
        assert_lake_equals_oracle(loads.root, catalogue.landing)
        catalogue.simulate(streams=100, seed=seed, rounds=1)
    files = sorted((catalogue.landing / "catalogue").glob("*/*.parquet"))
    Random(seed).shuffle(files)
    batches = tmp_path / "batches"
    for first in range(0, len(files), 8):
        for file in files[first : first + 8]:
            landed = batches / file.relative_to(catalogue.landing)
            landed.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, landed.with_name(f".{landed.name}"))
            os.replace(landed.with_name(f".{landed.name}"), landed)
        take(lake, batches)
        assert_lake_equals_oracle(lake.root, batches)
    for name in TABLES:
        assert lake.rows(TABLES[name]) == loads.rows(TABLES[name])


@pytest.mark.slow
@pytest.mark.usefixtures("commit_by_commit")
def test_loads_that_wait_are_taken_in_pieces_and_make_the_same_tables(
    lake: Lake, catalogue: Catalogue, seed: int
) -> None:
    catalogue.simulate(streams=600, seed=seed)
    for number in range(8):
        catalogue.land(full_refresh=number == 5)
        if number % 4 == 0:
            catalogue.scan(lake)
            take(lake, catalogue.landing)
            assert_lake_equals_oracle(lake.root, catalogue.landing)
        else:
            take_files(lake, catalogue.landing)
        catalogue.simulate(streams=100, seed=seed, rounds=1)
    take(lake, catalogue.landing)
    assert_lake_equals_oracle(lake.root, catalogue.landing)


@pytest.mark.slow
def test_rows_committed_late_and_rows_that_share_a_watermark_are_neither_lost_nor_doubled(
    lake: Lake, catalogue: Catalogue, seed: int
) -> None:
    rng = Random(seed)
    for number in range(1, 6):
        catalogue.user(number, 0)
    catalogue.artist(1, 0)
    catalogue.track(1, 0)
    for number in range(6):
        for stream in range(5):
            hours = number * 5 if stream % 2 else number * 5 - rng.random() * 20
            catalogue.stream(100 * number + stream, hours, user=1 + rng.randrange(7))
        catalogue.user(1 + rng.randrange(7), number * 5, plan=f"plan {number}")
        catalogue.land()
        take(lake, catalogue.landing)
        assert_lake_equals_oracle(lake.root, catalogue.landing)
        assert_silver_is_the_database(lake.root, catalogue.url.get_secret_value())
    # Later than the overlap: the key scan finds them.
    catalogue.stream(999, -500)
    catalogue.land()
    take(lake, catalogue.landing)
    assert 999 not in facts(lake)
    assert catalogue.scan(lake)["catalogue_streams"].outdated == 1
    take(lake, catalogue.landing)
    assert_silver_is_the_database(lake.root, catalogue.url.get_secret_value())


@pytest.mark.slow
def test_lost_positions_and_dropped_tables_are_made_good(
    lake: Lake, catalogue: Catalogue, spark: SparkSession, tmp_path: Path
) -> None:
    catalogue.user(1, 0)
    catalogue.track(1, 0)
    catalogue.stream(1, 1)
    catalogue.land()
    take(lake, catalogue.landing)
    catalogue.user(1, 2, plan="premium")
    catalogue.stream(2, 3)
    catalogue.land()
    take(lake, catalogue.landing)
    before = versions(lake)
    Path(lake.path(POSITIONS)).rename(tmp_path / "positions")
    again = Lake(lake.root, spark)
    take(again, catalogue.landing)
    assert versions(again) == before, "nothing differs, so nothing is written"
    for name in ("silver.catalogue_streams", USERS, FACTS, QUARANTINE, "bronze.catalogue_users"):
        Path(lake.path(TABLES[name])).rename(tmp_path / name)
    again = Lake(lake.root, spark)
    take(again, catalogue.landing)
    assert_lake_equals_oracle(lake.root, catalogue.landing)


def test_before_anything_landed_the_tables_are_there_and_empty(lake: Lake, tmp_path: Path) -> None:
    for _ in range(2):
        take(lake, tmp_path / "nowhere")
        assert versions(lake) == dict.fromkeys(TABLES, 0)
