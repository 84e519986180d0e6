"""Landed recordings: which are valid, what their text stands for, whose they are, and what becomes of the others."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.heart_rate.tables import FIELDS, HEART_RATE, MEASURED, QUARANTINE, SILVER_HEART_RATE
from music_lakehouse.lakehouse.coercion import coerced
from music_lakehouse.lakehouse.expectations import FAILED_RULES, Rule, mark, needed
from music_lakehouse.lakehouse.file_ingest import DATE_ADDED, FILE_KEY, RESCUED, ROW_NUMBER
from music_lakehouse.lakehouse.json_rows import THE_FILE
from music_lakehouse.lakehouse.tables import Table

UNKNOWN = "Unknown"
LOWEST_RATE, HIGHEST_RATE = 20, 300

_TYPED = "_typed"
# The years 1 to 9999 in microseconds since 1970.
_FIRST_TIME, _END_OF_TIME = "-62135596800000000D", "253402300800000000D"

_IS_ARRAY = f"{ROW_NUMBER} <> {THE_FILE}"
_IS_OBJECT = f"({RESCUED} IS NULL OR startswith({RESCUED}, '{{'))"


def _is_there(field: str, typed: str) -> Rule:
    """Of what is no recording nothing is said of its values."""
    is_recording = f"{_IS_ARRAY} AND {_IS_OBJECT}"
    return needed(f"{field}_missing", f"NOT ({is_recording}) OR {_TYPED}.{typed} IS NOT NULL", f"{field} is a number")


RULES: dict[Table, list[Rule]] = {
    HEART_RATE: [
        needed("not_an_array", _IS_ARRAY, "the file is one JSON array"),
        needed("not_an_object", f"NOT ({_IS_ARRAY}) OR {_IS_OBJECT}", "the element is a JSON object"),
        _is_there("mrn", "mrn"),
        _is_there("time", "datetime"),
        _is_there("heartrate", "heartrate"),
        needed(
            "heartrate_out_of_bounds",
            f"{_TYPED}.heartrate IS NULL OR {_TYPED}.heartrate BETWEEN {LOWEST_RATE} AND {HIGHEST_RATE}",
            f"heartrate is {LOWEST_RATE} to {HIGHEST_RATE}",
        ),
    ]
}
"""The rules of the landed rows."""


def judged(rows: DataFrame) -> DataFrame:
    """The bronze rows with `_typed`, what their text stands for (null where it doesn't fit) and `datetime`, and
    `_failed_rules`, the names of the rules that each breaks."""
    values = [F.expr(f"{coerced(column.name, column.type)} AS {column.name}") for column in MEASURED]
    typed = rows.withColumn(_TYPED, F.struct(*values))
    in_time = f"{_TYPED}.time >= {_FIRST_TIME} AND {_TYPED}.time < {_END_OF_TIME}"
    moment = F.expr(f"CASE WHEN {in_time} THEN timestamp_micros(CAST({_TYPED}.time AS BIGINT)) END")
    return mark(typed.withColumn(_TYPED, F.col(_TYPED).withField("datetime", moment)), RULES[HEART_RATE])


def valid(judged_rows: DataFrame, people: DataFrame) -> DataFrame:
    """Those that keep all rules, as rows of silver; `people` are rows of dim_patients."""
    kept = judged_rows.where(F.size(FAILED_RULES) == 0)
    return named(kept.select(f"{_TYPED}.*", *FILE_KEY, DATE_ADDED), people).select(*SILVER_HEART_RATE.column_names)


def refused(judged_rows: DataFrame) -> DataFrame:
    """Those that break a rule, as rows of quarantine."""
    broken = judged_rows.where(F.size(FAILED_RULES) > 0)
    line = F.coalesce(RESCUED, F.to_json(F.struct(*FIELDS)))
    return broken.withColumn("row", line).withColumnRenamed(FAILED_RULES, "reasons").select(*QUARANTINE.column_names)


def named(rows: DataFrame, people: DataFrame) -> DataFrame:
    """The rows with `patient_name`, by their `mrn`."""
    names = people.select("mrn", F.col("name").alias("patient_name"))
    return rows.join(names, "mrn", "left").withColumn("patient_name", F.coalesce("patient_name", F.lit(UNKNOWN)))


def renamed(recordings: DataFrame, people: DataFrame) -> DataFrame:
    """Of the rows of silver those that show another name than their person has, with that name."""
    shown = recordings.withColumnRenamed("patient_name", "_shown")
    return named(shown, people).where("patient_name <> _shown").select(*SILVER_HEART_RATE.column_names)
