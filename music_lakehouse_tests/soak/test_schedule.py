from __future__ import annotations

from collections import Counter
from itertools import pairwise

from music_lakehouse_tests.soak.schedule import KINDS, plan


def test_the_same_seed_draws_the_same_faults_and_another_one_others() -> None:
    assert plan(7, 3600, 60, list(KINDS)) == plan(7, 3600, 60, list(KINDS))
    assert plan(7, 3600, 60, list(KINDS)) != plan(8, 3600, 60, list(KINDS))


def test_there_is_a_fault_in_every_stretch_and_room_before_the_next(seed: int) -> None:
    planned = plan(seed, 3630, 60, list(KINDS))
    assert [int(fault.second // 60) for fault in planned] == list(range(60))
    assert all(later.second - earlier.second >= 30 for earlier, later in pairwise(planned))


def test_every_kind_comes_as_often_as_any_other_and_none_twice_in_a_row(seed: int) -> None:
    kinds = [fault.kind for fault in plan(seed, 60 * 60, 60, list(KINDS))]
    assert Counter(kinds) == dict.fromkeys(KINDS, 10)
    assert all(earlier != later for earlier, later in pairwise(kinds))


def test_one_kind_alone_may_repeat_and_none_gives_none() -> None:
    assert [fault.kind for fault in plan(1, 180, 60, ["dirt"])] == ["dirt"] * 3
    assert plan(1, 180, 60, []) == []
