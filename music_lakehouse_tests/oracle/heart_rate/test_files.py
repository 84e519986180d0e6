from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from music_lakehouse_tests.oracle.heart_rate.files import names, recordings
from music_lakehouse_tests.oracle.values import Row

GOOD: Row = {"device_id": 5, "mrn": 23940128, "time": 1709294400123456.0, "heartrate": 72.5}
MOMENT = datetime(2024, 3, 1, 12, 0, 0, 123456, timezone.utc)


def rows(tmp_path: Path, *elements: Any) -> list[Row]:
    return [recording.row for recording in recordings(written(tmp_path, json.dumps(elements)))]


def reasons(tmp_path: Path, *elements: Any) -> list[list[str]]:
    return [recording.reasons for recording in recordings(written(tmp_path, json.dumps(elements)))]


def written(tmp_path: Path, content: str | bytes) -> Path:
    file = tmp_path / "file.json"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_recordings_are_typed_with_their_microseconds(tmp_path: Path) -> None:
    assert rows(tmp_path, GOOD) == [{**GOOD, "datetime": MOMENT}]


def test_numbers_may_be_text_and_whole_ones_written_with_a_point(tmp_path: Path) -> None:
    as_text = {name: str(value) for name, value in GOOD.items()}
    other = GOOD | {"mrn": "23940128.0", "time": "1.709294400123456e15", "heartrate": " 72.50 "}
    assert rows(tmp_path, as_text, other) == [{**GOOD, "datetime": MOMENT}] * 2


def test_a_recording_is_refused_for_every_value_that_it_lacks(tmp_path: Path) -> None:
    assert reasons(tmp_path, {}, {**GOOD, "mrn": None}, {**GOOD, "time": ""}, {**GOOD, "heartrate": "n/a"}) == [
        ["mrn_missing", "time_missing", "heartrate_missing"],
        ["mrn_missing"],
        ["time_missing"],
        ["heartrate_missing"],
    ]


@pytest.mark.parametrize("value", [True, [72.0], {"value": 72}, "72 bpm", "NaN", "1e999"])
def test_a_value_that_is_no_number_is_missing(tmp_path: Path, value: object) -> None:
    assert reasons(tmp_path, GOOD | {"heartrate": value}) == [["heartrate_missing"]]


def test_a_time_beyond_all_years_and_a_person_with_a_fraction_are_missing(tmp_path: Path) -> None:
    assert reasons(tmp_path, GOOD | {"time": 1e300}, GOOD | {"mrn": 1.5}) == [["time_missing"], ["mrn_missing"]]


@pytest.mark.parametrize(("rate", "refused"), [(19.99, True), (20, False), (300, False), (300.25, True), (-72, True)])
def test_heart_rates_lie_from_20_to_300(tmp_path: Path, rate: float, refused: bool) -> None:
    assert reasons(tmp_path, GOOD | {"heartrate": rate}) == [["heartrate_out_of_bounds"] if refused else []]


def test_a_device_without_a_number_is_no_reason(tmp_path: Path) -> None:
    assert reasons(tmp_path, GOOD | {"device_id": "none"}) == [[]]
    assert rows(tmp_path, GOOD | {"device_id": "none"})[0]["device_id"] is None


def test_an_element_that_is_no_object_is_refused_by_itself(tmp_path: Path) -> None:
    assert reasons(tmp_path, 5, GOOD, None, [GOOD]) == [["not_an_object"], [], ["not_an_object"], ["not_an_object"]]


@pytest.mark.parametrize("content", [json.dumps(GOOD), "[1, 2", '{"a": 1}\n{"a": 2}\n', "5", "[NaN]", b'["\xff"]'])
def test_a_file_that_is_no_array_is_refused_as_a_whole(tmp_path: Path, content: str | bytes) -> None:
    [recording] = recordings(written(tmp_path, content))
    assert recording.reasons == ["not_an_array"]


@pytest.mark.parametrize("content", ["", " \n", "[]", "[\n]\n"])
def test_an_empty_file_and_an_empty_array_have_no_rows(tmp_path: Path, content: str) -> None:
    assert list(recordings(written(tmp_path, content))) == []


def test_people_are_named_by_the_last_row_of_their_number(tmp_path: Path) -> None:
    file = tmp_path / "patient_info.csv"
    assert names(file) == {}
    file.write_text('\ufeffmrn,name\n1,Anna Berg\n2,"Berg, Bo"\n,Nobody\nx,Nobody\n3,\n1,Anna Lund\n', encoding="utf-8")
    assert names(file) == {1: "Anna Lund", 2: "Berg, Bo", 3: None}
