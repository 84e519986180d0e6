"""Structured Streaming queries that run once over what is available, in steps of bounded size."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from pyarrow.fs import FileSelector, FileSystem
from pyspark.sql.streaming import DataStreamWriter

from music_lakehouse.lakehouse.inventory import remove_directories, store
from music_lakehouse.lakehouse.stream_figures import MicroBatch, micro_batches, offsets


@dataclass(frozen=True)
class StreamReport:
    """What one query did: its micro-batches that had data, how long it took, and its sources' last end offsets."""

    batches: tuple[MicroBatch, ...] = ()
    seconds: float = 0.0
    end_offsets: list[Any] = field(default_factory=list)


def drain(writer: DataStreamWriter, path: str | None = None) -> StreamReport:
    """Start the query with `availableNow`, wait until it has taken all that was available, and report it.

    Raises the query's own error. The query is stopped however this ends: after an interrupt it would go on.
    """
    started = time.monotonic()
    query = writer.trigger(availableNow=True).start(path)
    try:
        query.awaitTermination()
        progress = [json.loads(p.json) if hasattr(p, "json") else p for p in query.recentProgress]
    finally:
        query.stop()
    ends = [offsets(source["endOffset"]) for source in progress[-1]["sources"]] if progress else []
    return StreamReport(micro_batches(progress), time.monotonic() - started, ends)


def without_damage(checkpoint: str) -> str:
    """The checkpoint's path; where it lacks its query's id, its offsets or the newest of them, it is removed first.

    Such a query would number batches that are done already, from 0 or from its last offsets on, under the old id, which
    a Delta sink takes for batches that it has, or repeat its last batch under a new id, which the sink takes for a new
    one.
    """
    files = store(checkpoint)
    begun, done = _newest_batch(files, "offsets"), _newest_batch(files, "commits")
    if not files.get_file_info("metadata").is_file or begun is None or (done is not None and done > begun):
        parent, _, name = checkpoint.rpartition("/")
        remove_directories(parent, [name])
    return checkpoint


def _newest_batch(files: FileSystem, directory: str) -> int | None:
    """The largest number of a batch of which the directory has a file; None where there is none."""
    names = (info.base_name for info in files.get_file_info(FileSelector(directory, allow_not_found=True)))
    return max((int(name) for name in names if name.isdigit()), default=None)
