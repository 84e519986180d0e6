"""The people: patient_info.csv as a table."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.heart_rate.tables import DIM_PATIENTS
from music_lakehouse.lakehouse.coercion import coerced
from music_lakehouse.lakehouse.reference import LINE


def dim_patients(lines: DataFrame) -> DataFrame:
    """Rows of dim_patients from the file's rows as text: of several for one `mrn` the last. A row whose `mrn` is not a
    number is nobody's."""
    typed = lines.select(*(F.expr(f"{coerced(c.name, c.type)} AS {c.name}") for c in DIM_PATIENTS.columns), LINE)
    return typed.where("mrn IS NOT NULL").groupBy("mrn").agg(F.max_by("name", LINE).alias("name"))
