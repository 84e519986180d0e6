"""Which fault happens when: drawn by a seed, so that a soak can be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

BROKER, RUN, SPARK, DAEMON, DISK, DIRT = "broker_restart", "run_kill", "spark_kill", "daemon_kill", "disk_full", "dirt"
KINDS = {
    BROKER: "Kafka's broker is stopped; `up` starts it again",
    RUN: "the process of the run that holds the lake gets SIGKILL",
    SPARK: "Spark's server gets SIGKILL",
    DAEMON: "Dagster's daemon gets SIGKILL",
    DISK: "the lake's disk is full for a while",
    DIRT: "for a while three in ten messages of a second sender have a fault",
}


@dataclass(frozen=True)
class Planned:
    """A fault that is to happen so many seconds after the first run has succeeded."""

    second: float
    kind: str


def plan(seed: int, seconds: float, every: float, kinds: Sequence[str]) -> list[Planned]:
    """A fault every so many seconds, somewhere in the middle half of each such stretch, over so many seconds.

    Each kind comes once before any comes again, in an order drawn anew each time; none comes twice in a row, unless
    there is but one.
    """
    rng, drawn = Random(seed), list[str]()
    stretches = int(seconds // every)
    while kinds and len(drawn) < stretches:
        order = rng.sample(kinds, len(kinds))
        if drawn and order[0] == drawn[-1]:
            order.append(order.pop(0))
        drawn += order
    return [Planned(every * (number + rng.uniform(0.25, 0.75)), kind) for number, kind in enumerate(drawn[:stretches])]
