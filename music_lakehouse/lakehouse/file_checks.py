"""Checks of tables that take landed files."""

from __future__ import annotations

from music_lakehouse.lakehouse.checks import Check
from music_lakehouse.lakehouse.common_checks import row_count
from music_lakehouse.lakehouse.file_ingest import DATE_ADDED, ROW_NUMBER, SOURCE_FILE
from music_lakehouse.lakehouse.file_ledger import FILES, LOADED, UNREADABLE
from music_lakehouse.lakehouse.tables import Table


def _files(table: Table) -> str:
    """What is known of the table's files, a row each."""
    return f"""
        SELECT file, arg_max(f, recorded_at) AS known FROM "{FILES.full_name}" AS f
        WHERE "table" = '{table.full_name}' AND table_id = (
            SELECT arg_max(table_id, recorded_at) FROM "{FILES.full_name}" WHERE "table" = '{table.full_name}'
        )
        GROUP BY file
    """


def landed_file_checks(table: Table) -> list[Check]:
    """The checks of a table that takes landed files."""
    return [
        Check(
            "counts_by_file",
            "of each file all rows are there, once, and landed at one moment",
            f"""
            SELECT count(*) AS rows, count(*) FILTER (
                WHERE taken IS DISTINCT FROM rows_there OR places <> rows_there OR moments <> 1
            ) AS failed FROM (
                SELECT {SOURCE_FILE} AS file, count(*) AS rows_there, count(DISTINCT {ROW_NUMBER}) AS places,
                       count(DISTINCT {DATE_ADDED}) AS moments
                FROM touched GROUP BY ALL
            ) LEFT JOIN (SELECT file, known.rows AS taken FROM ({_files(table)}) WHERE known.state = '{LOADED}')
            USING (file)
            """,
        ),
        Check(
            "rows_are_those_of_the_files",
            "the table has as many rows as were taken from files",
            f"""
            SELECT taken AS rows, abs(taken - there) AS failed, taken, there FROM (
                SELECT (SELECT coalesce(sum(known.rows), 0) FROM ({_files(table)})) AS taken,
                       {row_count(table.full_name)} AS there
            )
            """,
        ),
        Check(
            "files_readable",
            "every file can be read",
            f"""
            SELECT count(*) AS rows, count(*) FILTER (WHERE known.state = '{UNREADABLE}') AS failed,
                   string_agg(file || ': ' || known.problem, '; ') FILTER (WHERE known.state = '{UNREADABLE}') AS files
            FROM ({_files(table)})
            """,
            error=False,
        ),
        Check(
            "files_unchanged",
            "no file changed after it was read",
            f"""
            SELECT count(*) AS rows, count(known.problem) AS failed,
                   string_agg(file || ': ' || known.problem, '; ') AS files
            FROM ({_files(table)}) WHERE known.state <> '{UNREADABLE}'
            """,
            error=False,
        ),
    ]
