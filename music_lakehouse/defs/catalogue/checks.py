"""What the catalogue tables are checked for, as SQL over what a run touched; the audit evaluates it over everything."""

from __future__ import annotations

from collections.abc import Mapping

from music_lakehouse.defs.catalogue.entities import (
    ARTISTS,
    DIMENSIONS,
    ENTITIES,
    OF_A_STREAM,
    STREAMS,
    TRACKS,
    USERS,
    Entity,
)
from music_lakehouse.defs.catalogue.tables import (
    BRONZE,
    DIM_DATE,
    DIMENSION_TABLES,
    FACT_STREAM,
    QUARANTINE,
    SILVER,
    shown_columns,
    version_key,
)
from music_lakehouse.lakehouse.checks import Check
from music_lakehouse.lakehouse.common_checks import (
    key_is_there,
    key_is_unique,
    of_each_row,
    quarantine_checks,
    row_count,
    scd2_checks,
)
from music_lakehouse.lakehouse.file_checks import landed_file_checks
from music_lakehouse.lakehouse.file_ingest import RESCUED
from music_lakehouse.lakehouse.tables import Table


def _bronze_checks(table: Table) -> list[Check]:
    checks = [
        *landed_file_checks(table),
        of_each_row("nothing_rescued", "every value fits its column's type", f"{RESCUED} IS NOT NULL", error=False),
    ]
    if any(table is BRONZE[entity.name] for entity in ENTITIES):
        declared = ", ".join(f"'{name}'" for name in table.column_names)
        checks.append(
            Check(
                "columns_declared",
                "the source has no column that the declaration lacks, and that silver would not have",
                f"""
                SELECT count(*) AS rows, count(*) FILTER (WHERE column_name NOT IN ({declared})) AS failed,
                       string_agg(column_name, ', ') FILTER (WHERE column_name NOT IN ({declared})) AS columns
                FROM (DESCRIBE current)
                """,
                error=False,
            )
        )
    return checks


def _same_rows(table: Table, of: Table, where: str = "true") -> Check:
    """Of as many rows and of the same keys: those of `table` that fulfil `where`, and all of `of`."""
    key = of.key[0]
    return Check(
        "row_for_row",
        f"its rows{' that hold' if where != 'true' else ''} are those of {of.full_name}",
        f"""
        SELECT there AS rows, abs(there - here) + strangers AS failed, here, there, strangers FROM (
            SELECT {row_count(of.full_name)} AS there, (SELECT count(*) FROM current WHERE {where}) AS here,
                   (SELECT count(*) FROM touched ANTI JOIN "{of.full_name}" USING ({key}) WHERE {where}) AS strangers
        )
        """,
    )


def _dimension_checks(entity: Entity) -> list[Check]:
    table = DIMENSION_TABLES[entity]
    return [
        *key_is_there(table),
        *key_is_unique(table),
        *scd2_checks(
            entity.noun,
            key=entity.key,
            start="start_at",
            end="end_at",
            is_current="is_current",
            shown=shown_columns(entity),
            is_deleted="is_deleted",
        ),
        _same_rows(table, SILVER[entity], where="is_current"),
    ]


def _version_held(entity: Entity) -> Check:
    """Of touched facts."""
    name, table = version_key(entity), DIMENSION_TABLES[entity]
    # Whose version it is: the artist's is said by the track's.
    join = "" if entity is ARTISTS else f" AND t.{entity.key} IS NOT DISTINCT FROM v.{entity.key}"
    return Check(
        f"{entity.noun}_version_held",
        f"the version of the {entity.noun} exists, and held at stream_timestamp or is the first one",
        f"""
        SELECT count(*) AS rows, count(*) FILTER (
            WHERE v.{name} IS NULL OR NOT (v.is_first OR v.start_at <= t.stream_timestamp)
            OR v.end_at <= t.stream_timestamp
        ) AS failed
        FROM touched AS t LEFT JOIN (
            SELECT *, start_at = min(start_at) OVER (PARTITION BY {entity.key}) AS is_first FROM "{table.full_name}"
        ) AS v ON t.{name} = v.{name}{join}
        WHERE t.{name} IS NOT NULL
        """,
    )


_ARTIST_OF_THE_TRACK = Check(
    "artist_of_the_track",
    "the version of the artist is of the artist whom the version of the track names",
    f"""
    SELECT count(*) AS rows, count(*) FILTER (WHERE v.artist_id IS DISTINCT FROM a.artist_id) AS failed
    FROM touched AS t
    JOIN "{DIMENSION_TABLES[ARTISTS].full_name}" AS a USING ({version_key(ARTISTS)})
    LEFT JOIN "{DIMENSION_TABLES[TRACKS].full_name}" AS v USING ({version_key(TRACKS)})
    """,
)

CHECKS: Mapping[Table, list[Check]] = {
    **{table: _bronze_checks(table) for table in BRONZE.values()},
    QUARANTINE: quarantine_checks(QUARANTINE),
    **{table: [*key_is_there(table), *key_is_unique(table)] for table in SILVER.values()},
    **{DIMENSION_TABLES[entity]: _dimension_checks(entity) for entity in DIMENSIONS},
    DIM_DATE: [*key_is_there(DIM_DATE), *key_is_unique(DIM_DATE)],
    FACT_STREAM: [
        *key_is_there(FACT_STREAM),
        *key_is_unique(FACT_STREAM),
        Check(
            "row_for_row",
            f"it has as many rows as {SILVER[STREAMS].full_name}",
            f"""
            SELECT streams AS rows, abs(streams - facts) AS failed, streams, facts FROM (
                SELECT {row_count(SILVER[STREAMS].full_name)} AS streams, {row_count(FACT_STREAM.full_name)} AS facts
            )
            """,
        ),
        *(_version_held(entity) for entity in OF_A_STREAM),
        _ARTIST_OF_THE_TRACK,
        of_each_row(
            "complete",
            "the user, the track and the artist of a stream are known, and held at its time",
            " OR ".join(f"{version_key(entity)} IS NULL" for entity in (USERS, TRACKS, ARTISTS)),
            threshold=0.05,
            error=False,
        ),
    ],
}
"""The checks of each table, evaluated after each run over what it touched, and by the job `audit` over everything."""
