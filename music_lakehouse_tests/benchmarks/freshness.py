"""How long an event takes from Kafka to gold.wide_streams while `music-lakehouse up` runs.

    python -m music_lakehouse_tests.benchmarks.freshness [--rates 10 100 1000] [--seconds 90]

Live events carry the moment at which they are sent, and the change feed of wide_streams tells when each of its rows was
committed: the difference is measured for every listen event that was sent, after the first run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import datetime, timezone
from itertools import takewhile
from pathlib import Path
from statistics import median, quantiles

import pyarrow as pa

from music_lakehouse.defs.listening.backlogs import find_backlogs, rows_behind_gold
from music_lakehouse.defs.listening.gold_tables import WIDE_STREAMS
from music_lakehouse.simulator.config import SimulatorConfig
from music_lakehouse.simulator.reference import write_reference
from music_lakehouse.simulator.simulation import simulate
from music_lakehouse.simulator.sinks import paced, to_kafka
from music_lakehouse_tests.end_to_end.running import Up

WARM_SECONDS = 20.0
USERS = 200


def send(up: Up, rate: float, seconds: float) -> datetime:
    """Send so many events a second for so long; when that began, UTC."""
    began = datetime.now(timezone.utc)
    end = (time.time() + seconds) * 1000
    messages = paced(simulate(SimulatorConfig(users=USERS, days=None, live_rate=rate)))
    to_kafka(takewhile(lambda message: message.timestamp < end, messages), up.settings)
    return began


def wait_until_gold_has_all(up: Up) -> None:
    def has_all() -> bool:
        backlogs, _ = find_backlogs(up.lake, up.settings)
        return not any(backlog.unread for backlog in backlogs) and rows_behind_gold(up.lake) == 0

    up.wait_for(has_all, "all events in gold", 300)


def delays(up: Up, since: datetime, version: int) -> list[float]:
    """Of each stream since, that a version behind this one brought, the seconds from its event to its commit."""
    table = up.lake.open(WIDE_STREAMS)
    assert table is not None
    feed = pa.table(table.load_cdf(starting_version=version + 1)).to_pylist()
    utc = timezone.utc
    return [
        (row["_commit_timestamp"].replace(tzinfo=utc) - row["timestamp"]).total_seconds()
        for row in feed
        if row["_change_type"] == "insert" and row["timestamp"] >= since
    ]


def measure(rate: float, seconds: float) -> list[float]:
    """The delays of all streams at that rate, in a lake and an `up` of their own."""
    root = Path(tempfile.mkdtemp(prefix="music-lakehouse-freshness-"))
    print(f"{rate:g} events a second; logs in {root}", flush=True)
    up = Up(root, "--no-simulator", "--no-dashboard")
    try:
        write_reference(up.settings.reference_root)
        up.wait_for(lambda: len(up.listening()) == 3, "all ports", 180)
        send(up, rate, WARM_SECONDS)
        wait_until_gold_has_all(up)
        state = up.lake.state(WIDE_STREAMS)
        assert state is not None
        since = send(up, rate, seconds)
        wait_until_gold_has_all(up)
        return delays(up, since, state.version)
    finally:
        up.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[10.0, 100.0, 1000.0])
    parser.add_argument("--seconds", type=float, default=90.0)
    given = parser.parse_args()
    for rate in given.rates:
        found = measure(rate, given.seconds)
        slow = quantiles(found, n=20)[-1]
        print(f"| {rate:g} | {len(found):,} | {median(found):.1f} s | {slow:.1f} s |", flush=True)


if __name__ == "__main__":
    main()
