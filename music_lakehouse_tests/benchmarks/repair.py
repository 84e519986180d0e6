"""What it costs to compute a stretch of time again, and to forget a user, in a lake of some hundred thousand events.

    python -m music_lakehouse_tests.benchmarks.repair [--events 300000] [--users 5000]

Each command is a process of its own, as a user types it; the processor's seconds are those of all its processes.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

from music_lakehouse.simulator.broker import EmbeddedBroker, free_port
from music_lakehouse_tests.cli.place import Place
from music_lakehouse_tests.oracle.lake import read_table

PARTS = 10
"""One in so many of the messages comes after the others: that stretch is computed again."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--users", type=int, default=5_000)
    given = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="music-lakehouse-repair-"))
    print(f"it works in {root}", flush=True)
    with EmbeddedBroker(root / "broker", free_port()) as broker:
        place = Place(root, {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers})
        events = given.events * (PARTS - 1) // PARTS
        users = ("--users", str(given.users))
        timed(place, f"simulate {events:,} events", "simulate", "--events", str(events), *users)
        since = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=1)
        time.sleep(1)
        more = ("--events", str(given.events // PARTS), "--seed", "2")
        timed(place, f"simulate {given.events // PARTS:,} more", "simulate", *more, *users)
        until = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=1)
        timed(place, "run streaming_pipeline", "run", "streaming_pipeline")
        stretch = ("--from", f"{since:%Y-%m-%dT%H:%M:%S}", "--to", f"{until:%Y-%m-%dT%H:%M:%S}", "--yes")
        timed(place, "reprocess, of a tenth of the messages, bronze and all downstream", "reprocess", *stretch)
        timed(place, "reprocess, of them gold.fact_streams and downstream", "reprocess", *stretch, "gold.fact_streams")
        listeners = Counter(row["userId"] for row in read_table(place.lake, "gold.fact_streams"))
        [(user, streams)] = listeners.most_common(1)
        timed(place, f"forget-user, one with {streams:,} streams", "forget-user", str(user), "--yes")


def timed(place: Place, what: str, *command: str) -> None:
    """Run the command, and print a line of the table. Fails where it fails."""
    began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = place.run(*command)
    assert ran.code == 0, ran.out + ran.err
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    print(f"| {what} | {time.monotonic() - began:.0f} s | {processor:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
