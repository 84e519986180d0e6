"""The recordings of a stretch of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

from music_lakehouse.simulator.draws import below, happens, one_of
from music_lakehouse.simulator.heart_rate.patients import Patient
from music_lakehouse.simulator.heart_rate.rhythm import heart_rate
from music_lakehouse.simulator.landing import EPOCH

Recording = dict[str, Any]

# Shares of the recordings: sent twice, sent up to six hours late by a device that was out of reach, numbers as text;
# and of a device that slipped, which has no heart rate or one that no heart has.
REPEATED, LATE, AS_TEXT, SLIPPED = 0.01, 0.02, 0.03, 0.005
LATEST_SECONDS = 6 * 3600
ABSURD = (0, -4.0, 19.75, 300.25, 999.5, 1e6)


def recordings(
    people: Sequence[Patient], start: datetime, end: datetime, count: int, *, seed: int, rng: Random
) -> Iterator[Recording]:
    """`count` recordings, evenly spread from `start` to `end`, the people in turn; some are late, some repeat the one
    before, some have their numbers as text, some a heart rate that is missing or absurd."""
    last: Recording | None = None
    for number in range(count):
        moment = start + number * (end - start) / count
        if last is not None and happens(REPEATED, rng):
            yield last
            continue
        if happens(LATE, rng):
            moment -= timedelta(seconds=1 + below(LATEST_SECONDS, rng))
        last = _recording(people[number % len(people)], moment, seed=seed, rng=rng)
        if happens(AS_TEXT, rng):
            last = {name: None if value is None else str(value) for name, value in last.items()}
        yield last


def _recording(person: Patient, moment: datetime, *, seed: int, rng: Random) -> Recording:
    rate: float | None = heart_rate(person, moment, seed=seed, rng=rng)
    if happens(SLIPPED, rng):
        rate = None if happens(0.5, rng) else one_of(ABSURD, rng)
    return {
        "device_id": person.device_id,
        "mrn": person.mrn,
        "time": float((moment - EPOCH) // timedelta(microseconds=1)),
        "heartrate": rate,
    }
