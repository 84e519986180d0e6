"""A process of this host, told from a later one that was given its number."""

from __future__ import annotations

from dataclasses import dataclass

import psutil


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
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
