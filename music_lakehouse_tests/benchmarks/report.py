"""The benchmark's figures as JSON and as a page."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

from music_lakehouse_tests.benchmarks.spent import Spent


@dataclass(frozen=True)
class Measured:
    """What one way took: seconds of the full load in a new process, of each warm increment, and of its tables; and what
    the last increment spent its seconds on."""

    way: str
    events: int
    full_load: float
    increments: list[float]
    steps_of_full_load: dict[str, float]
    steps_of_increment: dict[str, float]
    spent_in_increment: dict[str, Spent] = field(default_factory=dict)

    @property
    def increment(self) -> float:
        """The median of the second half of the increments: before, the JVM is still compiling."""
        return median(self.increments[len(self.increments) // 2 :])


@dataclass(frozen=True)
class Loaded:
    """What a pipeline of another source took: seconds of the full load of so many rows in a new process, and of warm
    increments of `added` rows."""

    title: str
    kind_of_rows: str
    rows: int
    full_load: float
    added: int
    increments: list[float]
    steps_of_full_load: dict[str, float]
    steps_of_increment: dict[str, float]

    @property
    def increment(self) -> float:
        """As of `Measured`."""
        return median(self.increments[len(self.increments) // 2 :])


@dataclass(frozen=True)
class Freshness:
    """Seconds from an event to its row in gold.wide_streams, the median and the 95th percentile of so many streams, at
    `rate` events a second, in a mode of `up`."""

    mode: str
    rate: float
    streams: int
    median: float
    slow: float


TITLES = {
    "platform": "the platform, all tables and checks, exactly once",
    "raw_copy": "a plain copy of the topic into one Delta table",
    "notebook": "the notebook way, at its best settings",
}

SPENT = (
    "Each table that the last increment wrote, by what its run and Delta's log tell: of Spark's micro-batches planning,"
    " the rows' computing and commit (add batch), and the two notes in the checkpoint; of a WRITE or a MERGE what Delta"
    " says that it took (written); commits, and the data files that they added and removed."
)
FRESHNESS_HEADING = "## Freshness\n"
SOURCES_HEADING = "## Other sources than Kafka\n"
# One that isn't closed reaches to the end of its part: what somebody wrote isn't lost.
_NOTES = re.compile(r"<!-- notes\b.*?(?:<!-- end -->|\Z)", re.DOTALL)


def write(
    measured: list[Measured],
    increment: int,
    loaded: list[Loaded],
    fresh: list[Freshness],
    directory: Path,
    docs: Path,
) -> None:
    """Write `benchmarks.json` to the directory and the page to `docs`. What was not measured stays on the page as it
    was: the streams' part, freshness, and sources; of these a single one is as the last `benchmarks.json` has it. In
    each part all notes stay, which are written by hand: what stands from `<!-- notes: … -->` to `<!-- end -->`."""
    file = directory / "benchmarks.json"
    sources_measured = bool(loaded)
    loaded = _with_those_before(loaded, file)
    machine = {
        "when": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "increment": increment,
        "measured": [{**asdict(m), "increment": m.increment} for m in measured],
        "loaded": [{**asdict(one), "increment": one.increment} for one in loaded],
        "fresh": [asdict(one) for one in fresh],
    }
    directory.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(machine, indent=1) + "\n")
    text, sources_heading, sources = (docs.read_text() if docs.exists() else "").partition(SOURCES_HEADING)
    streams, fresh_heading, freshness = text.partition(FRESHNESS_HEADING)
    parts = (
        page(measured, increment, notes_of(streams)) if measured else streams,
        freshness_part(fresh, notes_of(freshness)) if fresh else fresh_heading + freshness,
        sources_part(loaded, notes_of(sources)) if sources_measured else sources_heading + sources,
    )
    docs.write_text("\n\n".join(part.strip() for part in parts if part.strip()) + "\n")


def notes_of(part: str) -> list[str]:
    """The lines of the part's notes, each followed by an empty one."""
    return [line for note in _NOTES.findall(part) for line in (*note.rstrip().splitlines(), "")]


def freshness_part(fresh: list[Freshness], notes: Sequence[str] = ()) -> str:
    """The page's part on how fresh gold is, in Markdown."""
    lines = [
        FRESHNESS_HEADING,
        f"Written on {datetime.now(timezone.utc):%Y-%m-%d}, on {os.cpu_count()} cores, which Kafka, the sender, "
        "Dagster and Spark share. From an event to its row in `gold.wide_streams`, while `music-lakehouse up` runs: by "
        "the sensor's runs, and with `--continuous`. Rate by rate, each once events have come at it for some minutes.",
        "",
        "| mode | events a second | streams | median | 95th percentile |",
        "|---|---:|---:|---:|---:|",
        *(f"| {f.mode} | {f.rate:,.0f} | {f.streams:,} | {f.median:.1f} s | {f.slow:.1f} s |" for f in fresh),
        "",
        *notes,
    ]
    return "\n".join(lines) + "\n"


