"""The tables that landed recordings make, in whatever batches and order they are read, against the oracle."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from datetime import datetime
from pathlib import Path
from random import Random

import pytest
from pyspark.sql import SparkSession

from music_lakehouse.defs.heart_rate.assets import RECORDINGS
from music_lakehouse.defs.heart_rate.tables import (
    DIM_PATIENTS,
    HEART_RATE_BY_PATIENT,
    HEART_RATE_HOURLY,
    QUARANTINE,
    SILVER_HEART_RATE,
    TABLES,
)
from music_lakehouse.lakehouse.file_ingest import ingest_files
from music_lakehouse.lakehouse.lake import Lake
from music_lakehouse.lakehouse.positions import POSITIONS
from music_lakehouse.simulator.heart_rate.config import HeartRateConfig
from music_lakehouse.simulator.heart_rate.simulation import land_heart_rates
from music_lakehouse_tests.defs.heart_rate.lakes import (
    land,
    land_content,
    name_people,
    recording,
    run_all,
    versions,
)
from music_lakehouse_tests.oracle.heart_rate.compare import assert_lake_equals_oracle
from music_lakehouse_tests.oracle.heart_rate.tables import tables_of
from music_lakehouse_tests.oracle.lake import read_table

pytestmark = pytest.mark.spark

START = datetime(2024, 3, 1)
SILVER, BY_PATIENT, HOURLY = (
    table.full_name for table in (SILVER_HEART_RATE, HEART_RATE_BY_PATIENT, HEART_RATE_HOURLY)
)


def test_dirty_files_make_the_tables_of_the_oracle_and_a_second_run_writes_nothing(
    lake: Lake, tmp_path: Path, seed: int
) -> None:
    landing = tmp_path / "landing"
    land_heart_rates(landing, HeartRateConfig(files=6, recordings=300, seed=seed, start=START, dirty=0.05))

    taken = run_all(lake, landing)

    assert len(taken.loaded) == 10
    assert_lake_equals_oracle(lake.root, landing)
    expected = tables_of(landing)
    reasons = [
        Counter(tuple(row["reasons"]) for row in rows)
        for rows in (expected[QUARANTINE.full_name], read_table(lake.root, QUARANTINE.full_name))
    ]
    assert reasons[0] == reasons[1]
    assert len(reasons[0]) >= 5
    in_file = lake.present(HEART_RATE_BY_PATIENT).to_pyarrow_table().column("mrn").to_pylist()
    assert in_file == [row["mrn"] for row in expected[BY_PATIENT]], "by falling average, then name and mrn"
    before = versions(lake)
    assert set(before) == set(TABLES)
    run_all(lake, landing)
    assert versions(lake) == before


def test_increments_in_any_order_make_the_tables_of_one_batch(lake: Lake, tmp_path: Path, seed: int) -> None:
    simulated, landing = tmp_path / "simulated", tmp_path / "landing"
    for start in (START, None):
        land_heart_rates(simulated, HeartRateConfig(files=4, recordings=150, seed=seed, start=start, dirty=0.05))
    files = sorted((simulated / "heart_rate" / "recordings").iterdir())
    Random(seed).shuffle(files)
    (landing / "heart_rate" / "recordings").mkdir(parents=True)
    for first in range(0, len(files), 6):
        for file in files[first : first + 6]:
            shutil.copy2(file, landing / "heart_rate" / "recordings")
        if first:
            shutil.copy2(simulated / "heart_rate" / "patient_info.csv", landing / "heart_rate")
        run_all(lake, landing)
        assert_lake_equals_oracle(lake.root, landing)


def test_late_and_repeated_recordings_count_in_their_hours_and_only_these_are_written(
    lake: Lake, tmp_path: Path
) -> None:
    landing = tmp_path / "landing"
    name_people(landing, "1,Anna Berg", "2,Anna Berg")
    land(landing, "a.json", *(recording(person, 60 * hour, 70 + hour) for person in (1, 2) for hour in range(5)))
    run_all(lake, landing)
    before = versions(lake)[HOURLY]
    late = [recording(1, 61, 90), recording(1, 61, 90), recording(2, 60 * 24 * 400, "61.25")]
    land(landing, "b.json", *late, hours=-1)
    land(landing, "c.json", *late, hours=2)
    run_all(lake, landing)
    assert_lake_equals_oracle(lake.root, landing)
    assert lake.rows(SILVER_HEART_RATE) == 16, "a file of the same content is another two times the recordings"
    assert versions(lake)[HOURLY] == before + 1
    written = lake.read_feed(HEART_RATE_HOURLY, before + 1, before + 1).collect()
    assert sorted((row["mrn"], row["count"]) for row in written if row["_change_type"] != "update_preimage") == [
        (1, 5),
        (2, 2),
    ]


def test_people_who_arrive_are_corrected_or_go_are_so_on_their_recordings_alone(lake: Lake, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    land(landing, "a.json", *(recording(person, minute) for person in (1, 2, 3) for minute in range(3)))
    run_all(lake, landing)
    assert_lake_equals_oracle(lake.root, landing)
    assert {row["patient_name"] for row in read_table(lake.root, SILVER)} == {"Unknown"}

    def changed(*people: str) -> set[tuple[int, str]]:
        """Whose recordings were written, with which name; their number is checked, and that the hours stay."""
        before = versions(lake)
        name_people(landing, *people)
        run_all(lake, landing)
        assert_lake_equals_oracle(lake.root, landing)
        now = versions(lake)
        assert now[HOURLY] == before[HOURLY]
        if now[SILVER] == before[SILVER]:
            return set()
        feed = lake.read_feed(SILVER_HEART_RATE, before[SILVER] + 1, now[SILVER]).collect()
        written = Counter(
            (row["mrn"], row["patient_name"]) for row in feed if row["_change_type"] == "update_postimage"
        )
        assert set(written.values()) <= {3}
        assert len(feed) == 2 * written.total()
        return set(written)

    assert changed("1,Anna Berg", "2,Bo Lund", "7,Nobody Recorded") == {(1, "Anna Berg"), (2, "Bo Lund")}
    assert changed("1,Anna Berg", " 2 ,Bo Lund", "x,Nobody", "2,Bo Lind", "3,") == {(2, "Bo Lind")}
    assert changed("2,Bo Lind", "1,Anna Berg") == set(), "another order is no change"
    assert changed("2,Bo Lind", "3,Bo Lind") == {(1, "Unknown"), (3, "Bo Lind")}


def test_a_name_rewrites_no_file_of_the_time_before_its_person_was_recorded(lake: Lake, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    for day in range(3):
        land(landing, f"{day}.json", recording(1, day), *(recording(2, day) for _ in range(day)), hours=24 * day)
        run_all(lake, landing)
    before = lake.present(SILVER_HEART_RATE).file_uris()
    name_people(landing, "2,Bo Lund")
    run_all(lake, landing)
    assert_lake_equals_oracle(lake.root, landing)
    assert len({*before} & {*lake.present(SILVER_HEART_RATE).file_uris()}) == 1


def test_while_the_file_of_people_is_broken_or_gone_everybody_keeps_the_name(lake: Lake, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    land(landing, "a.json", recording(1, 0), recording(2, 0))
    file = name_people(landing, "1,Anna Berg")
    whole = file.read_bytes()
    run_all(lake, landing)
    before = versions(lake)
    for content in (None, b"", b"<html>busy</html>\n", b"\x00\xff\xfe", b"mrn\n1\n"):
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
        for _ in range(2):
            run_all(lake, landing)
            assert versions(lake) == before, content
    file.write_bytes(whole)
    assert versions(lake) == before
    file.write_bytes(whole + b"2,Bo Lund\n")
    land(landing, "b.json", recording(2, 1), hours=1)
    run_all(lake, landing)
    assert_lake_equals_oracle(lake.root, landing)
    assert lake.rows(DIM_PATIENTS) == 2


def test_means_are_exact_in_whatever_order_recordings_come(lake: Lake, tmp_path: Path, spark: SparkSession) -> None:
    landing, rng = tmp_path / "landing", Random(1)
    # Sums of these as doubles depend on the order; the mean of the first person's is 70 exactly, of the second's a
    # little more.
    tenths = [70.1, 69.9, 70.7, 69.3, 70.3, 69.7]
    for number in range(8):
        rng.shuffle(tenths)
        odd = [recording(3, rng.random() * 600, rng.uniform(20, 300)) for _ in range(30)]
        least = [recording(2, number, 70.0)] * 3 + [recording(2, number, 70.00000000000001)]
        land(landing, f"{number}.json", *(recording(1, number, each) for each in tenths), *odd, *least, hours=number)
        if number % 4 == 3:
            run_all(lake, landing)
            assert_lake_equals_oracle(lake.root, landing)
    averages = {row["mrn"]: row["avg_heartrate"] for row in read_table(lake.root, BY_PATIENT)}
    assert averages[2] == 71, "a hair's breadth over 70 is rounded up"
    before = versions(lake)
    Path(lake.path(POSITIONS)).rename(tmp_path / "positions")
    run_all(Lake(lake.root, spark), landing)
    assert versions(lake) == before, "computed anew as a whole, nothing differs in the last digit"


def test_odd_values_are_read_or_refused_as_the_oracle_does(lake: Lake, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    name_people(landing, "1,Anna Berg", "9223372036854775807,Bo Lund")
    numbers = ["72", " 72.50\t", "+7.25e1", "72.", ".725E+2", "72d", "0x48", "NaN", "Infinity", "1e999", "1e-999", "٧٢"]
    rates = [recording(1, 0, each) for each in (*numbers, 20, 19.999999, 300, 300.0000001, True, [72], {"v": 72}, "")]
    mrns = [recording(each, 1) for each in ("1.0", "1e0", 1.5, "9223372036854775807", 2**63, -(2**63), "1 2", False)]
    times = (1e300, -1e300, "1.709294400123456e15", -1.5, 0, -62135596800000000, -62135596800000008, 253402300800000000)
    moments = [{"mrn": 1, "heartrate": 70, "time": each} for each in (*times, 253402300799999968)]
    devices = [{**recording(1, 2), "device_id": each} for each in ("none", 2**31, "7.0", None, -1)]
    extra = [{**recording(1, 3), "battery": 0.5}, {"heartrate": 80}, {}, 5, None, "text", []]
    land(landing, "a.json", *rates, *mrns, *moments, *devices, *extra)
    run_all(lake, landing)
    assert_lake_equals_oracle(lake.root, landing)
    rows = read_table(lake.root, QUARANTINE.full_name)
    expected = tables_of(landing)[QUARANTINE.full_name]
    assert sorted(row["reasons"] for row in rows) == sorted(row["reasons"] for row in expected)


def test_files_that_are_no_array_are_refused_whole_and_the_rest_goes_on(lake: Lake, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    good = json.dumps([recording(1, 0)])
    land_content(landing, "empty.json", "")
    land_content(landing, "cut.json", good[:-9], hours=1)
    land_content(landing, "object.json", good[1:-1], hours=2)
    land_content(landing, "lines.json", f"{good[1:-1]}\n{good[1:-1]}\n", hours=3)
    land_content(landing, "latin.json", b'["\xff"]', hours=4)
    land_content(landing, "good.json", good, hours=5)
    run_all(lake, landing)
    assert_lake_equals_oracle(lake.root, landing)
    refused = {Path(row["source_filename"]).name: row for row in read_table(lake.root, QUARANTINE.full_name)}
    assert set(refused) == {"cut.json", "object.json", "lines.json", "latin.json"}
    assert {tuple(row["reasons"]) for row in refused.values()} == {("not_an_array",)}
    assert refused["cut.json"]["row"] == good[:-9]
    assert lake.rows(SILVER_HEART_RATE) == 1
    land_content(landing, ".being_written.json", good[:20])
    land_content(landing, "other.txt", good)
    assert run_all(lake, landing).rows == 0, "what is still being written has another name"


def test_a_file_that_grows_after_it_was_read_is_reported_and_not_read_again(lake: Lake, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    land(landing, "a.json", recording(1, 0))
    run_all(lake, landing)
    before = versions(lake)
    grown = land(landing, "a.json", recording(1, 0), recording(1, 1))
    taken = run_all(lake, landing)
    assert taken.changed == ["heart_rate/recordings/a.json"]
    assert versions(lake) == before
    os.replace(grown, grown.with_name("b.json"))
    run_all(lake, landing)
    assert lake.rows(SILVER_HEART_RATE) == 3, "under another name it is taken"


def test_before_anything_landed_the_tables_are_there_and_empty(lake: Lake, tmp_path: Path) -> None:
    for _ in range(2):
        run_all(lake, tmp_path / "nowhere")
        assert versions(lake) == dict.fromkeys(TABLES, 0)
        assert {lake.rows(table) for table in TABLES.values()} == {0}


@pytest.mark.slow
def test_dropped_tables_are_made_good(lake: Lake, tmp_path: Path, spark: SparkSession) -> None:
    landing = tmp_path / "landing"
    name_people(landing, "1,Anna Berg")
    land(landing, "a.json", recording(1, 0), recording(2, 60), recording(3, 0, 5))
    run_all(lake, landing)
    for name in (SILVER, QUARANTINE.full_name, BY_PATIENT, DIM_PATIENTS.full_name):
        Path(lake.path(TABLES[name])).rename(tmp_path / name)
    land(landing, "b.json", recording(1, 70), hours=1)
    run_all(Lake(lake.root, spark), landing)
    assert_lake_equals_oracle(lake.root, landing)


@pytest.mark.slow
@pytest.mark.usefixtures("commit_by_commit")
def test_recordings_that_wait_are_taken_in_pieces_and_make_the_same_tables(
    lake: Lake, tmp_path: Path, seed: int
) -> None:
    simulated, landing, rng = tmp_path / "simulated", tmp_path / "landing", Random(seed)
    for start in (START, None):
        land_heart_rates(simulated, HeartRateConfig(files=8, recordings=200, seed=seed, start=start, dirty=0.1))
    people = (simulated / "heart_rate" / "patient_info.csv").read_text().splitlines()[1:]
    files = sorted((simulated / "heart_rate" / "recordings").iterdir())
    rng.shuffle(files)
    (landing / "heart_rate" / "recordings").mkdir(parents=True)
    for number, file in enumerate(files):
        shutil.copy2(file, landing / "heart_rate" / "recordings")
        if number % 5 == 0:
            name_people(landing, *rng.sample(people, len(people) // 2))
            run_all(lake, landing)
            assert_lake_equals_oracle(lake.root, landing)
        else:
            ingest_files(lake, RECORDINGS, landing)
    run_all(lake, landing)
    assert_lake_equals_oracle(lake.root, landing)


@pytest.mark.slow
@pytest.mark.parametrize("more", range(3))
def test_any_history_cut_into_any_batches_makes_the_same_tables(
    lake: Lake, tmp_path: Path, seed: int, more: int
) -> None:
    simulated, landing, rng = tmp_path / "simulated", tmp_path / "landing", Random(seed + more)
    for start in (START, None, None):
        land_heart_rates(simulated, HeartRateConfig(files=5, recordings=400, seed=seed + more, start=start, dirty=0.1))
    files = sorted((simulated / "heart_rate" / "recordings").iterdir())
    people = (simulated / "heart_rate" / "patient_info.csv").read_text().splitlines()[1:]
    rng.shuffle(files)
    while files:
        for file in files[: rng.randint(1, 8)]:
            landed = landing / "heart_rate" / "recordings" / file.name
            landed.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, landed)
            files.remove(file)
        name_people(landing, *rng.sample(people, rng.randint(0, len(people))))
        run_all(lake, landing)
        assert_lake_equals_oracle(lake.root, landing)
