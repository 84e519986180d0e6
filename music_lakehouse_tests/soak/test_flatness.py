from __future__ import annotations

from random import Random

import pytest

from music_lakehouse_tests.soak.flatness import Limit, Point, growth

END = 3600.0
LIMIT = Limit(share=0.1, beside=5)


def line(level: float, slope: float, *, rng: Random | None = None, noise: float = 0.0) -> list[Point]:
    """A point every ten seconds for an hour; `slope` is by hour."""
    draw = rng or Random(0)
    return [Point(10.0 * n, level + slope * n / 360 + noise * draw.uniform(-1, 1)) for n in range(360)]


def test_what_stays_is_flat() -> None:
    found = growth(line(100, 0), END, LIMIT)
    assert found is not None
    assert (found.level, found.grown, found.allowed, found.flat) == (100, 0, 15, True)


@pytest.mark.parametrize(("slope", "flat"), [(20, True), (40, False), (-300, True)])
def test_what_grows_by_more_than_is_allowed_over_the_second_half_is_not(slope: float, flat: bool, seed: int) -> None:
    found = growth(line(100, slope, rng=Random(seed), noise=10), END, LIMIT)
    assert found is not None
    assert found.grown == pytest.approx(slope / 2, abs=3)
    assert found.flat is flat


def test_growth_in_the_first_half_is_warming_up() -> None:
    points = [Point(point.second, min(point.second, END / 2)) for point in line(0, 0)]
    found = growth(points, END, LIMIT)
    assert found is not None
    assert found.grown == 0


def test_a_few_outliers_are_no_growth() -> None:
    points = [Point(p.second, 1000.0 if n % 20 == 19 else p.value) for n, p in enumerate(line(100, 0))]
    found = growth(points, END, LIMIT)
    assert found is not None
    assert found.flat


def test_what_a_killed_process_held_says_nothing_of_the_next_one() -> None:
    """Each life begins at 100 and stays, but the first held more."""
    points = [Point(p.second, 100 if p.second > 2700 else 50, life=int(p.second > 2700)) for p in line(0, 0)]
    found = growth(points, END, LIMIT)
    assert found is not None
    assert found.grown == 0


def test_a_leak_in_each_of_several_lives_is_seen() -> None:
    points = [Point(p.second, 100 + p.second % 600, life=int(p.second // 600)) for p in line(0, 0)]
    found = growth(points, END, LIMIT)
    assert found is not None
    assert found.grown == pytest.approx(1800)
    assert not found.flat


def test_the_first_seconds_of_a_life_do_not_count() -> None:
    points = [Point(p.second, min(100, p.second % 600), life=int(p.second // 600)) for p in line(0, 0)]
    warm = growth(points, END, LIMIT, warm=120)
    assert warm is not None
    assert warm.grown == 0


def test_lives_that_are_too_short_tell_nothing() -> None:
    points = [Point(p.second, p.second, life=int(p.second // 100)) for p in line(0, 0)]
    assert growth(points, END, LIMIT) is None
    assert growth([], END, LIMIT) is None


def test_a_handful_of_points_is_needed_to_tell() -> None:
    points = line(100, 0)[180::40]
    assert len(points) == 5
    assert growth(points, END, LIMIT) is not None
    assert growth(points[:4], END, LIMIT) is None
