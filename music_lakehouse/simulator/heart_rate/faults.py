"""What real devices get wrong, in a recording and in a whole file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from music_lakehouse.simulator.draws import below, happens, one_of
from music_lakehouse.simulator.heart_rate.recordings import ABSURD, Recording
from music_lakehouse.simulator.weighted import Weighted

NO_NUMBERS = ("n/a", "", "72 bpm", True, [72.0], {"value": 72.0})
NO_RECORDINGS: tuple[Any, ...] = (None, 72.0, "recording", [])


@dataclass(frozen=True)
class Fault:
    """How often a fault is chosen, and what it makes of a recording: any JSON value."""

    weight: float
    change: Callable[[Recording, Random], Any]


def missing_rate(recording: Recording, rng: Random) -> Recording:
    """No heart rate."""
    return _without(recording, "heartrate", rng)


def absurd_rate(recording: Recording, rng: Random) -> Recording:
    """A heart rate that no heart has."""
    return recording | {"heartrate": one_of((*ABSURD, "0", "1200.0"), rng)}


def missing_person(recording: Recording, rng: Random) -> Recording:
    """No medical record number."""
    return _without(recording, "mrn", rng)


def missing_time(recording: Recording, rng: Random) -> Recording:
    """No time."""
    return _without(recording, "time", rng)


def no_number(recording: Recording, rng: Random) -> Recording:
    """Something else where a number is due, the device's own included."""
    return recording | {one_of(sorted(recording), rng): one_of(NO_NUMBERS, rng)}


def no_recording(_: Recording, rng: Random) -> Any:
    """Something else where a recording is due."""
    return one_of(NO_RECORDINGS, rng)


FAULTS = {
    "missing_rate": Fault(3, missing_rate),
    "absurd_rate": Fault(3, absurd_rate),
    "missing_person": Fault(1, missing_person),
    "missing_time": Fault(1, missing_time),
    "no_number": Fault(2, no_number),
    "no_recording": Fault(0.5, no_recording),
}
_KINDS = Weighted((fault, fault.weight) for fault in FAULTS.values())


def with_fault(recording: Recording, share: float, rng: Random) -> Any:
    """The recording as it is sent: a share of them has one fault."""
    return _KINDS.pick(rng).change(recording, rng) if share > 0 and happens(share, rng) else recording


def truncated(file: Path, rng: Random) -> None:
    """Cuts the array before its end, as a transfer that broke off."""
    content = file.read_bytes().rstrip()
    file.write_bytes(content[: 1 + below(len(content) - 1, rng)])


def wrapped(file: Path, _: Random) -> None:
    """Makes the array a member of an object."""
    file.write_bytes(b'{"recordings": ' + file.read_bytes().rstrip() + b"}\n")


def as_lines(file: Path, _: Random) -> None:
    """Makes the array JSON lines, without the brackets and commas."""
    recordings = json.loads(file.read_bytes())
    file.write_text("".join(f"{json.dumps(recording)}\n" for recording in recordings))


def emptied(file: Path, _: Random) -> None:
    """Leaves no byte."""
    file.write_bytes(b"")


FILE_FAULTS: dict[str, Callable[[Path, Random], None]] = {
    "truncated": truncated,
    "wrapped": wrapped,
    "lines": as_lines,
    "empty": emptied,
}
"""What is done to a copy of a file that lands before the good one, by what is put into the copy's name."""


def _without(recording: Recording, name: str, rng: Random) -> Recording:
    """The recording with null for the value, or without it."""
    if happens(0.5, rng):
        return recording | {name: None}
    return {each: value for each, value in recording.items() if each != name}