def _with_those_before(loaded: list[Loaded], file: Path) -> list[Loaded]:
    known = json.loads(file.read_text()).get("loaded", []) if file.exists() else []
    before = [Loaded(**{f.name: one[f.name] for f in fields(Loaded)}) for one in known]
    measured = {one.title for one in loaded}
    return sorted([*loaded, *(one for one in before if one.title not in measured)], key=lambda one: one.title)


def sources_part(loaded: list[Loaded], notes: Sequence[str] = ()) -> str:
    """The page's part on other sources, in Markdown."""
    lines = [
        SOURCES_HEADING,
        f"Written on {datetime.now(timezone.utc):%Y-%m-%d}, on {os.cpu_count()} cores. Two full loads each, the second "
        "of ten times as many rows, in a new process, Spark's start included; and increments of one size in these "
        "processes, in turn: the median of the second half of them.",
        "",
        "| source | rows | full load | rows a second | increment | rows | beside that after a tenth of the history |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    tenths = {one.title: one for one in reversed(loaded)}
    for one in loaded:
        tenth = tenths[one.title]
        beside = "-" if tenth is one else f"{one.increment / tenth.increment:.2f}"
        rate = f"{one.rows / one.full_load:,.0f}"
        lines.append(
            f"| {one.title} | {one.rows:,} {one.kind_of_rows} | {one.full_load:.1f} s | {rate} "
            f"| {one.increment:.1f} s | {one.added:,} | {beside} |"
        )
    lines += ["", *notes]
    for one in loaded:
        lines += [f"### {one.title}: {one.rows:,} {one.kind_of_rows}", "", *_steps(one), ""]
    return "\n".join(lines) + "\n"


def _steps(m: Measured | Loaded) -> list[str]:
    steps = sorted(m.steps_of_increment.items(), key=lambda item: -item[1])
    steps = [(name, seconds) for name, seconds in steps if seconds + m.steps_of_full_load.get(name, 0) > 0.2]
    return [
        "| table | full load | increment |",
        "|---|---:|---:|",
        *(f"| {name} | {m.steps_of_full_load.get(name, 0):.2f} s | {seconds:.2f} s |" for name, seconds in steps),
    ]


def _spent(m: Measured) -> list[str]:
    return [
        "| table | increment | planning | add batch | checkpoint | written | commits | files added | removed |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {name} | {' | '.join(map(_seconds, (s.seconds, s.planning, s.add_batch, s.checkpoint, s.written)))} "
            f"| {s.commits} | {s.files_added} | {s.files_removed} |"
            for name, s in sorted(m.spent_in_increment.items(), key=lambda item: -item[1].seconds)
            if s.commits
        ),
    ]


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f} s"


def page(measured: list[Measured], increment: int, notes: Sequence[str] = ()) -> str:
    """The page in Markdown."""
    lines = [
        "# Benchmarks",
        "",
        "<!-- Written anew by each `make bench`, but for what stands between marks of notes. -->",
        "",
        f"Written by `make bench` on {datetime.now(timezone.utc):%Y-%m-%d}, on {os.cpu_count()} cores, all in one run. "
        "The workload is listen events of the simulator (8,600 users, about 33,300 events a day, two level changes a "
        "user in 30 days) in one topic of two partitions. A full load is one new process, Spark's start included; an "
        f"increment is {increment:,} newer events in the same process: the median of the second half of them.",
        "",
        "| way | events before | full load | beside the notebook's | increment | beside the notebook's |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    notebooks = {m.events: m for m in measured if m.way == "notebook"}
    for m in measured:
        notebook = notebooks.get(m.events)
        full, again = (
            ("-", "-")
            if notebook is None
            else (f"{m.full_load / notebook.full_load:.2f}", f"{m.increment / notebook.increment:.2f}")
        )
        lines.append(
            f"| {TITLES[m.way]} | {m.events:,} | {m.full_load:.1f} s | {full} | {m.increment:.1f} s | {again} |"
        )
    lines += ["", *notes]
    for m in measured:
        if m.steps_of_increment:
            lines += [f"## Where the time goes, {m.events:,} events", ""]
            lines += ["The times overlap: tables of one stage are kept side by side.", ""]
            lines += [*_steps(m), ""]
        if m.spent_in_increment:
            lines += [SPENT, "", *_spent(m), ""]
    return "\n".join(lines) + "\n"
