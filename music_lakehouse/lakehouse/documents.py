"""Files in a lake that are no tables: each is read and replaced as a whole, on a disk or in an object store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from music_lakehouse.lakehouse import delta
from music_lakehouse.lakehouse.inventory import store


def read_document(root: str, path: str) -> str | None:
    """The text of the file at `path` below the lake's root; None where there is none."""
    if "://" not in root:
        file = Path(root, path)
        return file.read_text(encoding="utf-8") if file.is_file() else None
    from pyarrow.fs import FileType

    files = store(root)
    if files.get_file_info(path).type != FileType.File:
        return None
    with files.open_input_stream(path) as stream:
        return bytes(stream.read()).decode()


def write_document(root: str, path: str, text: str) -> None:
    """Make the text the file's content: whoever reads it sees what was there before or all of the text."""
    if "://" in root:
        from deltalake._internal import DeltaFileSystemHandler

        # Arrow hands its own buffers to the stream, which takes bytes only. An object is there, as a whole, when its
        # stream is closed.
        files = DeltaFileSystemHandler(delta.native_uri(root), delta.storage_options())
        stream: Any = files.open_output_stream(path)
        stream.write(text.encode())
        stream.close()
        return
    file = Path(root, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{uuid4().hex}")
    try:
        with draft.open("w", encoding="utf-8") as written:
            written.write(text)
            written.flush()
            os.fsync(written.fileno())
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
