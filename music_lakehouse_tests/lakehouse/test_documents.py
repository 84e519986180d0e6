"""Documents of a lake: whole or not there, on a disk and in an object store."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from music_lakehouse.lakehouse.documents import read_document, write_document
from music_lakehouse.lakehouse.inventory import find_tables

PAGE = "gold/page/index.html"


def test_a_document_is_what_was_written_last(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert read_document(root, PAGE) is None
    for text in ("first, and longer\n", "zwei é\n"):
        write_document(root, PAGE, text)
        assert read_document(root, PAGE) == text
    assert [file.name for file in (tmp_path / PAGE).parent.iterdir()] == ["index.html"]
    assert find_tables(root) == {}


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    root, texts = str(tmp_path), {letter * 3_000_000 for letter in "ab"}
    write_document(root, PAGE, "a" * 3_000_000)
    seen: set[str | None] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(read_document(root, PAGE))

    reader = threading.Thread(target=read)
    reader.start()
    for text in sorted(texts) * 5:
        write_document(root, PAGE, text)
    done.set()
    reader.join()

    assert seen
    assert seen <= texts


def test_a_writer_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(tmp_path)
    write_document(root, PAGE, "as it was")

    def fail(*_: object) -> None:
        raise OSError("no room on the disk")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no room"):
        write_document(root, PAGE, "new")

    assert read_document(root, PAGE) == "as it was"
    assert [file.name for file in (tmp_path / PAGE).parent.iterdir()] == ["index.html"]


def test_others_may_read_a_document_as_they_may_any_file(tmp_path: Path) -> None:
    write_document(str(tmp_path), PAGE, "text")
    (tmp_path / "other").write_text("text")

    assert (tmp_path / PAGE).stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.thorough
def test_a_document_in_an_object_store_is_what_was_written_last(bucket: str) -> None:
    for text in ("first, and longer", "second é"):
        write_document(f"{bucket}/lake", PAGE, text)
        assert read_document(f"{bucket}/lake", PAGE) == text
    assert read_document(f"{bucket}/lake", "gold/none.html") is None
