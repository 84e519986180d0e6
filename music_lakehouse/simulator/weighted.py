"""Draws from lists of the package's `tables`, in proportion to a weight."""

from __future__ import annotations

import csv
import json
from bisect import bisect
from collections.abc import Iterable
from importlib import resources
from itertools import accumulate
from random import Random
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Weighted(Generic[T]):
    """Items, each drawn in proportion to its weight; weights need not add up to one."""

    def __init__(self, items: Iterable[tuple[T, float]]) -> None:
        pairs = list(items)
        self.items = [item for item, _ in pairs]
        sums = list(accumulate(weight for _, weight in pairs))
        self._total = sums[-1]
        # Without the last bound no rounding can lead past the last item.
        self._bounds = sums[:-1]

    def pick(self, rng: Random) -> T:
        """One item. Takes one number from `rng.random`, the only draw that Python promises never to change."""
        return self.items[bisect(self._bounds, rng.random() * self._total)]


def read_json(name: str) -> Any:
    """A JSON file of the package's `tables` directory."""
    return json.loads(_text(name))


def read_rows(name: str) -> list[dict[str, str]]:
    """The rows of a CSV file of the package's `tables` directory, by column name."""
    return list(csv.DictReader(_text(name).splitlines()))


def _text(name: str) -> str:
    return (resources.files("music_lakehouse.simulator") / "tables" / name).read_text(encoding="utf-8")
