from __future__ import annotations

from datetime import date, datetime, timezone
from random import Random
from statistics import mean

import pytest

from music_lakehouse.simulator.clock import DAY, Clock, exponential, us_holidays
from music_lakehouse.simulator.config import SimulatorConfig

CLOCK = Clock(SimulatorConfig())


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp())


def test_holidays_fall_on_their_days() -> None:
    assert us_holidays(2018) == {
        date(2018, 1, 1),
        date(2018, 1, 15),
        date(2018, 2, 19),
        date(2018, 5, 28),
        date(2018, 7, 4),
        date(2018, 9, 3),
        date(2018, 10, 8),
        date(2018, 11, 11),
        date(2018, 11, 22),
        date(2018, 12, 25),
    }
    assert date(2024, 6, 19) in us_holidays(2024)


@pytest.mark.parametrize(
    ("at", "damping"),
    [
        ("2024-01-10 12:00:00", 0),  # a Wednesday
        ("2024-01-12 21:00:00", 0),  # Friday, three hours before the weekend
        ("2024-01-12 22:30:00", 0.125),
        ("2024-01-13 00:00:00", 0.25),
        ("2024-01-13 01:30:00", 0.375),
        ("2024-01-13 03:00:00", 0.5),
        ("2024-01-14 00:00:00", 0.5),  # between Saturday and Sunday
        ("2024-01-15 00:00:00", 0.5),  # Monday is Martin Luther King Jr. Day
        ("2024-01-15 21:00:00", 0.5),
        ("2024-01-16 00:00:00", 0.25),
        ("2024-01-16 01:30:00", 0.125),
        ("2024-01-16 03:00:00", 0),
        ("2024-07-04 12:00:00", 0.5),  # a Thursday
    ],
)
def test_weekends_and_holidays_are_damped_with_a_ramp_around_midnight(at: str, damping: float) -> None:
    assert CLOCK.damping_at(seconds(at)) == pytest.approx(damping)


def test_the_warp_moves_times_towards_the_afternoon() -> None:
    day = seconds("2024-01-10 00:00:00")
    assert CLOCK.warp(day + 3 * 3600) == day + 3 * 3600
    assert CLOCK.warp(day + 15 * 3600) == pytest.approx(day + 15 * 3600, abs=1)
    assert CLOCK.warp(day + 9 * 3600) == day + 9 * 3600 + int(0.09375 * DAY)
    assert CLOCK.warp(day + 21 * 3600) == day + 21 * 3600 - int(0.09375 * DAY)


def test_a_session_never_begins_before_the_last_event(seed: int) -> None:
    print(f"seed {seed}")
    rng = Random(seed)
    for number in range(5000):
        last = seconds("2024-01-10 00:00:00") + 997 * number
        assert CLOCK.next_session(last, 3000, rng) >= last


def test_the_first_session_begins_at_most_beta_before_the_start(seed: int) -> None:
    print(f"seed {seed}")
    rng = Random(seed)
    start = seconds("2024-01-10 00:00:00")
    assert all(CLOCK.first_session(start, 50_000, rng) >= start - 50_000 for _ in range(2000))


def test_exponential_draws_have_their_mean_and_may_be_nothing(seed: int) -> None:
    print(f"seed {seed}")
    rng = Random(seed)
    draws = [exponential(90, rng) for _ in range(20_000)]
    assert mean(draws) == pytest.approx(89.5, rel=0.05)
    assert min(draws) == 0
