from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from music_lakehouse.lakehouse.json_rows import json_rows

COLUMNS = ("id", "city")


def rows(content: str | bytes) -> list[dict[str, Any]]:
    table = json_rows(content.encode() if isinstance(content, str) else content, COLUMNS)
    assert table.schema.field("row_number").type == pa.int64()
    assert {table.schema.field(name).type for name in (*COLUMNS, "_rescued_data")} <= {pa.string(), pa.null()}
    return list(table.to_pylist())


def row(number: int, rescued: str | None = None, **values: str) -> dict[str, Any]:
    return {"id": None, "city": None, **values, "row_number": number, "_rescued_data": rescued}


def test_each_element_is_a_row_of_text_as_it_stands() -> None:
    content = '[\n{"id": 1.50e3, "city": "Oslo"},\n {"city": null, "id": "007"}, {}\n]\n'
    assert rows(content) == [row(1, id="1.50e3", city="Oslo"), row(2, id="007"), row(3)]


def test_what_the_columns_do_not_hold_is_kept_as_it_stands_in_the_file() -> None:
    odd = [
        '{"id": 1, "mayor": "Anna"}',
        '{"id": [1,  2.0]}',
        '{ "id":true, "city" : {"name": "Rome"} }',
        "72.0",
        "null",
        '"a ] , text"',
        "[]",
        '{"id": "\\ud800"}',
    ]
    found = rows(f"[{{}},{' , '.join(odd)}\n, {{}}]")
    assert [each["_rescued_data"] for each in found] == [None, *odd[:-1], None, None]
    assert found[1]["id"] == "1"
    assert found[2]["id"] == '["1", "2.0"]'
    assert (found[3]["id"], found[3]["city"]) == ("true", '{"name": "Rome"}')
    assert [each["id"] for each in found[4:8]] == [None] * 4
    assert found[8]["id"] == "?", "half a surrogate pair"


def test_of_a_name_that_comes_twice_the_last_counts() -> None:
    assert rows('[{"id": 1, "id": 2}]') == [row(1, id="2")]


@pytest.mark.parametrize(
    "content",
    [
        '{"id": 1}',
        '[{"id": 1}',
        '[{"id": 1},]',
        '{"id": 1}\n{"id": 2}\n',
        "5",
        "[NaN]",
        "[1] 2",
        "\ufeff[]",
        "[" * 99_999,
    ],
)
def test_a_file_that_is_not_one_array_is_a_single_row(content: str) -> None:
    assert rows(content) == [row(0, content)]


def test_bytes_that_are_not_utf_8_make_a_single_row() -> None:
    assert rows(b'[{"city": "Z\xfcrich"}]') == [row(0, '[{"city": "Z\ufffdrich"}]')]


@pytest.mark.parametrize("content", ["", " \n", "[]", "[\n]\n"])
def test_an_empty_file_and_an_empty_array_have_no_rows(content: str) -> None:
    assert rows(content) == []


def test_a_file_of_many_elements_is_read_whole() -> None:
    elements = [{"id": number, "city": f"Town {number}"} for number in range(50_000)]
    found = rows(json.dumps(elements))
    assert len(found) == 50_000
    assert found[-1] == row(50_000, id="49999", city="Town 49999")
