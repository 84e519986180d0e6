"""Heart rates that land as JSON files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from random import Random
from typing import Any

from music_lakehouse.simulator.draws import below
from music_lakehouse.simulator.heart_rate.config import HeartRateConfig
from music_lakehouse.simulator.heart_rate.faults import FILE_FAULTS, with_fault
from music_lakehouse.simulator.heart_rate.patients import admit, patient
from music_lakehouse.simulator.heart_rate.recordings import recordings
from music_lakehouse.simulator.landing import Staging, evenly, land, present

SOURCE, RECORDINGS, PATIENTS = "heart_rate", "recordings", "patient_info.csv"

_TIME = "%Y%m%dT%H%M%S.%fZ"
_NAME = re.compile(r"recordings_(\d{8}T\d{6}\.\d{6}Z)")


def land_heart_rates(landing_root: Path, config: HeartRateConfig) -> list[Path]:
    """Lands recordings in `landing_root`/heart_rate/recordings/, and patient_info.csv beside it, and returns the files
    of recordings in the order in which they landed.

    A file is one JSON array, a recording a line: `device_id`, `mrn`, `time` (microseconds since 1970 UTC) and
    `heartrate`; it is named by where its stretch of time ends. 34 people are in patient_info.csv after the first call,
    two of one name, and one more after each further call. Always one person is recorded who is not in it yet: the one
    who comes with the next call.

    Called again the recordings go on where the landed ones end, up to now: no other state is kept. The same landed
    files, config and times give the same bytes. Dirty: a truncated copy, one that isn't an array, one of JSON lines and
    an empty one land each before the good file.
    Raises LandingError where a file of that time is there already, as after the same start twice.
    """
    root = landing_root / SOURCE
    start, end = _stretch(root / RECORDINGS, config)
    landed = []
    with Staging(landing_root) as staging:
        known = admit(root / PATIENTS, staging, seed=config.seed)
        people = [patient(number, seed=config.seed) for number in range(known + 1)]
        rng = Random(f"files {config.seed} {start}")
        faulty = {fault: below(config.files, rng) for fault in FILE_FAULTS} if config.dirty > 0 else {}
        begin = start
        for number, until in enumerate(evenly(start, end, config.files)):
            rng = Random(f"recordings {config.seed} {begin}")
            made = recordings(people, begin, until, config.recordings, seed=config.seed, rng=rng)
            name = f"recordings_{until:{_TIME}}"
            file = staging.path / f"{name}.json"
            _write(file, (with_fault(recording, config.dirty, rng) for recording in made))
            for fault in (fault for fault, place in faulty.items() if place == number):
                copy = staging.copy_of(file)
                FILE_FAULTS[fault](copy, rng)
                landed.append(land(copy, root / RECORDINGS / f"{name}_{fault}.json"))
            landed.append(land(file, root / RECORDINGS / file.name))
            begin = until
    return landed


def _stretch(directory: Path, config: HeartRateConfig) -> tuple[datetime, datetime]:
    """When the recordings begin and end."""
    if config.start is not None:
        return config.start, config.start + config.length
    now = present()
    ends = [found[1] for file in directory.glob("*.json") if (found := _NAME.match(file.name))]
    if not ends:
        return now - config.length, now
    last = datetime.strptime(max(ends), _TIME).replace(tzinfo=timezone.utc)
    return last, now if now > last else last + config.length


def _write(file: Path, values: Iterable[Any]) -> None:
    """One JSON array, an element a line."""
    with file.open("w", encoding="utf-8") as target:
        for number, value in enumerate(values):
            target.write(("[\n" if number == 0 else ",\n") + json.dumps(value))
        target.write("\n]\n")
