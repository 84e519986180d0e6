"""The benchmark's figures as JSON and as a page."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Measured:
    """What one way took: seconds of the full load in a new process, of each warm increment, and of its tables."""

    way: str
    events: int
    full_load: float
    increments: list[float]
    steps_of_full_load: dict[str, float]
    steps_of_increment: dict[str, float]

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

NOTES = """## What it is spent on

These machines are noisy: of three full loads on 2026-11-29, each beside the notebook's in one run, the platform took
0.97, 1.26 and 1.36 of the notebook's time, and an increment 0.32, 0.30 and 0.42.

Most of a full load is Spark's: Kafka to raw, 18 s, as long as the plain copy takes without its start, and raw to
bronze, 32 to 43 s. Of a JVM that is warm bronze takes 40 microseconds of processor time a message (24 to parse so
that nothing is lost, the rest to count and to write), of a new one twice that: the first half million took 28 s, the
second 12. With only Java's first compiler a million took 160 s of processor time, with its default thresholds 99,
with ours 73 to 83. To count names in a message by its quotes, instead of parsing it a second time, took longer; to
hand parsed rows to delta-rs, instead of Spark's writer, saves a third in a warm JVM and nothing in a new one. What
follows from bronze, all of silver and gold, is some 15 s, by DuckDB; the rest is Spark's start, two reference files,
105 checks and Dagster's events.

An increment's cost is a fixed one: Spark takes messages into raw and bronze and cleans texts that it hasn't seen, about
130 events of checks and tables are stored by Dagster (1.2 s of processor time), 24 small commits are made. So it hardly
depends on the history, nor on whether there are 1,000 or 10,000 new events."""


FRESHNESS_HEADING = "## Freshness\n"
SOURCES_HEADING = "## Other sources than Kafka\n"


def write(
    measured: list[Measured],
    increment: int,
    loaded: list[Loaded],
    fresh: list[Freshness],
    directory: Path,
    docs: Path,
) -> None:
    """Write `benchmarks.json` to the directory and the page to `docs`. What was not measured stays on the page as it
    was: the streams' part, freshness, and sources, as the last `benchmarks.json` has them."""
    file = directory / "benchmarks.json"
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
        page(measured, increment) if measured else streams,
        freshness_part(fresh) if fresh else fresh_heading + freshness,
        sources_part(loaded) if loaded else sources_heading + sources,
    )
    docs.write_text("\n\n".join(part.strip() for part in parts if part.strip()) + "\n")


def freshness_part(fresh: list[Freshness]) -> str:
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
    ]
    return "\n".join(lines) + "\n"


def _with_those_before(loaded: list[Loaded], file: Path) -> list[Loaded]:
    known = json.loads(file.read_text()).get("loaded", []) if file.exists() else []
    before = [Loaded(**{f.name: one[f.name] for f in fields(Loaded)}) for one in known]
    measured = {one.title for one in loaded}
    return sorted([*loaded, *(one for one in before if one.title not in measured)], key=lambda one: one.title)


def sources_part(loaded: list[Loaded]) -> str:
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
    for one in loaded:
        lines += ["", f"### {one.title}: {one.rows:,} {one.kind_of_rows}", "", *_steps(one)]
    return "\n".join(lines) + "\n"


def _steps(m: Measured | Loaded) -> list[str]:
    steps = sorted(m.steps_of_increment.items(), key=lambda item: -item[1])
    steps = [(name, seconds) for name, seconds in steps if seconds + m.steps_of_full_load.get(name, 0) > 0.2]
    return [
        "| table | full load | increment |",
        "|---|---:|---:|",
        *(f"| {name} | {m.steps_of_full_load.get(name, 0):.2f} s | {seconds:.2f} s |" for name, seconds in steps),
    ]


def page(measured: list[Measured], increment: int) -> str:
    """The page in Markdown."""
    lines = [
        "# Benchmarks",
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
    lines += ["", NOTES]
    for m in measured:
        if m.steps_of_increment:
            lines += ["", f"## Where the time goes, {m.events:,} events", ""]
            lines += ["The times overlap: tables of one stage are kept side by side.", ""]
            lines += _steps(m)
    return "\n".join(lines) + "\n"
