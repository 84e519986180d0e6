"""What an event costs in memory and on disk, by what a soak saw; on disk also of any lake, and of a broker:

python -m music_lakehouse_tests.soak.sizing data/lakehouse [data/broker]
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from music_lakehouse_tests.soak.judgement import MB
from music_lakehouse_tests.soak.record import Record
from music_lakehouse_tests.soak.watch import Stored, disk_use, tables_of

DISK = ("what", "of its newest version", "with its history", "files", "all files", "of its log", "rows")
Shown = tuple[str, Sequence[str], list[Sequence[str]]]


def sizes(record: Record) -> Iterator[Shown]:
    """Tables to be shown: title, header, rows."""
    yield "Memory", ("part", "median (MB)", "most (MB)"), _memory(record)
    looked = [sample for sample in record.samples if sample.tables]
    if not looked or not record.events:
        return
    last = looked[-1]
    hours = (last.at - record.began) / 3600
    yield (
        "Disk: bytes an event",
        DISK,
        [*_kafka(record, last.home), *of_tables(last.tables, record.events)],
    )
    yield (
        "Dagster's instance",
        ("what", "MB", "MB a run"),
        [
            (name, f"{size / MB:,.1f}", f"{size / MB / max(len(record.runs), 1):.2f}")
            for name, size in sorted(last.home.items())
            if name.startswith("dagster")
        ],
    )
    yield (
        "In an hour",
        ("what", ""),
        [
            ("runs", f"{len(record.runs) / hours:,.0f}"),
            ("files of the lake, its logs' too", f"{_all_files(last.tables.values()) / hours:,.0f}"),
            ("events that reached gold", f"{sum(c.streams for c in record.commits) / hours:,.0f} streams"),
        ],
    )


def _all_files(tables: Iterable[Stored]) -> int:
    return sum(table.stored_files + table.log_files for table in tables)


def _memory(record: Record) -> list[Sequence[str]]:
    parts = sorted({part for sample in record.samples for part in sample.memory})
    found: list[Sequence[str]] = []
    for part in parts:
        seen = [sample.memory[part].size / MB for sample in record.samples if part in sample.memory]
        found.append((part, f"{median(seen):,.0f}", f"{max(seen):,.0f}"))
    heap = [sample.heap.size / MB for sample in record.samples if sample.heap]
    if heap:
        found.append(("Spark's heap, once collected", f"{median(heap):,.0f}", f"{max(heap):,.0f}"))
    return found


def _kafka(record: Record, home: dict[str, int]) -> list[Sequence[str]]:
    size = sum(value for name, value in home.items() if name.startswith("broker"))
    return [("Kafka", f"{size / record.events:,.0f}", "", "", "", "", f"{record.messages:,}")]


def of_tables(tables: Mapping[str, Stored], events: int) -> list[Sequence[str]]:
    """A line a table: bytes by event, and files."""
    return [
        (
            name,
            f"{table.size / events:,.1f}",
            f"{table.stored_size / events:,.1f}",
            f"{table.files:,}",
            f"{table.stored_files:,}",
            f"{table.log_files:,}",
            f"{table.rows:,}",
        )
        for name, table in tables.items()
    ]


def main() -> None:
    tables = tables_of(str(Path(sys.argv[1]).absolute()))
    # A page view and its listen are one event; a lake may have either alone.
    events = max(tables[f"raw.{topic}"].rows for topic in ("page_view_events", "listen_events"))
    print(f"{events:,} events; bytes an event")
    kafka = [("Kafka", f"{disk_use(Path(place, 'log')) / events:,.1f}") for place in sys.argv[2:]]
    for row in [DISK, *kafka, *of_tables(tables, events)]:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
