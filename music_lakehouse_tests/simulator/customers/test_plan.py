from __future__ import annotations

from random import Random

import pytest

from music_lakehouse.simulator.customers.plan import Delivery, Kind, plan
from music_lakehouse.simulator.customers.tpch import COLUMNS

GOOD = (Kind.WHOLE, Kind.REORDERED)


def plans(seed: int, *, dirty: bool) -> list[tuple[int, list[Delivery]]]:
    """Plans of many sizes, with how many chunks each has."""
    print(f"seed {seed}")
    rng = Random(seed)
    return [(chunks, plan(chunks, dirty=dirty, rng=rng)) for chunks in (1, 2, 3, 8, 30) for _ in range(20)]


@pytest.mark.parametrize("dirty", [False, True])
def test_each_chunk_of_each_table_lands_whole_once_and_in_order(seed: int, dirty: bool) -> None:
    for chunks, deliveries in plans(seed, dirty=dirty):
        for table in COLUMNS:
            landed = [one.chunk for one in deliveries if one.table == table and one.kind in GOOD]
            assert landed == list(range(1, chunks + 1))


@pytest.mark.parametrize("dirty", [False, True])
def test_one_chunk_a_table_is_delivered_again_after_itself(seed: int, dirty: bool) -> None:
    later = 0
    for _, deliveries in plans(seed, dirty=dirty):
        for table in COLUMNS:
            [again] = [one for one in deliveries if one.table == table and one.kind is Kind.AGAIN]
            place = deliveries.index(again)
            own = next(n for n, one in enumerate(deliveries) if one[:2] == again[:2] and one.kind in GOOD)
            assert own < place
            later += any(one.table == table and one.kind in GOOD for one in deliveries[own + 1 : place])
    assert later > 30, "chunks are delivered again after later ones, too"


def test_line_items_land_before_their_orders_and_orders_before_their_customers(seed: int) -> None:
    for _, deliveries in plans(seed, dirty=False):
        first = [one.table for one in deliveries if one.chunk == 1 and one.kind in GOOD]
        assert first == ["lineitem", "orders", "customer"]


def test_dirty_plans_have_each_faulty_file_once_a_table_and_the_good_one_after_it(seed: int) -> None:
    for _, deliveries in plans(seed, dirty=True):
        for table in COLUMNS:
            own = [one for one in deliveries if one.table == table]
            assert sum(one.kind is Kind.REORDERED for one in own) == 1
            for kind in (Kind.EMPTY, Kind.TRUNCATED, Kind.SHORT_OF_A_COLUMN):
                [faulty] = [one for one in own if one.kind is kind]
                assert any(one.chunk == faulty.chunk and one.kind in GOOD for one in own[own.index(faulty) :])


def test_clean_plans_have_no_faulty_file(seed: int) -> None:
    assert {one.kind for _, deliveries in plans(seed, dirty=False) for one in deliveries} == {Kind.WHOLE, Kind.AGAIN}
