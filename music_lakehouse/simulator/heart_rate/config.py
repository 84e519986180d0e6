"""What a simulation of heart rates is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from music_lakehouse.simulator.heart_rate.patients import PEOPLE

SECONDS_BETWEEN = 300
"""Between two recordings of one person."""


@dataclass(frozen=True, kw_only=True)
class HeartRateConfig:
    """One landing: `files` files of `recordings` recordings each.

    `seed` decides what is drawn at random, `dirty` (0 to 1) is the share of recordings with a fault; above 0 there are
    faulty files too. From `start` on, each person is recorded every five minutes; without it the recordings go on where
    the landed ones end, or begin such that they end now. A start without a time zone is taken as UTC.
    Raises ValueError where a value makes no sense.
    """

    files: int = 24
    recordings: int = 1000
    seed: int = 1
    dirty: float = 0.0
    start: datetime | None = None

    def __post_init__(self) -> None:
        for name, low, high in (("files", 1, 100_000), ("recordings", 1, 10_000_000), ("dirty", 0, 1)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}: give a number from {low} to {high}")
        if self.start is not None and self.start.tzinfo is None:
            object.__setattr__(self, "start", self.start.replace(tzinfo=timezone.utc))

    @property
    def length(self) -> timedelta:
        """How long all files together last, at five minutes between a person's recordings."""
        return timedelta(seconds=SECONDS_BETWEEN / (PEOPLE + 1)) * self.recordings * self.files
