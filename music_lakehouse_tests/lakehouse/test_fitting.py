from __future__ import annotations

from datetime import date, datetime, timezone

import pyarrow as pa
import pytest

from music_lakehouse.lakehouse.fitting import fitted

SCHEMA = pa.schema([("id", pa.int64()), ("price", pa.float64()), ("rescued", pa.string())])


def fit(**columns: pa.Array) -> list[tuple[object, ...]]:
    rows = fitted(pa.table(columns), SCHEMA, rescued="rescued")
    assert rows.schema == SCHEMA
    return [tuple(row.values()) for row in rows.to_pylist()]


def test_columns_get_the_types_and_the_order_of_the_table() -> None:
    assert fit(price=pa.array([1, 2]), id=pa.array(["3", None])) == [(3, 1.0, None), (None, 2.0, None)]


def test_a_column_that_is_lacking_is_null_and_one_too_many_is_left_out() -> None:
    assert fit(id=pa.array([1]), colour=pa.array(["red"])) == [(1, None, None)]
    assert fit(price=pa.array([], pa.int64())) == []


def test_what_does_not_fit_is_kept_as_text_and_the_rest_of_the_column_is_read() -> None:
    assert fit(id=pa.array(["1", "two", "3"]), price=pa.array(["x", "y", "0.5"])) == [
        (1, None, '{"price": "x"}'),
        (None, None, '{"id": "two", "price": "y"}'),
        (3, 0.5, None),
    ]
    assert fit(id=pa.array([[1]]), rescued=pa.array(["said"])) == [(None, None, '{"id": [1]}')]


TIMES = pa.schema([("at", pa.timestamp("us", "UTC")), ("day", pa.date32()), ("rescued", pa.string())])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-01-02 03:04:05.678", datetime(2025, 1, 2, 3, 4, 5, 678000, timezone.utc)),
        ("2025-01-02T03:04:05.678901Z", datetime(2025, 1, 2, 3, 4, 5, 678901, timezone.utc)),
        ("2025-01-02 03:04:05+02:00", datetime(2025, 1, 2, 1, 4, 5, 0, timezone.utc)),
        ("2025-01-02", datetime(2025, 1, 2, tzinfo=timezone.utc)),
    ],
)
def test_iso_text_becomes_a_time_and_a_date(text: str, moment: datetime) -> None:
    rows = fitted(pa.table({"at": [text], "day": [text[:10]]}), TIMES, rescued="rescued")
    assert rows.to_pylist() == [{"at": moment, "day": date(2025, 1, 2), "rescued": None}]


@pytest.mark.parametrize("text", ["some day", "", "infinity", "99999-01-01", "2025-13-01"])
def test_text_that_is_no_time_is_kept(text: str) -> None:
    rows = fitted(pa.table({"at": [text, None], "day": ["2025-01-02", text]}), TIMES, rescued="rescued")
    assert rows["at"].to_pylist() == [None, None]
    assert rows["day"].to_pylist() == [date(2025, 1, 2), None]
    assert rows["rescued"].to_pylist() == [f'{{"at": "{text}"}}', f'{{"day": "{text}"}}']


def test_what_was_set_aside_before_is_kept_beside_what_does_not_fit() -> None:
    before = pa.array(['{"price": "dear"}', '{"id": "x", "size": 1}', "no JSON", None])
    assert [row[2] for row in fit(id=pa.array(["1", "two", "three", "four"]), rescued=before)] == [
        '{"price": "dear"}',
        '{"id": "two", "size": 1}',
        '{"id": "three"}',
        '{"id": "four"}',
    ]
