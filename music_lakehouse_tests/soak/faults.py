"""What is done to a running `up`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import psutil

from music_lakehouse.lakehouse.locks import current_holder
from music_lakehouse.simulator.broker import EmbeddedBroker
from music_lakehouse.supervisor.program import Program
from music_lakehouse_tests.end_to_end.running import Up
from music_lakehouse_tests.soak import schedule
from music_lakehouse_tests.soak.disk import Disk
from music_lakehouse_tests.soak.processes import DAEMON, look

RUN_WITHIN_SECONDS = 40.0
FULL_SECONDS = 20.0
DIRT_SECONDS = 15.0
DIRTY_SHARE = 0.3


@dataclass(frozen=True)
class Happened:
    """A fault, from when to when it lasted (epoch seconds), and what was done."""

    kind: str
    since: float
    until: float
    told: str


class Faults:
    """Does the faults to this `up`, whose lake has a disk of its own, if it has; `rate` is that of the events."""

    def __init__(self, up: Up, disk: Disk | None, rate: float, seed: int) -> None:
        self._up, self._disk, self._rate = up, disk, rate
        self._rng = Random(seed)
        self._does: dict[str, Callable[[], str]] = {
            schedule.BROKER: self._stop_broker,
            schedule.RUN: self._kill_run,
            schedule.SPARK: self._kill_spark,
            schedule.DAEMON: self._kill_daemon,
            schedule.DISK: self._fill_disk,
            schedule.DIRT: self._send_dirt,
        }

    def inject(self, kind: str) -> Happened:
        """Do it, and return once it is over."""
        since = time.time()
        told = self._does[kind]()
        return Happened(kind, since, time.time(), told)

    def _stop_broker(self) -> str:
        broker = EmbeddedBroker(self._up.directory / "broker", self._up.kafka)
        return "the broker was stopped" if broker.stop() else "no broker ran"

    def _kill_run(self) -> str:
        """That of the process that holds the lake, at any point of its work."""
        deadline = time.monotonic() + RUN_WITHIN_SECONDS
        while time.monotonic() < deadline:
            holder = current_holder(self._up.lake.root)
            if holder is not None:
                time.sleep(self._rng.uniform(0, 10))
                with suppress(psutil.NoSuchProcess):
                    psutil.Process(holder.processes[0].pid).kill()
                    return f"run {holder.run_id} was killed"
            time.sleep(0.2)
        return "no run held the lake"

    def _kill_spark(self) -> str:
        server = self._up.spark_server()
        if server is None:
            return "no server ran"
        server.kill()
        return f"process {server.pid} was killed"

    def _kill_daemon(self) -> str:
        for found in look(self._up.children):
            if found.part == DAEMON:
                psutil.Process(found.pid).kill()
                return f"process {found.pid} was killed"
        return "no daemon ran"

    def _fill_disk(self) -> str:
        assert self._disk is not None, "a disk that can be filled is needed"
        leave = self._rng.choice((0, 64_000, 500_000))
        with self._disk.full(leave=leave):
            time.sleep(FULL_SECONDS)
        return f"{leave:,} bytes were left for {FULL_SECONDS:.0f} s"

    def _send_dirt(self) -> str:
        sender = simulator(self._up, self._rate / 4, DIRTY_SHARE, seed=self._rng.randrange(10**6), name="Dirt")
        sender.start()
        time.sleep(DIRT_SECONDS)
        sender.stop()
        return f"{DIRTY_SHARE:.0%} of what came for {DIRT_SECONDS:.0f} s at {self._rate / 4:g} events a second"


def simulator(up: Up, rate: float, dirty: float, *, seed: int, name: str = "Simulator") -> Program:
    """`music-lakehouse simulate --live` to the broker of `up`, such a share of the messages with a fault."""
    options = ["--live", str(rate), "--dirty", str(dirty), "--seed", str(seed)]
    return Program(
        name,
        [sys.executable, "-m", "music_lakehouse.cli.main", "simulate", *options],
        log=up.directory / f"{name.lower()}.log",
        environment=up.environment,
        directory=up.directory,
    )
