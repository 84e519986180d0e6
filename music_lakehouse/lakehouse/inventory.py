"""Which Delta tables lie in a lake, and their figures: by delta-rs, on a disk or in an object store."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

LAYERS = ("raw", "bronze", "silver", "gold", "metrics")
CHECKPOINTS = "_checkpoints"
"""Below it lie the checkpoints of streaming queries, by `layer.table`."""


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
        changed=delta.committed_at(last),
        operation=str(last.get("operation", "")),
    )


def directories_in(root: str, path: str) -> list[str]:
    """The directories in one below the root, as paths below the root; none where it isn't there."""
    if "://" not in root:
        below = Path(root, path)
        return [str(Path(path, each.name)) for each in below.iterdir() if each.is_dir()] if below.is_dir() else []
    from pyarrow.fs import FileSelector, FileType

    infos = store(root).get_file_info(FileSelector(path, allow_not_found=True))
    return [info.path for info in infos if info.type == FileType.Directory]


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


def store(root: str) -> FileSystem:
    """The lake's object store, or disk, as a file system whose root is the lake's.

    In S3 it is Arrow's own: Spark keeps directories there as objects without content, which that of delta-rs takes for
    files and can't remove.
    """
    from deltalake.fs import DeltaStorageHandler
    from pyarrow.fs import PyFileSystem

    from music_lakehouse.lakehouse import delta

    return delta.file_system(root) or PyFileSystem(DeltaStorageHandler(delta.native_uri(root), delta.storage_options()))


def _on_disk(root: str) -> list[str]:
    return [f"{log.parents[1].name}.{log.parent.name}" for log in Path(root).glob("[!_.]*/*/_delta_log")]


def _in_store(root: str) -> list[str]:
    from pyarrow.fs import FileSelector, FileType, SubTreeFileSystem

    files = store(root)

    def directories(path: str) -> list[str]:
        infos = files.get_file_info(FileSelector(path, allow_not_found=True))
        return [info.path for info in infos if info.type == FileType.Directory]

    layers = [layer for layer in directories("") if not layer.startswith(("_", "."))]
    if not layers and root.startswith("s3") and isinstance(files, SubTreeFileSystem):
        bucket = files.base_path.strip("/").split("/")[0]
        if files.base_fs.get_file_info(bucket).type == FileType.NotFound:
            raise FileNotFoundError(f"there is no bucket {bucket} for the lake {root}: make it, or set LAKEHOUSE_ROOT")
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
