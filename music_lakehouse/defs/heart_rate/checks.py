"""What the heart_rate tables are checked for, as SQL over what a run touched; the audit evaluates it over all."""

from __future__ import annotations

from collections.abc import Mapping

from music_lakehouse.defs.heart_rate.tables import (
    DIM_PATIENTS,
    HEART_RATE,
    HEART_RATE_BY_PATIENT,
    HEART_RATE_HOURLY,
    QUARANTINE,
    SILVER_HEART_RATE,
)
from music_lakehouse.defs.heart_rate.transforms.recordings import HIGHEST_RATE, LOWEST_RATE, UNKNOWN
from music_lakehouse.defs.heart_rate.transforms.summaries import UNITS
from music_lakehouse.lakehouse.checks import Check
from music_lakehouse.lakehouse.common_checks import (
    key_is_there,
    key_is_unique,
    of_each_row,
    quarantine_checks,
    row_count,
)
from music_lakehouse.lakehouse.file_checks import landed_file_checks
from music_lakehouse.lakehouse.tables import Table

# Of those who are recorded, so many may come into the table of people later.
_USUALLY_UNKNOWN = 0.1


def _adds_up(table: Table) -> Check:
    """Nobody's recording is left out or counted twice, in none of the summaries."""
    return Check(
        "adds_up",
        f"the counts of {table.name} add up to the recordings",
        f"""
        SELECT recorded AS rows, abs(recorded - counted) AS failed, recorded, counted FROM (
            SELECT {row_count(SILVER_HEART_RATE.full_name)} AS recorded,
                   (SELECT coalesce(sum("count"), 0) FROM current) AS counted
        )
        """,
    )


def _shows_the_name(table: Table) -> Check:
    return Check(
        "name_as_in_dim_patients",
        f"patient_name is the one in dim_patients, {UNKNOWN} where it has none",
        f"""
        SELECT count(*) AS rows,
               count(*) FILTER (WHERE patient_name IS DISTINCT FROM coalesce(name, '{UNKNOWN}')) AS failed
        FROM touched LEFT JOIN "{DIM_PATIENTS.full_name}" USING (mrn)
        """,
    )


def _of_touched_files(name: str, rows: str) -> str:
    return f"""
        SELECT source_filename, count(*) AS {name} FROM {rows}
        SEMI JOIN touched USING (source_filename) GROUP BY ALL
    """


CHECKS: Mapping[Table, list[Check]] = {
    DIM_PATIENTS: [*key_is_there(DIM_PATIENTS), *key_is_unique(DIM_PATIENTS)],
    HEART_RATE: landed_file_checks(HEART_RATE),
    QUARANTINE: quarantine_checks(QUARANTINE),
    SILVER_HEART_RATE: [
        *key_is_there(SILVER_HEART_RATE),
        *key_is_unique(SILVER_HEART_RATE),
        Check(
            "elements_by_file",
            "of each file every element is in silver or in quarantine, and in one of them",
            f"""
            SELECT count(*) AS rows,
                   count(*) FILTER (WHERE elements IS DISTINCT FROM kept + coalesce(refused, 0)) AS failed
            FROM ({_of_touched_files("kept", "current")})
            LEFT JOIN ({_of_touched_files("refused", f'"{QUARANTINE.full_name}"')}) USING (source_filename)
            LEFT JOIN ({_of_touched_files("elements", f'"{HEART_RATE.full_name}"')}) USING (source_filename)
            """,
        ),
        Check(
            "nothing_lost",
            "bronze has as many rows as silver and quarantine together",
            f"""
            SELECT landed AS rows, abs(landed - kept - refused) AS failed, landed, kept, refused FROM (
                SELECT {row_count(HEART_RATE.full_name)} AS landed, {row_count(QUARANTINE.full_name)} AS refused,
                       {row_count(SILVER_HEART_RATE.full_name)} AS kept
            )
            """,
        ),
        of_each_row(
            "in_bounds",
            f"person and time are there, and the heart rate is {LOWEST_RATE} to {HIGHEST_RATE}",
            f"mrn IS NULL OR datetime IS NULL OR heartrate IS NULL "
            f"OR NOT heartrate BETWEEN {LOWEST_RATE} AND {HIGHEST_RATE}",
        ),
        _shows_the_name(SILVER_HEART_RATE),
        of_each_row(
            "person_known",
            "the person has a name in dim_patients",
            f"patient_name = '{UNKNOWN}'",
            threshold=_USUALLY_UNKNOWN,
            error=False,
        ),
    ],
    HEART_RATE_HOURLY: [
        *key_is_there(HEART_RATE_HOURLY),
        *key_is_unique(HEART_RATE_HOURLY),
        _adds_up(HEART_RATE_HOURLY),
        of_each_row(
            "in_bounds",
            "the mean lies between the lowest and the highest heart rate, and these within bounds",
            f'NOT ("count" > 0 AND min_heartrate <= avg_heartrate AND avg_heartrate <= max_heartrate '
            f"AND min_heartrate >= {LOWEST_RATE} AND max_heartrate <= {HIGHEST_RATE}) OR avg_heartrate IS NULL",
        ),
    ],
    HEART_RATE_BY_PATIENT: [
        *key_is_there(HEART_RATE_BY_PATIENT),
        *key_is_unique(HEART_RATE_BY_PATIENT),
        _adds_up(HEART_RATE_BY_PATIENT),
        Check(
            "nobody_lost",
            "everybody who was recorded has a row, with the mean of the recordings rounded up",
            f"""
            SELECT count(*) AS rows, count(*) FILTER (
                WHERE c.mrn IS NULL OR h.mrn IS NULL OR c."count" <> h."count"
                OR c.avg_heartrate * (h."count" * {UNITS}::HUGEINT) < units
                OR (c.avg_heartrate - 1) * (h."count" * {UNITS}::HUGEINT) >= units
            ) AS failed
            FROM (
                SELECT mrn, sum(heartrate_units)::HUGEINT AS units, sum("count") AS "count"
                FROM "{HEART_RATE_HOURLY.full_name}" GROUP BY mrn
            ) AS h FULL JOIN current AS c USING (mrn)
            """,
        ),
        _shows_the_name(HEART_RATE_BY_PATIENT),
    ],
}
"""The checks of each table, evaluated after each run over what it touched, and by the job `audit` over everything."""
