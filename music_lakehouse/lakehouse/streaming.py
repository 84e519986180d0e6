"""Structured Streaming queries that run once over what is available, in steps of bounded size."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyspark.sql.streaming import DataStreamWriter


@dataclass(frozen=True)
class StreamReport:
    """What one query did: its micro-batches that had data, how long it took, and its sources' last end offsets."""

    batches: int = 0
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
    with_data = [p for p in progress if p.get("numInputRows")]
    ends = [_offsets(source["endOffset"]) for source in progress[-1]["sources"]] if progress else []
    return StreamReport(len(with_data), time.monotonic() - started, ends)


def without_damage(checkpoint: str) -> str:
    """The checkpoint's path; where it is a local one that lacks its query's id or its offsets, it is removed first.

    Such a query would number its batches from 0 under the old id, which a Delta sink takes for batches that it has, or
    repeat its last batch under a new id, which the sink takes for a new one.
    """
    directory = Path(checkpoint)
    whole = (directory / "metadata").exists() and any(directory.glob("offsets/[0-9]*"))
    if "://" not in checkpoint and directory.exists() and not whole:
        shutil.rmtree(directory)
    return checkpoint


def _offsets(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
