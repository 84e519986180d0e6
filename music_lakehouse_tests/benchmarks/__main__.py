"""`make bench`: the platform beside its yardsticks, its pipelines of other sources than Kafka, and how fresh gold is.

Options: --events, --increments, --ways, --sources, --modes, --seed. `--events`, `--sources` and `--modes` without a
value leave theirs out; a source may have a size, as in `--sources customers=0.2`, the scale of TPC-H.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import EmbeddedBroker, free_port
from music_lakehouse.simulator.reference import write_reference
from music_lakehouse_tests.benchmarks import freshness, report
from music_lakehouse_tests.benchmarks.sources import SOURCES, Source
from music_lakehouse_tests.benchmarks.spent import Spent
from music_lakehouse_tests.benchmarks.workload import EVENTS_A_DAY, Workload

INCREMENT = 10_000
REPOSITORY = Path(__file__).parents[2]


class Way:
    """A measured process, which is told piece by piece what to do."""

    def __init__(self, kind: str, root: Path, environment: Mapping[str, str]) -> None:
        """`kind` as `measure` takes it; `environment` beside this process's own, and a lake of its own."""
        directory = root / kind
        directory.mkdir()
        self.kind = kind
        with (root / f"{kind}.log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "music_lakehouse_tests.benchmarks.measure", kind, str(directory)],
                env={**os.environ, "LAKEHOUSE_ROOT": str(directory / "lake"), **environment},
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._log = root / f"{kind}.log"

    def run(self, order: str) -> dict[str, Any]:
        """`first` or `again`: do it, and return what was measured. Raises RuntimeError where the process ended."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError(f"{self.kind} has no pipes")
        print(order, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.kind} ended; its log is {self._log}")
        measured: dict[str, Any] = json.loads(line)
        print(f"{self.kind:18} {order:6} {measured['seconds']:8.1f} s", flush=True)
        return measured

    def stop(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(60)


def measure(events: int, increments: int, ways: list[str], seed: int) -> list[report.Measured]:
    """One load of so many events and its increments, each way in a process of its own, on one broker."""
    # Not removed where something fails: the logs tell why.
    root = Path(tempfile.mkdtemp(prefix="music-lakehouse-bench-"))
    port = free_port()
    settings = Settings(kafka_bootstrap_servers=f"127.0.0.1:{port}")
    environment = {
        "REFERENCE_ROOT": str(root / "reference"),
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
    }
    write_reference(root / "reference")
    with EmbeddedBroker(root / "broker", port):
        workload = Workload(settings, days=events // EVENTS_A_DAY + 1, seed=seed)
        print(f"sent {workload.send(events):,} listen events; logs in {root}", flush=True)
        started: list[Way] = []
        try:
            first = {}
            for kind in ways:
                kind_of_process = "streaming_pipeline" if kind == "platform" else kind
                started.append(Way(kind_of_process, root, environment))
                first[kind] = started[-1].run("first")
            again: dict[str, list[dict[str, Any]]] = {kind: [] for kind in ways}
            for _ in range(increments):
                workload.send(INCREMENT)
                for kind, way in zip(ways, started, strict=True):
                    again[kind].append(way.run("again"))
        finally:
            for way in started:
                way.stop()
    return [
        report.Measured(
            kind,
            events,
            first[kind]["seconds"],
            [m["seconds"] for m in again[kind]],
            first[kind].get("steps", {}),
            again[kind][-1].get("steps", {}),
            {table: Spent(**one) for table, one in again[kind][-1].get("spent", {}).items()},
        )
        for kind in ways
    ]


@dataclass
class _History:
    """A history of a source, and the process that loads it and what is added to it."""

    source: Source
    settings: Settings
    rows: int
    way: Way
    first: dict[str, Any] = field(default_factory=dict)
    added: int = 0
    again: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def filled(cls, source: Source, size: float, seed: int) -> _History:
        root = Path(tempfile.mkdtemp(prefix="music-lakehouse-bench-"))
        database = SecretStr(f"sqlite:///{root / 'source.db'}")
        settings = Settings(landing_root=root / "landing", catalogue_database_url=database)
        rows = source.fill(settings, size, seed)
        print(f"{rows:,} {source.rows} to load; logs in {root}", flush=True)
        environment = {
            "LANDING_ROOT": str(settings.landing_root),
            "CATALOGUE_DATABASE_URL": database.get_secret_value(),
        }
        return cls(source, settings, rows, Way(source.job, root, environment))

    def grow(self, number: int) -> None:
        self.added = self.source.add(self.settings, number)
        self.again.append(self.way.run("again"))

    @property
    def loaded(self) -> report.Loaded:
        return report.Loaded(
            self.source.title,
            self.source.rows,
            self.rows,
            self.first["seconds"],
            self.added,
            [m["seconds"] for m in self.again],
            self.first["steps"],
            self.again[-1]["steps"],
        )


def measure_source(source: Source, sizes: Sequence[float], increments: int, seed: int) -> list[report.Loaded]:
    """Full loads of histories of these sizes, each in a process of its own, and increments of one after the other in
    turn: what else the machine does meanwhile, all meet."""
    histories = []
    try:
        for size in sizes:
            histories.append(_History.filled(source, size, seed))
            histories[-1].first = histories[-1].way.run("first")
        for number in range(increments):
            for history in histories:
                history.grow(number)
    finally:
        for history in histories:
            history.way.stop()
    return [history.loaded for history in histories]


def _sized(text: str) -> tuple[Source, float]:
    name, _, size = text.partition("=")
    return SOURCES[name], float(size) if size else SOURCES[name].size


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, nargs="*", default=[1_000_000, 4_000_000])
    arguments.add_argument("--increments", type=int, default=6)
    arguments.add_argument("--ways", nargs="+", default=["raw_copy", "notebook", "platform"], choices=report.TITLES)
    arguments.add_argument("--sources", nargs="*", default=[*SOURCES], help=f"of {', '.join(SOURCES)}")
    arguments.add_argument(
        "--modes", nargs="*", default=[*freshness.MODES], help="of freshness", choices=freshness.MODES
    )
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--json", type=Path, default=REPOSITORY / "data" / "benchmarks")
    options = arguments.parse_args()
    print(f"seed {options.seed}")
    measured = [m for events in options.events for m in measure(events, options.increments, options.ways, options.seed)]
    loaded = [
        one
        for source, size in map(_sized, options.sources)
        for one in measure_source(source, (size / 10, size), options.increments, options.seed)
    ]
    fresh = [one for mode in options.modes for one in freshness.measure(mode)]
    report.write(measured, INCREMENT, loaded, fresh, options.json, REPOSITORY / "docs" / "benchmarks.md")


if __name__ == "__main__":
    main()
