from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from music_lakehouse.lakehouse.versions import diff, history
from music_lakehouse_tests.lakehouse.items import ITEMS, MONDAY, TUESDAY

Row = tuple[int, str | None, date, float | None]


def write(path: Path, *rows: Row) -> None:
    columns = dict(zip(ITEMS.column_names, map(list, zip(*rows, strict=True)), strict=True))
    write_deltalake(path, pa.table(columns, schema=ITEMS.arrow_schema), mode="append", partition_by=["day"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A table of four versions: three items; one more; one changed and one gone; as before."""
    path = tmp_path / "items"
    write(path, (1, "a", MONDAY, 1.0), (2, None, MONDAY, None), (3, "c", TUESDAY, 3.0))
    write(path, (4, "d", TUESDAY, 4.0))
    DeltaTable(path).update({"price": "1.5"}, predicate="id = 1")
    DeltaTable(path).delete("id = 2")
    return path


def test_history_says_what_each_version_did_the_newest_first(path: Path) -> None:
    versions = list(history(DeltaTable(path)))

    assert [(version.number, version.operation) for version in versions] == [
        (3, "DELETE"),
        (2, "UPDATE"),
        (1, "WRITE"),
        (0, "WRITE"),
    ]
    assert [version.rows for version in versions[2:]] == [1, 3]
    assert all(abs(version.at - datetime.now(timezone.utc)) < timedelta(minutes=5) for version in versions)
    assert [version.number for version in history(DeltaTable(path), limit=1)] == [3]


def test_two_versions_differ_in_the_rows_that_came_went_and_changed(path: Path) -> None:
    found = diff(str(path), ITEMS, 0, 3)

    assert (found.inserted, found.updated, found.deleted) == (1, 1, 1)
    assert list(found.columns) == ["operation", "id", "place", "difference"]
    assert found.rows == [
        ("delete", 2, None, "day: 2024-01-01; price: null"),
        ("insert", 4, "d", "day: 2024-01-02; price: 4.0"),
        ("update", 1, "a", "price: 1.0 -> 1.5"),
    ]


def test_backwards_what_came_has_gone(path: Path) -> None:
    found = diff(str(path), ITEMS, 3, 0, limit=1)

    assert (found.inserted, found.updated, found.deleted) == (1, 1, 1)
    assert found.rows == [("delete", 4, "d", "day: 2024-01-02; price: 4.0")]


def test_rows_that_only_lie_in_other_files_dont_differ(path: Path) -> None:
    table = DeltaTable(path)
    before = table.version()
    table.optimize.compact()
    assert table.version() > before

    found = diff(str(path), ITEMS, before, table.version())

    assert (found.inserted, found.updated, found.deleted, found.rows) == (0, 0, 0, [])


def test_files_that_both_versions_have_are_not_read(path: Path) -> None:
    kept = {file for file in DeltaTable(path, version=0).file_uris() if "day=2024-01-02" in file}
    assert kept <= set(DeltaTable(path, version=3).file_uris())
    for file in kept:
        Path(file).write_bytes(b"not read")

    assert diff(str(path), ITEMS, 0, 3).updated == 1


def test_a_column_that_one_version_lacks_is_missing_there(tmp_path: Path) -> None:
    path = tmp_path / "items"
    old = pa.table({"id": [1], "place": ["a"], "day": [MONDAY]})
    write_deltalake(path, old)
    new = old.append_column("price", pa.array([2.5]))
    write_deltalake(path, new, mode="overwrite", schema_mode="overwrite")

    assert diff(str(path), ITEMS, 0, 1).rows == [("update", 1, "a", "price: null -> 2.5")]


def test_a_version_that_never_was_is_an_error(path: Path) -> None:
    with pytest.raises(DeltaError):
        diff(str(path), ITEMS, 0, 9)
