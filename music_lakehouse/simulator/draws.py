"""Draws at random that are the same in every version of Python: each takes one number from `rng.random`, the only draw
that Python promises never to change."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


def happens(share: float, rng: Random) -> bool:
    """True in a share (0 to 1) of the calls."""
    return rng.random() < share


def below(bound: int, rng: Random) -> int:
    """A whole number from 0 to `bound` - 1."""
    return int(rng.random() * bound)


def one_of(items: Sequence[T], rng: Random) -> T:
    """One of the items, all alike. Raises IndexError where there are none."""
    return items[below(len(items), rng)]
