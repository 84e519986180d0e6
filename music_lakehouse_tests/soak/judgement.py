"""Whether a soak held: each criterion can fail, and says by how much it held."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from music_lakehouse.defs.listening.jobs import streaming_pipeline
from music_lakehouse_tests.soak import processes
from music_lakehouse_tests.soak.flatness import Growth, Limit, Point, growth
from music_lakehouse_tests.soak.record import Record, Run

MB = 2**20
EXPLAINED_SECONDS = 60.0
"""How long after a fault a part may die, or a run fail, on account of it."""
RECOVERY_SECONDS = 600.0
"""How long after a fault it may take until the pipeline has succeeded again, if no other fault comes in between."""
WARM_SECONDS = 120.0
"""How long a process that was just started may grow."""
MEMORY = Limit(share=0.10, beside=32 * MB)
FILES = Limit(share=0.10, beside=4)
MOST = {processes.SPARK: 3072 * MB, processes.RUN: 2048 * MB}
"""What a part may take at any time: Spark's server two gigabytes of heap, which the JVM takes whole sooner or later,
and one beside it; a run, each of which is a process of its own, what a backlog needs, of any length, as it is taken in
pieces."""
SEEN_SHARE = 0.8


@dataclass(frozen=True)
class Verdict:
    """A criterion, whether it held (None: it was too short to tell), and by what that is known."""

    name: str
    held: bool | None
    told: str


def judge(record: Record) -> list[Verdict]:
    """All verdicts; the soak held where none is False."""
    return [
        _drained(record),
        Verdict(
            "Every table is what the oracle makes of the messages on the topics: nothing lost, nothing twice",
            not record.differences,
            record.differences or f"{record.messages:,} messages of {record.events:,} events, all tables, cell by cell",
        ),
        Verdict(
            "After the end nothing is left: no process, no port, no lock, no run that Dagster holds for open",
            not record.left,
            "; ".join(record.left) or "nothing",
        ),
        _recovered(record),
        _explained_deaths(record),
        _explained_runs(record),
        Verdict(
            "No check fails that stops what is downstream, at the end",
            not record.failing,
            ", ".join(record.failing) or "none",
        ),
        _seen(record),
        *_memory(record),
        *_files(record),
    ]


def _drained(record: Record) -> Verdict:
    told = "never" if record.drain is None else f"{record.drain:.0f} s after the last event"
    return Verdict("Gold caught up with the topics", record.drain is not None, told)


def recoveries(record: Record) -> list[float | None]:
    """Of each fault, the seconds from its end until a run of the pipeline succeeded; None where none did."""
    ends = sorted(run.until for run in _pipeline_runs(record) if run.succeeded and run.until is not None)
    return [next((end - fault.until for end in ends if end >= fault.until), None) for fault in record.happened]


def _recovered(record: Record) -> Verdict:
    found = recoveries(record)
    # The last fault is also left alone where no run ever succeeded after it.
    next_begins = [*(fault.since for fault in record.happened[1:]), math.inf]
    alone = [
        seconds
        for fault, seconds, begin in zip(record.happened, found, next_begins, strict=True)
        if fault.until + (math.inf if seconds is None else seconds) <= begin
    ]
    known, every = (sorted(seconds for seconds in some if seconds is not None) for some in (alone, found))
    held = len(known) == len(alone) and all(seconds <= RECOVERY_SECONDS for seconds in known)
    told = f"{len(known)} of {len(alone)} faults"
    if known:
        told += f", after {known[len(known) // 2]:.0f} s (median), {known[-1]:.0f} s at most"
        told += f"; {every[-1]:.0f} s at most of all {len(found)} faults, others in between"
    return Verdict(
        f"Within {RECOVERY_SECONDS:.0f} s of each fault that no other followed the pipeline has succeeded again",
        held,
        told,
    )


def _explained_deaths(record: Record) -> Verdict:
    strange = [death.told for death in record.deaths if not _explained(record, death.at, death.at + 1)]
    told = "; ".join(strange) or f"{len(record.deaths)} deaths, each at a fault"
    return Verdict("No part died but by a fault", not strange, told)


def _explained_runs(record: Record) -> Verdict:
    failed = [run for run in record.runs if run.ended and not run.succeeded]
    strange = [run for run in failed if not _explained(record, run.since or 0, run.until or record.stopped)]
    told = "; ".join(f"{run.run_id} ({run.job}): {', '.join(run.errors) or run.status}" for run in strange)
    succeeded = sum(run.succeeded for run in record.runs)
    told = told or f"{len(failed)} of {len(record.runs)} runs failed, each at a fault; {succeeded} succeeded"
    return Verdict("No run failed but by a fault", not strange, told)


def _explained(record: Record, since: float, until: float) -> bool:
    """Whether there was a fault while it lasted, or shortly before it."""
    return any(fault.since <= until and since <= fault.until + EXPLAINED_SECONDS for fault in record.happened)


def _seen(record: Record) -> Verdict:
    looks = len(record.samples)
    held = looks > 0 and looks >= SEEN_SHARE * (looks + record.blind)
    return Verdict("It was looked at all the time", held, f"{looks} looks, {record.blind} that failed")


def _memory(record: Record) -> Iterator[Verdict]:
    parts = {part for sample in record.samples for part in sample.memory}
    for part in sorted(parts - {processes.RUN, processes.SPARK, processes.OTHER}):
        points = [
            Point(sample.at - record.began, sample.memory[part].size, sample.memory[part].life)
            for sample in record.samples
            if part in sample.memory
        ]
        yield _flat(f"Memory of {part}", points, record, MEMORY, WARM_SECONDS)
    yield _flat("Memory of a run, at most, from run to run", peaks_of_runs(record), record, MEMORY)
    # A run keeps there what several of its steps read.
    heap = [
        Point(sample.at - record.began, sample.heap.size, sample.heap.life)
        for sample in record.samples
        if sample.heap and processes.RUN not in sample.memory
    ]
    yield _flat("What Spark's server holds between runs, once it was collected", heap, record, MEMORY, WARM_SECONDS)
    for part, allowed in MOST.items():
        most = max((s.memory[part].size for s in record.samples if part in s.memory), default=0)
        name = f"Memory of {part}: never more than {allowed / MB:,.0f} MB"
        yield Verdict(name, most <= allowed, f"{most / MB:,.0f} MB")


def peaks_of_runs(record: Record) -> list[Point]:
    """The most memory of each run's process, when it was seen."""
    peaks: dict[int, Point] = {}
    for sample in record.samples:
        run = sample.memory.get(processes.RUN)
        if run is not None and (run.life not in peaks or run.size > peaks[run.life].value):
            peaks[run.life] = Point(sample.at - record.began, run.size)
    return list(peaks.values())


