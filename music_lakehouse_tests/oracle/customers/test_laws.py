from __future__ import annotations

from pathlib import Path

import pytest

from music_lakehouse_tests.oracle.customers.examples import at, customer, land
from music_lakehouse_tests.oracle.customers.laws import ids_are_kept, versions_are_whole
from music_lakehouse_tests.oracle.customers.tables import tables_of
from music_lakehouse_tests.oracle.values import Row


@pytest.fixture
def dimension(tmp_path: Path) -> list[Row]:
    """Customer 1 on two streets, one after the other."""
    land(tmp_path, "customer", "a.csv", 0, customer(1))
    land(tmp_path, "customer", "b.csv", 1, customer(1, address="Elm Street"))
    rows = tables_of(tmp_path)["gold.dim_customer"]
    return [{**row, "dim_customer_id": number} for number, row in enumerate(rows, 1)]


@pytest.mark.parametrize(
    ("place", "change", "said"),
    [
        (0, {"dim_customer_id": 2}, "dim_customer_id 2 stands for 2 versions"),
        (0, {"end_date": at(0.5)}, "customer 1 has a gap or an overlap before"),
        (0, {"end_date": None}, "customer 1 has a gap or an overlap before"),
        (0, {"start_date": at(1)}, "customer 1 has a version without length at"),
        (0, {"c_address": "Elm Street"}, "customer 1 changes nothing at"),
        (0, {"is_current": True}, "customer 1 lacks exactly one current version, the last"),
        (1, {"is_current": False}, "customer 1 lacks exactly one current version, the last"),
        (1, {"end_date": at(2)}, "the last version of customer 1 has an end"),
    ],
)
def test_a_dimension_that_is_broken_on_purpose_is_told(
    dimension: list[Row], place: int, change: Row, said: str
) -> None:
    assert versions_are_whole(dimension) == []
    dimension[place] |= change
    [broken] = versions_are_whole(dimension)
    assert broken.startswith(said)


def test_new_versions_with_new_numbers_keep_the_old_ones(dimension: list[Row]) -> None:
    assert ids_are_kept([], dimension) == []
    assert ids_are_kept(dimension[:1], dimension) == []
    assert ids_are_kept(dimension, dimension[:1]) == []


def test_a_version_that_got_another_number_is_told(dimension: list[Row]) -> None:
    renumbered = [dimension[0] | {"dim_customer_id": 3}, dimension[1]]
    [broken] = ids_are_kept(dimension, renumbered)
    assert broken == f"customer 1 from {at(0)} had the dim_customer_id 1, now 3"


def test_a_number_that_is_used_again_is_told(dimension: list[Row]) -> None:
    reused = [dimension[1] | {"dim_customer_id": 1}]
    [broken] = ids_are_kept(dimension[:1], reused)
    assert broken == f"dim_customer_id 1 was customer 1 from {at(0)}, now customer 1 from {at(1)}"
