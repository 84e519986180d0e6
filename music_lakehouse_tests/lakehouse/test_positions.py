from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from music_lakehouse.lakehouse.delta import TableState
from music_lakehouse.lakehouse.lake import LakePaths
from music_lakehouse.lakehouse.positions import (
    Stretch,
    Told,
    begin_anew,
    begins_anew,
    compute_again,
    downstream_of,
    forget_positions,
    is_told_again,
    move_positions,
    read_positions,
    read_source_position,
    read_told,
    record_source_position,
    replace_positions,
    retrying,
)
from music_lakehouse_tests.lakehouse.items import ITEMS

STEP, OTHER = "silver.copy", "gold.copy"
FIRST, SECOND = TableState("a", 1), TableState("a", 2)
MONDAY = Stretch(datetime(2024, 1, 1, tzinfo=timezone.utc), datetime(2024, 1, 2, tzinfo=timezone.utc))


@pytest.fixture
def paths(tmp_path: Path) -> LakePaths:
    return LakePaths(str(tmp_path))


def test_a_position_is_read_as_it_was_recorded_last_and_those_of_others_stay(paths: LakePaths) -> None:
    assert read_positions(paths, STEP) == {}
    for step, state in ((STEP, FIRST), (OTHER, FIRST), (STEP, SECOND)):
        record_source_position(paths, step, ITEMS.full_name, state)
    record_source_position(paths, STEP, "songs.csv", FIRST)
    assert read_positions(paths, STEP) == {ITEMS.full_name: SECOND, "songs.csv": FIRST}
    assert read_source_position(paths, OTHER, ITEMS.full_name) == FIRST
    assert read_source_position(paths, OTHER, "songs.csv") is None
    forget_positions(paths, STEP)
    assert read_positions(paths, STEP) == {}
    assert read_positions(paths, OTHER) == {ITEMS.full_name: FIRST}


def test_what_a_step_is_told_holds_until_its_positions_are_replaced(paths: LakePaths) -> None:
    record_source_position(paths, STEP, ITEMS.full_name, FIRST)
    assert not is_told_again(paths, STEP)
    compute_again(paths, STEP, MONDAY)
    assert read_told(paths, STEP) == Told({ITEMS.full_name: FIRST}, anew=False, again=(MONDAY,))
    assert (is_told_again(paths, STEP), begins_anew(paths, STEP)) == (True, False)
    begin_anew(paths, STEP)
    assert read_told(paths, STEP) == Told({ITEMS.full_name: FIRST}, anew=True, again=(MONDAY,))
    assert read_positions(paths, STEP) == {ITEMS.full_name: FIRST}
    replace_positions(paths, STEP, {ITEMS.full_name: SECOND})
    assert read_told(paths, STEP) == Told({ITEMS.full_name: SECOND}, anew=False, again=())


def test_a_retry_is_remembered_until_it_has_ended_and_nothing_else_is_forgotten(paths: LakePaths) -> None:
    record_source_position(paths, STEP, ITEMS.full_name, FIRST)
    compute_again(paths, STEP, MONDAY)
    told = read_told(paths, STEP)
    with retrying(paths, STEP):
        assert read_told(paths, STEP) == replace(told, retry=True)
    assert read_told(paths, STEP) == told
    forget_positions(paths, STEP)
    with pytest.raises(KeyboardInterrupt), retrying(paths, STEP):
        raise KeyboardInterrupt
    assert is_told_again(paths, STEP)
    with retrying(paths, STEP):
        pass
    assert not is_told_again(paths, STEP)


def test_positions_move_where_a_step_has_taken_all_that_changed(paths: LakePaths) -> None:
    record_source_position(paths, STEP, ITEMS.full_name, SECOND)
    record_source_position(paths, OTHER, ITEMS.full_name, FIRST)
    begin_anew(paths, STEP)
    move_positions(paths, ITEMS, SECOND, 7)
    assert read_told(paths, STEP) == Told({ITEMS.full_name: TableState("a", 7)}, anew=True, again=())
    assert read_positions(paths, OTHER) == {ITEMS.full_name: FIRST}


def test_what_is_downstream_comes_nearest_first_and_without_what_was_asked_for(paths: LakePaths) -> None:
    for step, source in (("c", "b"), ("b", "a"), ("d", "a"), ("c", "a"), ("e", "z")):
        record_source_position(paths, step, source, FIRST)
    assert downstream_of(paths, ["a"]) == ["b", "c", "d"]
    assert downstream_of(paths, ["a", "b"]) == ["c", "d"]
    assert downstream_of(paths, ["c"]) == []
