"""All the tables that the landed files make."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from pathlib import Path

from music_lakehouse_tests.oracle.heart_rate.files import names, recordings
from music_lakehouse_tests.oracle.values import Row, Tables

QUARANTINE = "bronze.quarantine_heart_rate"
UNKNOWN = "Unknown"
TABLE_KEYS: dict[str, tuple[str, ...]] = {
    QUARANTINE: ("source_filename",),
    "bronze.dim_patients": ("mrn",),
    # Every recording is a row, repeats too: nothing but the whole row tells two apart.
    "silver.heart_rate": ("mrn", "datetime", "device_id", "heartrate", "patient_name"),
    "gold.heart_rate_by_patient": ("mrn",),
    "gold.heart_rate_hourly": ("mrn", "hour"),
}


def tables_of(landing_root: Path) -> Tables:
    """Every table by `layer.table`, from the files below `landing_root`/heart_rate as they are now.

    Means are exact before they are rounded: a double, or the whole number from which up the mean is.
    """
    root = landing_root / "heart_rate"
    people = names(root / "patient_info.csv")
    found = [recording for file in sorted((root / "recordings").glob("*.json")) for recording in recordings(file)]
    silver = [
        {
            "device_id": row["device_id"],
            "mrn": row["mrn"],
            "datetime": row["datetime"],
            "heartrate": row["heartrate"],
            "patient_name": people.get(row["mrn"]) or UNKNOWN,
        }
        for row in (recording.row for recording in found if not recording.reasons)
    ]
    return {
        QUARANTINE: [
            {"source_filename": recording.file.name, "row": recording.content, "reasons": recording.reasons}
            for recording in found
            if recording.reasons
        ],
        "bronze.dim_patients": [{"mrn": mrn, "name": name} for mrn, name in people.items()],
        "silver.heart_rate": silver,
        "gold.heart_rate_by_patient": by_patient(silver),
        "gold.heart_rate_hourly": hourly(silver),
    }


def by_patient(silver: Iterable[Row]) -> list[Row]:
    """A row a person, by falling average, then name and mrn; who has the same name is another person."""
    rates: dict[tuple[int, str], list[float]] = defaultdict(list)
    for row in silver:
        rates[row["mrn"], row["patient_name"]].append(row["heartrate"])
    rows = [
        {"patient_name": name, "mrn": mrn, "avg_heartrate": math.ceil(_mean(values)), "count": len(values)}
        for (mrn, name), values in rates.items()
    ]
    return sorted(rows, key=lambda row: (-row["avg_heartrate"], row["patient_name"], row["mrn"]))


def hourly(silver: Iterable[Row]) -> list[Row]:
    """A row a person and hour (UTC) with a recording."""
    rates: dict[tuple[int, datetime], list[float]] = defaultdict(list)
    for row in silver:
        rates[row["mrn"], row["datetime"].replace(minute=0, second=0, microsecond=0)].append(row["heartrate"])
    return [
        {
            "mrn": mrn,
            "hour": hour,
            "avg_heartrate": float(_mean(values)),
            "min_heartrate": min(values),
            "max_heartrate": max(values),
            "count": len(values),
        }
        for (mrn, hour), values in rates.items()
    ]


def _mean(values: list[float]) -> Fraction:
    return sum(map(Fraction, values), Fraction()) / len(values)
