"""The landed files: recordings as typed rows or with the reasons against them, and the people."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from music_lakehouse_tests.oracle.coercion import (
    Coercion,
    NotAnArrayError,
    UnfitValueError,
    double,
    integer,
    parse_array,
)
from music_lakehouse_tests.oracle.values import EPOCH, Row

LOWEST_RATE, HIGHEST_RATE = 20, 300
FIELDS: dict[str, Coercion] = {"device_id": integer(32), "mrn": integer(64), "time": double, "heartrate": double}


@dataclass(frozen=True)
class Recording:
    """An element of a file's array, or a file that is no array: its text, its typed values, and all the reasons for
    which it is refused (none: silver has it)."""

    file: Path
    content: str
    row: Row
    reasons: list[str]


def recordings(file: Path) -> Iterator[Recording]:
    """The recordings of a file. An empty file has none.

    A file that isn't one JSON array is a single row, `not_an_array`; an element that isn't an object is
    `not_an_object`. A number may be text, and a value that can't be read as its field's type is missing, as null and
    the empty text are: `mrn_missing`, `time_missing`, `heartrate_missing`. A heart rate is `heartrate_out_of_bounds`
    below 20 and above 300. A device without a number is no reason.
    """
    try:
        text = file.read_bytes().decode("utf-8")
        elements = parse_array(text) if text.strip() else []
    except (UnicodeDecodeError, NotAnArrayError):
        yield Recording(file, file.read_text(errors="replace"), {}, ["not_an_array"])
        return
    for element in elements:
        content = json.dumps(element)
        if isinstance(element, dict):
            row = {field: _value(element.get(field), coerce) for field, coerce in FIELDS.items()}
            row["datetime"] = None if row["time"] is None else _instant(row["time"])
            yield Recording(file, content, row, _reasons(row))
        else:
            yield Recording(file, content, {}, ["not_an_object"])


def names(file: Path) -> dict[int, str | None]:
    """The names in patient_info.csv by mrn, the last one of several; None for an empty one. Rows without a number as
    mrn are nobody's. No file is an empty one."""
    found: dict[int, str | None] = {}
    if file.is_file():
        with file.open(encoding="utf-8-sig", newline="") as lines:
            for row in csv.DictReader(lines):
                mrn = _value(row["mrn"], FIELDS["mrn"])
                if mrn is not None:
                    found[mrn] = row["name"] or None
    return found


def _value(sent: Any, coerce: Coercion) -> Any:
    if sent is None or sent == "":
        return None
    try:
        return coerce(sent)
    except UnfitValueError:
        return None


def _instant(microseconds: float) -> datetime | None:
    """None outside of the years 1 to 9999."""
    try:
        return EPOCH + timedelta(microseconds=math.trunc(microseconds))
    except OverflowError:
        return None


def _reasons(row: Row) -> list[str]:
    reasons = [f"{field}_missing" for field, column in REQUIRED.items() if row[column] is None]
    if row["heartrate"] is not None and not LOWEST_RATE <= row["heartrate"] <= HIGHEST_RATE:
        reasons.append("heartrate_out_of_bounds")
    return reasons


REQUIRED = {"mrn": "mrn", "time": "datetime", "heartrate": "heartrate"}
"""What a recording can't do without, and where its typed value stands."""
