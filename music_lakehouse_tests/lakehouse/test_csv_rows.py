from __future__ import annotations

import pytest

from music_lakehouse.lakehouse.csv_rows import csv_rows

COLUMNS = ("id", "name", "note")


def read(content: str | bytes) -> list[tuple[object, ...]]:
    """Each row's place, fields and rescued line, in the order of the file."""
    rows = csv_rows(content.encode() if isinstance(content, str) else content, COLUMNS).to_pylist()
    return sorted((row["row_number"], *(row[name] for name in COLUMNS), row["_rescued_data"]) for row in rows)


def test_columns_stand_in_any_order_and_case_and_others_are_passed_over() -> None:
    assert read('\ufeffNOTE ,extra,"Id",name\nn,x,1,a\n') == [(1, "1", "a", "n", None)]


def test_fields_are_as_they_stand_with_commas_quotes_and_newlines() -> None:
    text = 'id,name,note\n1,"a, ""b""","two\n\nlines,\r\nend"\r\n2,back\\slash,\n'
    assert read(text) == [(1, "1", 'a, "b"', "two\n\nlines,\r\nend", None), (2, "2", "back\\slash", "", None)]


def test_blank_lines_are_no_rows_and_the_last_line_needs_no_end() -> None:
    assert read("\n\nid,name,note\r\n\r\n1,a,b\r\n   \r\n2,c,d") == [(1, "1", "a", "b", None), (3, "2", "c", "d", None)]


@pytest.mark.parametrize("content", ["", "\n\n", "id,name,note", "id,name,note\n", "\ufeff"])
def test_a_file_without_rows_has_none(content: str) -> None:
    assert read(content) == []


def test_lines_with_too_many_or_too_few_fields_are_kept_as_they_stand() -> None:
    text = 'id,name,note\n1,a,b\n2,"a",b,c\n3,a\n4,a,b\n5,'
    assert read(text) == [
        (1, "1", "a", "b", None),
        (2, None, None, None, '2,"a",b,c'),
        (3, None, None, None, "3,a"),
        (4, "4", "a", "b", None),
        (5, None, None, None, "5,"),
    ]


def test_from_a_quote_that_is_never_closed_to_the_end_is_one_line() -> None:
    text = 'id,name,note\n1,a,b\n2,x\n3,"a\n",b\n4,a,"cut\n5,a,b'
    assert read(text) == [
        (1, "1", "a", "b", None),
        (2, None, None, None, "2,x"),
        (3, "3", "a\n", "b", None),
        (4, None, None, None, '4,a,"cut\n5,a,b'),
    ]


def test_a_column_that_the_file_lacks_is_null_and_an_empty_field_is_empty() -> None:
    assert read("id,note\n1,\n") == [(1, "1", None, "", None)]


def test_bytes_that_are_no_text_are_replaced_and_the_rest_is_read() -> None:
    assert read(b"id,name,note\n1,\xff\xe9,b\n2,\xc3\xa9,b\n") == [(1, "1", "��", "b", None), (2, "2", "é", "b", None)]
    assert read(b"\x00\x01\x02PK\xff\n\x00,\x00") == [(1, None, None, None, "\x00,\x00")]
