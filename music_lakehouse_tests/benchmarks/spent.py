"""What a table's step spent its time on, by the figures of its run and by Delta's log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Spent:
    """Seconds of a step; of them, where there were micro-batches, those of Spark's planning, of the rows' computing and
    commit, and of noting it in the checkpoint; and, where the log says it, those of Delta's writes and merges. Then its
    commits, and the data files that they added and removed."""

    seconds: float
    planning: float | None
    add_batch: float | None
    checkpoint: float | None
    written: float | None
    commits: int
    files_added: int
    files_removed: int


def spent(figures: Mapping[str, Any]) -> Spent:
    """By the metadata of the table's materialization; the table lies on this machine."""
    last, count = figures["table_version"], figures["versions_written"]
    logs = [_entries(Path(figures["dagster/uri"]), version) for version in range(last - count + 1, last + 1)]
    took = [milliseconds for log in logs if (milliseconds := _execution(log)) is not None]
    notes = [figures.get("wal_commit_seconds"), figures.get("commit_offsets_seconds")]
    return Spent(
        seconds=figures["duration_seconds"],
        planning=figures.get("query_planning_seconds"),
        add_batch=figures.get("add_batch_seconds"),
        checkpoint=None if None in notes else sum(filter(None, notes)),
        written=sum(took) / 1000 if took else None,
        commits=len(logs),
        files_added=sum("add" in entry for log in logs for entry in log),
        files_removed=sum("remove" in entry for log in logs for entry in log),
    )


def _entries(table: Path, version: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (table / "_delta_log" / f"{version:020}.json").read_text().splitlines()]


def _execution(log: list[dict[str, Any]]) -> int | None:
    """The milliseconds that the commit says it took: by Spark's name, or by that of delta-rs."""
    for entry in log:
        metrics = entry.get("commitInfo", {}).get("operationMetrics") or {}
        for name in ("executionTimeMs", "execution_time_ms"):
            if name in metrics:
                return int(metrics[name])
    return None
