from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from music_lakehouse_tests.oracle.examples import picked
from music_lakehouse_tests.oracle.heart_rate.compare import assert_lake_equals_oracle
from music_lakehouse_tests.oracle.heart_rate.tables import QUARANTINE, tables_of
from music_lakehouse_tests.oracle.values import Row, Tables

NOON = datetime(2024, 3, 1, 12, tzinfo=timezone.utc)


def recording(mrn: object, minutes: float, rate: object) -> Row:
    """A recording so many minutes after NOON."""
    return {"device_id": 5, "mrn": mrn, "time": (NOON.timestamp() + 60 * minutes) * 1e6, "heartrate": rate}


def land(root: Path, name: str, *recordings: Row) -> None:
    directory = root / "heart_rate" / "recordings"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(json.dumps(recordings))


def name_people(root: Path, *lines: str) -> None:
    (root / "heart_rate" / "patient_info.csv").write_text("\n".join(["mrn,name", *lines]))


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    """Two people of one name and a stranger, in two files of which the second is older; one recording comes twice."""
    root = tmp_path / "landing"
    land(root, "b.json", recording(1, 0, 70), recording(1, 59.99, 71.25), recording(2, 1, "60"), recording(3, 0, 90))
    land(root, "a.json", recording(1, -1, 80), recording(1, 0, 70), recording(None, 0, 900))
    name_people(root, "1,Anna Berg", "2,Anna Berg")
    return root


def test_every_recording_is_a_row_and_who_is_not_in_the_table_is_unknown(landing: Path) -> None:
    rows = tables_of(landing)["silver.heart_rate"]
    assert picked(rows, "mrn", "datetime", "heartrate", "patient_name") == [
        (1, NOON - timedelta(minutes=1), 80, "Anna Berg"),
        (1, NOON, 70, "Anna Berg"),
        (1, NOON, 70, "Anna Berg"),
        (1, NOON + timedelta(minutes=59.99), 71.25, "Anna Berg"),
        (2, NOON + timedelta(minutes=1), 60, "Anna Berg"),
        (3, NOON, 90, "Unknown"),
    ]


def test_a_person_who_comes_later_is_named_on_all_recordings(landing: Path) -> None:
    name_people(landing, "1,Anna Berg", "3,Carl Dahl")
    tables = tables_of(landing)
    assert {row["mrn"]: row["patient_name"] for row in tables["silver.heart_rate"]} == {
        1: "Anna Berg",
        2: "Unknown",
        3: "Carl Dahl",
    }
    assert tables["bronze.dim_patients"] == [{"mrn": 1, "name": "Anna Berg"}, {"mrn": 3, "name": "Carl Dahl"}]


def test_two_people_of_one_name_are_two_rows_with_the_mean_rounded_up(landing: Path) -> None:
    # (80 + 70 + 70 + 71.25) / 4 is 72.8125.
    assert tables_of(landing)["gold.heart_rate_by_patient"] == [
        {"patient_name": "Unknown", "mrn": 3, "avg_heartrate": 90, "count": 1},
        {"patient_name": "Anna Berg", "mrn": 1, "avg_heartrate": 73, "count": 4},
        {"patient_name": "Anna Berg", "mrn": 2, "avg_heartrate": 60, "count": 1},
    ]


def test_a_mean_that_is_whole_stays_what_it_is(tmp_path: Path) -> None:
    land(tmp_path, "a.json", *(recording(1, minute, rate) for minute, rate in enumerate((70.25, 69.75, 70.0))))
    [row] = tables_of(tmp_path)["gold.heart_rate_by_patient"]
    assert row["avg_heartrate"] == 70


def test_hours_have_their_mean_and_their_bounds(landing: Path) -> None:
    columns = ("mrn", "hour", "avg_heartrate", "min_heartrate", "max_heartrate", "count")
    assert sorted(picked(tables_of(landing)["gold.heart_rate_hourly"], *columns)) == [
        (1, NOON - timedelta(hours=1), 80.0, 80.0, 80.0, 1),
        (1, NOON, pytest.approx(211.25 / 3), 70.0, 71.25, 3),
        (2, NOON, 60.0, 60.0, 60.0, 1),
        (3, NOON, 90.0, 90.0, 90.0, 1),
    ]


def test_what_is_refused_is_in_quarantine_with_all_its_reasons(landing: Path) -> None:
    (landing / "heart_rate" / "recordings" / "c.json").write_text("[")
    assert picked(tables_of(landing)[QUARANTINE], "source_filename", "reasons") == [
        ("a.json", ["mrn_missing", "heartrate_out_of_bounds"]),
        ("c.json", ["not_an_array"]),
    ]


def write(root: Path, tables: Tables) -> None:
    for name, rows in tables.items():
        write_deltalake(str(root.joinpath(*name.split("."))), pa.Table.from_pylist(rows), mode="overwrite")


def test_a_lake_that_holds_the_oracles_tables_equals_it_in_any_order(tmp_path: Path, landing: Path) -> None:
    tables = tables_of(landing)
    for row in tables[QUARANTINE]:
        row["source_filename"] = f"file:///landing/{row['source_filename']}"
    write(tmp_path / "lake", {name: rows[::-1] for name, rows in tables.items()})
    assert_lake_equals_oracle(tmp_path / "lake", landing)


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("silver.heart_rate", {"patient_name": "Unknown"}, "silver.heart_rate: 6 rows, the oracle has 6"),
        ("gold.heart_rate_by_patient", {"count": 7}, "mrn=3: count: expected 1, got 7"),
        ("gold.heart_rate_hourly", {"hour": NOON - timedelta(hours=2)}, "hour=2024-03-01 10:00:00+00:00: not expected"),
        ("bronze.dim_patients", {"name": None}, "mrn=1: name: expected 'Anna Berg', got None"),
        (QUARANTINE, {"source_filename": "b.json"}, "source_filename=a.json: missing"),
    ],
)
def test_a_lake_that_differs_is_told_by_table_key_and_column(
    tmp_path: Path, landing: Path, table: str, change: Row, said: str
) -> None:
    tables = tables_of(landing)
    tables[table][0] |= change
    write(tmp_path / "lake", tables)
    with pytest.raises(AssertionError) as raised:
        assert_lake_equals_oracle(tmp_path / "lake", landing)
    assert said in str(raised.value)


def test_a_repeat_that_was_lost_is_told(tmp_path: Path, landing: Path) -> None:
    tables = tables_of(landing)
    del tables["silver.heart_rate"][1]
    write(tmp_path / "lake", tables)
    with pytest.raises(AssertionError, match="expected 2 rows, got 1"):
        assert_lake_equals_oracle(tmp_path / "lake", landing)
