from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from music_lakehouse.lakehouse.files import file_digest, read_csv

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
        (b'code,name\nNY,12" of rain\nCA,California\n', [("NY", '12" of rain'), ("CA", "California")], []),
        (
            b'code,name\nNY,"New York\nCA,California\nTX,Texas\n',
            [("NY", "New York"), ("CA", "California"), ("TX", "Texas")],
            ["it has quotes that are not closed, or closed before the field ends, in line 2"],
        ),
        (
            b'code,name\nNY,"New York\r\nCA,"California"\r\nTX,"Te""x""as"\r\nUT,"',
            [("NY", "New York"), ("CA", "California"), ("TX", 'Te"x"as'), ("UT", "")],
            ["it has quotes that are not closed, or closed before the field ends, in line 2, 5"],
        ),
        (
            b'code,name\n"NY,New York\nCA,"The ""Golden"" one" of all\n',
            [("NY,New York", None), ("CA", 'The "Golden" one of all')],
            [
                "it has 1 rows with more or fewer fields than its header",
                "it has quotes that are not closed, or closed before the field ends, in line 2, 3",
            ],
        ),
        (
            b'"code,name\nNY,New York\n',
            [(None, None)],
            [
                "it has no column code",
                "it has no column name",
                "it has 1 rows with more or fewer fields than its header",
                "it has quotes that are not closed, or closed before the field ends, in line 1",
            ],
        ),
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


def no_file_in_its_place(file: Path, kind: str) -> None:
    """What raises an OSError other than that there is no file, also where everything may be read."""
    if kind == "directory":
        file.mkdir(parents=True)
    else:
        file.symlink_to(file)


@pytest.mark.parametrize("kind", ["directory", "link to itself"])
def test_a_file_that_cannot_be_read_is_named_and_is_not_an_empty_one(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "states.csv"
    no_file_in_its_place(file, kind)
    found = read_csv(file, COLUMNS)
    assert (found.rows.num_rows, found.is_whole, found.is_unreadable) == (0, False, True)
    [problem] = found.problems
    assert problem.startswith(f"{file} cannot be read (")
    assert "let this user read it" in problem
    assert found.digest == file_digest(file) is not None


def test_the_digest_changes_with_the_content(tmp_path: Path) -> None:
    file = tmp_path / "states.csv"
    digests = []
    for content in ("code,name\nNY,New York\n", "code,name\nNY,York\n", "code,name\nNY,New York\n"):
        file.write_text(content)
        digests.append(read_csv(file, COLUMNS).digest)
    assert digests[0] == digests[2] != digests[1]


def test_a_very_long_field_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, b"code,name\nNY," + b"x" * 20_000_000) == ([("NY", "x" * 20_000_000)], [])


def test_behind_a_quote_that_is_never_closed_everything_is_read_however_much_that_is(tmp_path: Path) -> None:
    lines = [("CA", "x" * 1000)] * 20_000
    content = 'code,name\nNY,"New York\n' + "".join(f"{code},{name}\n" for code, name in lines)
    rows, problems = read(tmp_path, content.encode())
    assert rows == [("NY", "New York"), *lines]
    assert problems == ["it has quotes that are not closed, or closed before the field ends, in line 2"]


def test_of_many_lines_with_faulty_quotes_the_first_are_named_and_all_are_read(tmp_path: Path) -> None:
    rows, problems = read(tmp_path, b"code,name\n" + b'NY,"New" York\n' * 2_000)
    assert rows == [("NY", "New York")] * 2_000
    assert problems == [
        "it has quotes that are not closed, or closed before the field ends, in line 2, 3, 4, 5, 6, ..."
    ]
