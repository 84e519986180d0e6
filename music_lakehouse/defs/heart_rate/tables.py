"""The heart_rate tables' declarations."""

from __future__ import annotations

from dataclasses import replace

from music_lakehouse.lakehouse.file_ingest import FILE_COLUMNS, FILE_KEY, RESCUED
from music_lakehouse.lakehouse.tables import Column, Sources, Table, columns_of, traced

RECORDINGS_DIRECTORY, PEOPLE_DIRECTORY, PEOPLE_FILE = "heart_rate/recordings", "heart_rate", "patient_info.csv"

_MRN = Column("mrn", "BIGINT", "the person: the medical record number", pseudonym=True)
_PATIENT_NAME = Column("patient_name", "STRING", "the person's name; Unknown where dim_patients has none", pii=True)
MEASURED = (
    Column("device_id", "INT", "the device; null where it has no number"),
    _MRN,
    Column("time", "DOUBLE", "when, in microseconds since 1970, UTC"),
    Column("heartrate", "DOUBLE", "heart rate in beats a minute"),
)
"""The fields of a recording."""
FIELDS = tuple(column.name for column in MEASURED)

_ODD = (
    "the element itself, where it is no object, or has other fields, or values that are neither number nor text; the "
    "whole file, where that is not one array"
)
_PLACE = "the recording's place in the file, from 1; 0 for a file that is not one array"
_OF_THE_FILE = tuple(
    replace(column, comment={RESCUED: _ODD, "row_number": _PLACE}.get(column.name, column.comment))
    for column in FILE_COLUMNS
)
_WHENCE = tuple(column for column in _OF_THE_FILE if column.name != RESCUED)

DIM_PATIENTS = Table(
    layer="bronze",
    name="dim_patients",
    description="One row a person: patient_info.csv as it is now. Of several rows for one person the last holds.",
    columns=(
        _MRN,
        Column("name", "STRING", "the person's name; null where it is empty", pii=True),
    ),
    key=("mrn",),
)

HEART_RATE = Table(
    layer="bronze",
    name="heart_rate",
    description=f"One row an element of a file's array in {RECORDINGS_DIRECTORY}, as it landed, as text. Each file "
    "once.",
    columns=(*(replace(column, type="STRING") for column in MEASURED), *_OF_THE_FILE),
    key=FILE_KEY,
)


def _landed(*names: str) -> Sources:
    return columns_of(HEART_RATE, *names)


QUARANTINE = Table(
    layer="bronze",
    name="quarantine_heart_rate",
    description="One row a recording that silver refuses, or a file that is not one array, with all the reasons. "
    "bronze.heart_rate has it too, as it landed.",
    columns=traced(
        (
            *_WHENCE,
            Column(
                "row",
                "STRING",
                "the recording as JSON, or what stands in its place; the text of a whole file",
                pii=True,
            ),
            Column("reasons", "ARRAY<STRING>", "the names of all rules that the row breaks"),
        ),
        {
            **{column.name: _landed(column.name) for column in _WHENCE},
            "row": _landed(*FIELDS, RESCUED),
            "reasons": _landed(*FIELDS, RESCUED),
        },
    ),
    key=FILE_KEY,
)

SILVER_HEART_RATE = Table(
    layer="silver",
    name="heart_rate",
    description="One row a recording, repeats too, typed, with the person's name as it is now.",
    columns=traced(
        (
            *MEASURED,
            Column("datetime", "TIMESTAMP", "when, UTC, to the microsecond"),
            _PATIENT_NAME,
            *_WHENCE,
        ),
        {
            **{name: _landed(name) for name in (*FIELDS, *(column.name for column in _WHENCE))},
            "datetime": _landed("time"),
            "patient_name": (*_landed("mrn"), *columns_of(DIM_PATIENTS, "mrn", "name")),
        },
    ),
    key=FILE_KEY,
)


def _recorded(*names: str) -> Sources:
    return columns_of(SILVER_HEART_RATE, *names)


HEART_RATE_HOURLY = Table(
    layer="gold",
    name="heart_rate_hourly",
    description="One row a person and hour (UTC) with a recording. Equal to the GROUP BY over silver.heart_rate.",
    columns=traced(
        (
            _MRN,
            Column("hour", "TIMESTAMP", "the hour, UTC"),
            Column("avg_heartrate", "DOUBLE", "mean heart rate"),
            Column("min_heartrate", "DOUBLE", "lowest heart rate"),
            Column("max_heartrate", "DOUBLE", "highest heart rate"),
            Column("count", "BIGINT", "recordings"),
            Column("heartrate_units", "DECIMAL(38,0)", "exact sum of the heart rates, in 2^-48 beats a minute"),
        ),
        {
            "mrn": _recorded("mrn"),
            "hour": _recorded("datetime"),
            **{f"{name}_heartrate": _recorded("heartrate") for name in ("avg", "min", "max")},
            "count": _recorded("heartrate"),
            "heartrate_units": _recorded("heartrate"),
        },
    ),
    key=("mrn", "hour"),
)

HEART_RATE_BY_PATIENT = Table(
    layer="gold",
    name="heart_rate_by_patient",
    description="One row a person with a recording; two people of one name are two rows. In its file the rows stand by "
    "falling average, then name and mrn. Equal to the GROUP BY over silver.heart_rate.",
    columns=traced(
        (
            _PATIENT_NAME,
            _MRN,
            Column("avg_heartrate", "BIGINT", "mean heart rate, rounded up"),
            Column("count", "BIGINT", "recordings"),
        ),
        {
            "patient_name": columns_of(DIM_PATIENTS, "mrn", "name"),
            "mrn": columns_of(HEART_RATE_HOURLY, "mrn"),
            "avg_heartrate": columns_of(HEART_RATE_HOURLY, "heartrate_units", "count"),
            "count": columns_of(HEART_RATE_HOURLY, "count"),
        },
    ),
    key=("mrn",),
)

TABLES: dict[str, Table] = {
    table.full_name: table
    for table in (
        DIM_PATIENTS,
        HEART_RATE,
        QUARANTINE,
        SILVER_HEART_RATE,
        HEART_RATE_HOURLY,
        HEART_RATE_BY_PATIENT,
    )
}
"""All tables of the heart_rate pipeline, by their full names."""
