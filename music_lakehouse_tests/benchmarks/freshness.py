"""How long an event takes from Kafka to gold.wide_streams while `music-lakehouse up` runs, by the sensor's runs and in
continuous mode.

    python -m music_lakehouse_tests.benchmarks.freshness [--modes sensor] [--rates 10 100] [--seconds 90] [--warm 180]

Live events carry the moment at which they are sent, and the change feed of wide_streams tells when each of its rows was
committed: the difference is measured for every listen event that was sent once events had come at that rate for the
seconds of `--warm`: Java compiles what runs often, and what runs so far is interpreted.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from itertools import takewhile
from pathlib import Path
from statistics import median, quantiles

import pyarrow as pa

from music_lakehouse.defs.listening.gold_tables import WIDE_STREAMS
from music_lakehouse.simulator.config import SimulatorConfig
from music_lakehouse.simulator.reference import write_reference
from music_lakehouse.simulator.simulation import simulate
from music_lakehouse.simulator.sinks import paced, to_kafka
from music_lakehouse_tests.benchmarks.report import Freshness, freshness_part
from music_lakehouse_tests.end_to_end.running import Up
from music_lakehouse_tests.on_the_way import on_the_way

MODES = {"sensor": [], "continuous": ["--continuous"]}
"""Options of `up`, by what the mode is called."""
RATES = [10.0, 100.0, 1000.0]
SECONDS = 90.0
WARM_SECONDS = 180.0
USERS = 200


def send(up: Up, rate: float, seconds: float) -> datetime:
    """Send so many events a second for so long; when that began, UTC."""
    began = datetime.now(timezone.utc)
    end = (time.time() + seconds) * 1000
    messages = paced(simulate(SimulatorConfig(users=USERS, days=None, live_rate=rate)))
    to_kafka(takewhile(lambda message: message.timestamp < end, messages), up.settings)
    return began


def wait_until_gold_has_all(up: Up) -> None:
    up.wait_for(lambda: on_the_way(up.lake, up.settings) == 0, "all events in gold", 300)


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


def measure(
    mode: str, rates: Sequence[float] = RATES, seconds: float = SECONDS, warm: float = WARM_SECONDS
) -> list[Freshness]:
    """How fresh gold is at each of the rates, one after the other, in a lake and an `up` of the mode's own."""
    root = Path(tempfile.mkdtemp(prefix="music-lakehouse-freshness-"))
    print(f"{mode}; logs in {root}", flush=True)
    up = Up(root, "--no-simulator", "--no-dashboard", *MODES[mode])
    try:
        write_reference(up.settings.reference_root)
        up.wait_for(lambda: len(up.listening()) == 4, "all ports", 180)
        send(up, rates[0], 5)
        wait_until_gold_has_all(up)
        return [_measure_rate(up, mode, rate, seconds, warm) for rate in rates]
    finally:
        up.stop()


def _measure_rate(up: Up, mode: str, rate: float, seconds: float, warm: float) -> Freshness:
    state = up.lake.state(WIDE_STREAMS)
    assert state is not None
    since = send(up, rate, warm + seconds) + timedelta(seconds=warm)
    wait_until_gold_has_all(up)
    found = delays(up, since, state.version)
    fresh = Freshness(mode, rate, len(found), median(found), quantiles(found, n=20)[-1])
    print(f"{mode:12} {rate:6g} a second: {fresh.median:6.1f} s, 95 % within {fresh.slow:6.1f} s", flush=True)
    return fresh


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modes", nargs="+", default=[*MODES], choices=[*MODES])
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--warm", type=float, default=WARM_SECONDS)
    given = parser.parse_args()
    found = [fresh for mode in given.modes for fresh in measure(mode, given.rates, given.seconds, given.warm)]
    print(freshness_part(found))


if __name__ == "__main__":
    main()
