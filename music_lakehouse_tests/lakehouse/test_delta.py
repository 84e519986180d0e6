from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyarrow.fs import PyFileSystem

from music_lakehouse.lakehouse import delta

ROOTS = ["disk", "file URI", "s3", "s3a"]


@pytest.fixture(params=ROOTS)
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A table of two days and two versions."""
    kind = request.param
    root = {"disk": str(tmp_path), "file URI": tmp_path.as_uri()}.get(kind) or request.getfixturevalue("bucket")
    for number in (1, 2):
        rows = pa.table({"id": [number, number + 10], "day": ["Monday", "a b/c%"]})
        write_deltalake(
            f"{root}/gold/days", rows, mode="append", partition_by=["day"], storage_options=delta.storage_options()
        )
    return f"{root.replace('s3://', 's3a://') if kind == 's3a' else root}/gold/days"


def test_files_are_read_without_python_wherever_they_lie(uri: str) -> None:
    table = delta.open_table(uri)
    assert table is not None
    found = delta.dataset(table, uri)

    assert not isinstance(found.filesystem.base_fs, PyFileSystem)
    with duckdb.connect() as connection:
        rows = connection.register("days", found).execute("SELECT id, day FROM days ORDER BY id").fetchall()
    assert rows == [(1, "Monday"), (2, "Monday"), (11, "a b/c%"), (12, "a b/c%")]


def test_files_of_other_days_are_left_out(uri: str) -> None:
    table = delta.open_table(uri)
    assert table is not None
    found = delta.dataset(table, uri, pruned_by=[("day", "in", ["Monday"])])

    assert len(found.files) == 2
    assert sorted(found.to_table()["id"].to_pylist()) == [1, 2]


def test_a_commit_that_leaves_no_rows_does_not_say_how_many_it_removed(tmp_path: Path) -> None:
    rows = pa.table({"id": [1, 2]})
    write_deltalake(tmp_path, rows)
    write_deltalake(tmp_path, rows[:0], mode="overwrite")
    write_deltalake(tmp_path, rows[:1], mode="overwrite")
    table = delta.open_table(str(tmp_path))
    assert table is not None
    assert [delta.rows_of(commit) for commit in table.history()] == [1, None, 2]
