"""What a simulation of landing customers is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

MOST_CHUNKS = 200


@dataclass(frozen=True, kw_only=True)
class CustomersConfig:
    """One landing: all of TPC-H of a scale (1: 150,000 customers, 1,500,000 orders), a table cut into `chunks` files.

    `seed` decides what is drawn at random, `dirty` (0 to 1) is the share of rows with a fault; above 0 there are faulty
    files too. The files land in the days from `start` on, one day a chunk. Without it: evenly up to now, from the last
    landing on, or from as many days ago as there are chunks. A start without a time zone is taken as UTC.
    Raises ValueError where a value makes no sense.
    """

    scale: float = 0.01
    chunks: int = 8
    seed: int = 1
    dirty: float = 0.0
    start: datetime | None = None

    def __post_init__(self) -> None:
        for name, low, high in (("scale", 0.001, 1000), ("chunks", 1, MOST_CHUNKS), ("dirty", 0, 1)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}: give a number from {low} to {high}")
        if self.start is not None and self.start.tzinfo is None:
            object.__setattr__(self, "start", self.start.replace(tzinfo=timezone.utc))
