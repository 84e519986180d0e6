from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from music_lakehouse.lakehouse.files import read_csv

COLUMNS = ("code", "name")


def read(path: Path, content: bytes) -> tuple[list[tuple[Any, ...]], list[str]]:
    file = path / "states.csv"
    file.write_bytes(content)
    found = read_csv(file, COLUMNS)
    return [tuple(row.values()) for row in found.rows.to_pylist()], [
        each.replace(str(file), "it") for each in found.problems
    ]


@pytest.mark.parametrize(
    ("content", "rows", "problems"),
    [
        (b"code,name\nNY,New York\n", [("NY", "New York")], []),
        (b"\xef\xbb\xbfcode,name\r\nNY,New York\r\n", [("NY", "New York")], []),
        (b" NAME ,x,Code\nNew York,1,NY", [("NY", "New York")], []),
        (b'code,name\nNY,"New\nYork, ""The"""\n\n', [("NY", 'New\nYork, "The"')], []),
        (b"\n\ncode,name\nNY,New York\n", [("NY", "New York")], []),
        (b"code\nNY\n", [("NY", None)], ["it has no column name"]),
        (
            b"code,name\nNY\nCA,California,more\nTX,Texas\n",
            [("NY", None), ("CA", "California"), ("TX", "Texas")],
            ["it has 2 rows with more or fewer fields than its header"],
        ),
        ("code,name\nNY,Z\u00fcrich\n".encode("latin-1"), [("NY", "Z\ufffdrich")], ["it has bytes that are not UTF-8"]),
        (b"code,name\n", [], ["it has no rows"]),
        (b"", [], ["it has no column code", "it has no column name", "it has no rows"]),
        (b"code,name\nNY,a\x00b\n", [("NY", "ab")], []),
    ],
)
def test_what_can_be_read_of_a_file_is_read_and_what_cannot_is_named(
    tmp_path: Path, content: bytes, rows: list[tuple[Any, ...]], problems: list[str]
) -> None:
    assert read(tmp_path, content) == (rows, problems)


def test_a_missing_file_is_an_empty_one(tmp_path: Path) -> None:
    found = read_csv(tmp_path / "none.csv", COLUMNS)
    assert (found.rows.num_rows, found.rows.column_names) == (0, list(COLUMNS))
    assert found.digest is None
    assert found.problems == [f"{tmp_path / 'none.csv'} is not there"]


def test_the_digest_changes_with_the_content(tmp_path: Path) -> None:
    file = tmp_path / "states.csv"
    digests = []
    for content in ("code,name\nNY,New York\n", "code,name\nNY,York\n", "code,name\nNY,New York\n"):
        file.write_text(content)
        digests.append(read_csv(file, COLUMNS).digest)
    assert digests[0] == digests[2] != digests[1]


def test_a_very_long_field_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, b"code,name\nNY," + b"x" * 1_000_000) == ([("NY", "x" * 1_000_000)], [])
