from __future__ import annotations

import pytest

from music_lakehouse.lakehouse.held_before import stretches

HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("hours", "most", "found"),
    [
        pytest.param([], 9, [], id="none"),
        pytest.param([(0, 1)], 9, [(0, 1)], id="one"),
        pytest.param([(0, 0), (1, 1), (2, 3)], 9, [(0, 3)], id="those that follow each other are one"),
        pytest.param([(0, 0), (5, 5), (8, 9)], 9, [(0, 0), (5, 5), (8, 9)], id="each by itself"),
        pytest.param([(0, 0), (5, 5), (8, 9)], 2, [(0, 0), (5, 9)], id="the shortest gap is closed"),
        pytest.param([(0, 0), (5, 5), (8, 9)], 1, [(0, 9)], id="all of them"),
        pytest.param([(0, 0), (3, 3), (6, 6)], 2, [(0, 6)], id="gaps of one length are closed together"),
    ],
)
def test_times_are_made_a_few_stretches(hours: list[tuple[int, int]], most: int, found: list[tuple[int, int]]) -> None:
    of_microseconds = [(first * HOUR, last * HOUR) for first, last in hours]
    assert stretches(of_microseconds, most=most) == [(first * HOUR, last * HOUR) for first, last in found]
