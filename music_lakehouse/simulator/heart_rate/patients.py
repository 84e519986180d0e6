"""The people whose hearts are recorded, and the file that names them."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import NamedTuple

from music_lakehouse.simulator.draws import below
from music_lakehouse.simulator.landing import Staging
from music_lakehouse.simulator.weighted import Weighted, read_rows

PEOPLE = 34
COLUMNS = ("mrn", "name")

# Medical record numbers look like this, and say which person it is, so that a landed file tells who is in it.
_FIRST_MRN, _STEP = 23_940_128, 7_919
# The 21st person is a namesake of the 4th.
_NAMESAKE, _OF = 20, 3


class Patient(NamedTuple):
    """An invented person with a device; `resting` is the heart rate at rest by day, `fitness` from 0 to 1."""

    mrn: int
    name: str
    device_id: int
    resting: float
    fitness: float


def patient(number: int, *, seed: int) -> Patient:
    """The person of that number, from 0; two of the first 34 share a name."""
    named = Random(f"patient {seed} {_OF if number == _NAMESAKE else number}")
    first_names, surnames = _names()
    name = f"{first_names.pick(named)} {surnames.pick(named)}"
    rng = Random(f"heart {seed} {number}")
    return Patient(_FIRST_MRN + number * _STEP, name, number + 1, 55 + below(26, rng), rng.random())


def admit(file: Path, staging: Staging, *, seed: int) -> int:
    """Makes the file (UTF-8, `mrn,name`) hold the first 34 people, or one more than it held; returns how many of the
    invented people it holds. What else it holds stays. It appears whole, in place of the one before."""
    rows = _rows(file)
    known = {row[0] for row in rows}
    highest = max((number for number in map(_number, known) if number is not None), default=-1)
    count = max(PEOPLE, highest + 2)
    people = [patient(number, seed=seed) for number in range(count)]
    rows += [[str(person.mrn), person.name] for person in people if str(person.mrn) not in known]
    staged = staging.path / file.name
    with staged.open("w", newline="", encoding="utf-8") as target:
        csv.writer(target, lineterminator="\n").writerows([COLUMNS, *rows])
    file.parent.mkdir(parents=True, exist_ok=True)
    staged.replace(file)
    return count


def _rows(file: Path) -> list[list[str]]:
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        return [row for row in csv.reader(lines) if row][1:]


def _number(mrn: str) -> int | None:
    """The number of an invented person, None for somebody else."""
    if not mrn.isdigit():
        return None
    number, rest = divmod(int(mrn) - _FIRST_MRN, _STEP)
    return number if number >= 0 and rest == 0 else None


@lru_cache(maxsize=1)
def _names() -> tuple[Weighted[str], Weighted[str]]:
    first, last = (
        Weighted((row["name"], float(row["weight"])) for row in read_rows(f"{table}.csv"))
        for table in ("first_names", "surnames")
    )
    return first, last
