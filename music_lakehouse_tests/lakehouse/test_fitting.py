from __future__ import annotations

import pyarrow as pa

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
