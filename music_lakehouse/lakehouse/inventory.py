"""Which Delta tables lie in a lake, and their figures: by delta-rs, on a disk or in an object store."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyarrow.fs import PyFileSystem

LAYERS = ("raw", "bronze", "silver", "gold", "metrics")


@dataclass(frozen=True)
class Figures:
    """What the log says of a table: rows, bytes and files of its newest version, and what was done last."""

    rows: int
    size: int
    files: int
    version: int
    changed: datetime
    operation: str


def find_tables(root: str) -> dict[str, str]:
    """The URI of every table of the lake by its `layer.table`, in the order in which data flows; none where the root is
    not there. `root` is an absolute path or a URI."""
    found = _on_disk(root) if "://" not in root else _in_store(root)
    ordered = sorted(found, key=lambda name: (_rank(name), name))
    return {name: f"{root}/{name.replace('.', '/', 1)}" for name in ordered}


def figures(uri: str) -> Figures | None:
    """The table's figures, from its log alone; None where it is gone by now."""
    import pyarrow as pa

    from music_lakehouse.lakehouse import delta

    table = delta.open_table(uri)
    if table is None:
        return None
    sizes = pa.table(table.get_add_actions())["size_bytes"].to_pylist()
    last = table.history(1)[0]
    return Figures(
        rows=table.count(),
        size=sum(sizes),
        files=len(sizes),
        version=table.version(),
        changed=datetime.fromtimestamp(last["timestamp"] / 1000, timezone.utc),
        operation=str(last.get("operation", "")),
    )


def remove_directories(root: str, directories: Iterable[str]) -> None:
    """Remove the directories, paths below the root or whole URIs in it, one after the other, where they are there."""
    below = [directory.removeprefix(f"{root}/") for directory in directories]
    if "://" not in root:
        for directory in below:
            if Path(root, directory).exists():
                shutil.rmtree(Path(root, directory))
        return
    from pyarrow.fs import FileType

    files = store(root)
    for directory in below:
        if files.get_file_info(directory).type != FileType.NotFound:
            files.delete_dir(directory)


def store(root: str) -> PyFileSystem:
    """The lake's object store as a file system whose root is the lake's."""
    from deltalake.fs import DeltaStorageHandler
    from pyarrow.fs import PyFileSystem

    from music_lakehouse.lakehouse import delta

    return PyFileSystem(DeltaStorageHandler(delta.native_uri(root), delta.storage_options()))


def _on_disk(root: str) -> list[str]:
    return [f"{log.parents[1].name}.{log.parent.name}" for log in Path(root).glob("[!_.]*/*/_delta_log")]


def _in_store(root: str) -> list[str]:
    from deltalake.exceptions import TableNotFoundError
    from pyarrow.fs import FileSelector, FileType

    try:
        files = store(root)
    except TableNotFoundError:
        return []

    def directories(path: str) -> list[str]:
        infos = files.get_file_info(FileSelector(path, allow_not_found=True))
        return [info.path for info in infos if info.type == FileType.Directory]

    layers = [layer for layer in directories("") if not layer.startswith(("_", "."))]
    tables = [table for layer in layers for table in directories(layer)]
    logs = files.get_file_info([f"{table}/_delta_log" for table in tables])
    return [
        table.replace("/", ".", 1)
        for table, log in zip(tables, logs, strict=True)
        if log.type == FileType.Directory or directories(table).count(f"{table}/_delta_log")
    ]


def _rank(name: str) -> int:
    layer = name.split(".", 1)[0]
    return LAYERS.index(layer) if layer in LAYERS else len(LAYERS)
