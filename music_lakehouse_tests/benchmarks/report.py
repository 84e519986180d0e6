"""The benchmark's figures as JSON and as a page."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
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


TITLES = {
    "platform": "the platform, all tables and checks, exactly once",
    "raw_copy": "a plain copy of the topic into one Delta table",
    "notebook": "the notebook way, at its best settings",
}


def write(measured: list[Measured], increment: int, directory: Path, docs: Path) -> None:
    """Write `benchmarks.json` to the directory and the page to `docs`."""
    machine = {
        "when": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "increment": increment,
        "measured": [{**asdict(m), "increment": m.increment} for m in measured],
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "benchmarks.json").write_text(json.dumps(machine, indent=1) + "\n")
    docs.write_text(page(measured, increment))


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
        "| way | events before | full load | increment | increment beside the notebook's |",
        "|---|---:|---:|---:|---:|",
    ]
    notebooks = {m.events: m for m in measured if m.way == "notebook"}
    for m in measured:
        beside = f"{m.increment / notebooks[m.events].increment:.2f}" if m.events in notebooks else "-"
        lines.append(f"| {TITLES[m.way]} | {m.events:,} | {m.full_load:.1f} s | {m.increment:.1f} s | {beside} |")
    for m in measured:
        if m.steps_of_increment:
            lines += ["", f"## Where the time goes, {m.events:,} events", ""]
            lines += ["Of an increment the times overlap: tables of one stage are kept side by side.", ""]
            lines += ["| table | full load | increment |", "|---|---:|---:|"]
            steps = sorted(m.steps_of_increment.items(), key=lambda item: -item[1])
            lines += [
                f"| {name} | {m.steps_of_full_load.get(name, 0):.2f} s | {seconds:.2f} s |" for name, seconds in steps
            ]
    return "\n".join(lines) + "\n"
