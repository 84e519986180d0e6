"""When users come: gaps between sessions, the crowd of the afternoon, quiet weekends and holidays. All in UTC."""

from __future__ import annotations

import math
from datetime import date, timedelta
from functools import lru_cache
from random import Random

from music_lakehouse.simulator.config import SimulatorConfig

DAY = 86_400
QUIETEST_SECOND = 3 * 3600
_EPOCH = date(1970, 1, 1)


class Clock:
    """Draws the times of sessions. Times are whole epoch seconds."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._gap = config.session_gap
        self._swing = config.damping * DAY
        self._weekend_damping = config.weekend_damping
        self._offset = config.weekend_damping_offset * 60
        self._scale = config.weekend_damping_scale * 60

    def first_session(self, start: int, beta: float, rng: Random) -> int:
        """The start of a session that may begin up to `beta` seconds before `start`, as of a user who came before."""
        at = self.next_session(start - int(2 * beta), beta, rng)
        while start - at > beta:
            at = self.next_session(at, beta, rng)
        return at

    def next_session(self, last: int, beta: float, rng: Random) -> int:
        """The start of a user's next session, not before `last`, the time of the user's last event."""
        while True:
            at = self.warp(last + self._gap + exponential(beta, rng))
            if at < last:
                last += self._gap
                continue
            share = self.damping_at(at)
            if share == 0 or rng.random() >= share:
                return at
            last = at

    def warp(self, at: int) -> int:
        """Moves a time towards 15:00 and away from 03:00."""
        return at + math.floor(self._swing * math.sin(2 * math.pi * (at % DAY - QUIETEST_SECOND) / DAY))

    def damping_at(self, at: int) -> float:
        """The share of sessions that don't take place: on a weekend or holiday `weekend_damping`, around the midnights
        that open and close it a ramp, on other days nothing."""
        day, second = divmod(at, DAY)
        since_midnight, until_midnight = second, DAY - second
        rest = is_rest_day(day)
        ramp = 1.0 if rest else 0.0
        if rest != is_rest_day(day - 1):
            ramp = self._ramp(rest, since_midnight, ramp)
        if rest != is_rest_day(day + 1):
            ramp = self._ramp(rest, until_midnight, ramp)
        return self._weekend_damping * ramp

    def _ramp(self, rest: bool, distance: int, ramp: float) -> float:
        """The part of the damping at `distance` seconds from a midnight that a rest day begins or ends with. Outside of
        the rest day it begins at the offset; inside it has risen by as much and goes on."""
        if rest:
            return min(ramp, (self._offset + distance) / self._scale)
        return max(ramp, min(1.0, (self._offset - distance) / self._scale))


def exponential(mean: float, rng: Random) -> int:
    """An exponentially distributed number of whole seconds, 0 included."""
    return int(-mean * math.log(1.0 - rng.random()))


@lru_cache(maxsize=1024)
def is_rest_day(day: int) -> bool:
    """Whether a day, counted from 1970-01-01, is a Saturday, a Sunday or a federal holiday of the United States."""
    then = _EPOCH + timedelta(days=day)
    return then.weekday() >= 5 or then in us_holidays(then.year)


@lru_cache(maxsize=64)
def us_holidays(year: int) -> frozenset[date]:
    """The federal holidays of a year, on their own day where that is a weekend."""
    days = {
        date(year, 1, 1),
        _nth_weekday(year, 1, 0, 3),  # Martin Luther King Jr.
        _nth_weekday(year, 2, 0, 3),  # Washington's birthday
        _nth_weekday(year, 6, 0, 1) - timedelta(days=7),  # Memorial Day: the last Monday of May
        date(year, 7, 4),
        _nth_weekday(year, 9, 0, 1),  # Labor Day
        _nth_weekday(year, 10, 0, 2),  # Columbus Day
        date(year, 11, 11),
        _nth_weekday(year, 11, 3, 4),  # Thanksgiving
        date(year, 12, 25),
    }
    if year >= 2021:
        days.add(date(year, 6, 19))
    return frozenset(days)


def _nth_weekday(year: int, month: int, weekday: int, number: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))
