"""When a figure that is looked at again and again counts as flat."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

FEWEST_POINTS, MOST_POINTS = 5, 300


@dataclass(frozen=True)
class Point:
    """A figure at a moment (seconds since the beginning). `life` tells apart what was begun anew in between, a process
    that was killed, say: its first seconds say nothing of the life before."""

    second: float
    value: float
    life: int = 0


@dataclass(frozen=True)
class Limit:
    """How much a figure may grow over the second half: so great a share of its median there, and this much besides."""

    share: float
    beside: float


@dataclass(frozen=True)
class Growth:
    """How a figure fared over the second half: its median, what it grew by, and by how much it might."""

    level: float
    grown: float
    allowed: float

    @property
    def flat(self) -> bool:
        return self.grown <= self.allowed


def growth(points: Iterable[Point], end: float, limit: Limit, *, warm: float = 0.0) -> Growth | None:
    """What a figure grew by over the second half of `end` seconds: the median slope of all pairs of its points there
    (Theil and Sen), times the half's length.

    Only pairs of one life count that lie an eighth of the half or more apart, and of each life only what comes after
    its first `warm` seconds. None where no life lasts so long, or there are fewer than five points: then nobody can
    tell.
    """
    born: dict[int, float] = {}
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: point.second):
        since = born.setdefault(point.life, point.second)
        if point.second >= end / 2 and point.second - since >= warm:
            kept.append(point)
    slopes = [
        (later.value - earlier.value) / (later.second - earlier.second)
        for earlier, later in combinations(_thinned(kept), 2)
        if earlier.life == later.life and later.second - earlier.second >= end / 16
    ]
    if not slopes or len(kept) < FEWEST_POINTS:
        return None
    level = median(point.value for point in kept)
    return Growth(level, median(slopes) * end / 2, limit.share * level + limit.beside)


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """So many of the points that all their pairs can be looked at."""
    return points[:: len(points) // MOST_POINTS + 1]