def _files(record: Record) -> Iterator[Verdict]:
    """Of each table the files right after each maintenance, which made them few."""
    kept = [run.until for run in record.runs if run.job == "table_maintenance" and run.succeeded and run.until]
    after = [next((s for s in record.samples if s.tables and s.at >= end), None) for end in sorted(kept)]
    seen = [sample for sample in after if sample is not None]
    for table in sorted({name for sample in seen for name in sample.tables}):
        points = [Point(s.at - record.began, s.tables[table].files) for s in seen if table in s.tables]
        yield _flat(f"Files of {table}, after maintenance", points, record, FILES, unit=1, of="files")


def _flat(
    name: str,
    points: Iterable[Point],
    record: Record,
    limit: Limit,
    warm: float = 0.0,
    *,
    unit: float = MB,
    of: str = "MB",
) -> Verdict:
    found = growth(points, record.stopped - record.began, limit, warm=warm)
    return Verdict(f"Flat: {name}", None if found is None else found.flat, _told(found, unit, of))


def _told(found: Growth | None, unit: float, of: str) -> str:
    if found is None:
        return "too short to tell"
    grown, level, allowed = (value / unit for value in (found.grown, found.level, found.allowed))
    return f"{grown:+,.1f} {of} over the second half, at {level:,.1f}; {allowed:,.1f} are allowed"


def _pipeline_runs(record: Record) -> list[Run]:
    return [run for run in record.runs if run.job == streaming_pipeline.name]
