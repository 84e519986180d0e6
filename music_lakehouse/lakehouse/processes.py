"""A process of this host, told from a later one that was given its number."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one with the same id: with its start time (epoch seconds)."""

    pid: int
    started: float

    @staticmethod
    def of(pid: int) -> Process:
        """The one that has this number now; raises psutil.NoSuchProcess where none has."""
        return Process(pid, psutil.Process(pid).create_time())

    @property
    def alive(self) -> bool:
        """Whether it runs; not where all that is left of it waits for whoever started it to ask how it ended."""
        try:
            # Loosely, as psutil derives start times from the wall clock.
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) < 1 and process.status() not in ENDED
        except psutil.NoSuchProcess:
            return False

    def ends_within(self, seconds: float) -> bool:
        """Whether it has ended by then; returns as soon as it has."""
        deadline = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)
        return True
