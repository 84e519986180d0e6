"""`make bench`: the platform beside its yardsticks. Options: --events, --increments, --ways, --seed."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from music_lakehouse.settings import Settings
from music_lakehouse.simulator.broker import EmbeddedBroker, free_port
from music_lakehouse.simulator.reference import write_reference
from music_lakehouse_tests.benchmarks import report
from music_lakehouse_tests.benchmarks.workload import EVENTS_A_DAY, Workload

INCREMENT = 10_000
REPOSITORY = Path(__file__).parents[2]


class Way:
    """A measured process, which is told piece by piece what to do."""

    def __init__(self, kind: str, root: Path, settings: Settings, reference: Path) -> None:
        directory = root / kind
        directory.mkdir()
        environment = {
            **os.environ,
            "LAKEHOUSE_ROOT": str(directory / "lake"),
            "REFERENCE_ROOT": str(reference),
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        }
        self.kind = kind
        with (root / f"{kind}.log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "music_lakehouse_tests.benchmarks.measure", kind, str(directory)],
                env=environment,
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
        print(f"{self.kind:10} {order:6} {measured['seconds']:8.1f} s", flush=True)
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
    write_reference(root / "reference")
    with EmbeddedBroker(root / "broker", port):
        workload = Workload(settings, days=events // EVENTS_A_DAY + 1, seed=seed)
        print(f"sent {workload.send(events):,} listen events; logs in {root}", flush=True)
        started: list[Way] = []
        try:
            first = {}
            for kind in ways:
                started.append(Way(kind, root, settings, root / "reference"))
                first[kind] = started[-1].run("first")
            again: dict[str, list[dict[str, Any]]] = {kind: [] for kind in ways}
            for _ in range(increments):
                workload.send(INCREMENT)
                for way in started:
                    again[way.kind].append(way.run("again"))
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
        )
        for kind in ways
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, nargs="+", default=[1_000_000, 4_000_000])
    arguments.add_argument("--increments", type=int, default=6)
    arguments.add_argument("--ways", nargs="+", default=["raw_copy", "notebook", "platform"], choices=report.TITLES)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--json", type=Path, default=REPOSITORY / "data" / "benchmarks")
    options = arguments.parse_args()
    print(f"seed {options.seed}")
    measured = [m for events in options.events for m in measure(events, options.increments, options.ways, options.seed)]
    report.write(measured, INCREMENT, options.json, REPOSITORY / "docs" / "benchmarks.md")


if __name__ == "__main__":
    main()
