"""How fast a heart beats: a person's own rate, slower by night, faster in exercise."""

from __future__ import annotations

import math
from datetime import date, datetime
from functools import lru_cache
from random import Random

from music_lakehouse.simulator.draws import below, happens
from music_lakehouse.simulator.heart_rate.patients import Patient

QUIETEST_HOUR = 4
SWING = 8
EXERCISE_MINUTES = 45
DAYS_WITH_EXERCISE = 0.5


def heart_rate(person: Patient, moment: datetime, *, seed: int, rng: Random) -> float:
    """Beats a minute in quarters, from 40 to 200: sums of quarters are exact, so that a mean is the same however it is
    computed."""
    hour = moment.hour + moment.minute / 60
    rate = person.resting - SWING * math.cos(2 * math.pi * (hour - QUIETEST_HOUR) / 24)
    start = _exercise(person.mrn, moment.date(), seed)
    if start is not None:
        minute = hour * 60 - start
        if 0 <= minute < EXERCISE_MINUTES:
            rate += (90 - 40 * person.fitness) * math.sin(math.pi * minute / EXERCISE_MINUTES)
    rate += 8 * (rng.random() - 0.5)
    return min(max(round(rate * 4) / 4, 40.0), 200.0)


@lru_cache(maxsize=4096)
def _exercise(mrn: int, day: date, seed: int) -> int | None:
    """The minute of the day at which the person begins to exercise, None on days without."""
    rng = Random(f"exercise {seed} {mrn} {day}")
    return 6 * 60 + below(14 * 60, rng) if happens(DAYS_WITH_EXERCISE, rng) else None
