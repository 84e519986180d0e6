"""Where users live: some 200 cities of the United States, by population."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from music_lakehouse.simulator.weighted import Weighted, read_rows


@dataclass(frozen=True)
class City:
    """A real city with one of its ZIP codes (leading zeros kept) and that ZIP code's coordinates in degrees."""

    name: str
    state: str
    zip_code: str
    latitude: float
    longitude: float


@lru_cache(maxsize=1)
def cities() -> Weighted[City]:
    """The cities of `tables/cities.csv`, weighted by population."""
    return Weighted(
        (City(row["city"], row["state"], row["zip"], float(row["lat"]), float(row["lon"])), float(row["population"]))
        for row in read_rows("cities.csv")
    )
