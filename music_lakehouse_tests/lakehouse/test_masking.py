"""What masked views select, and that no declaration forgets a mark on the way from table to table."""

from __future__ import annotations

import duckdb
import pytest

from music_lakehouse.defs.catalog import TABLES
from music_lakehouse.lakehouse.masking import DUCKDB, SPARK, Masking
from music_lakehouse.lakehouse.tables import Column, Table, table_and_column

PEOPLE = Table(
    "silver",
    "people",
    "Some people.",
    (
        Column("id", "BIGINT", "who", pseudonym=True),
        Column("name", "STRING", "the name", pii=True),
        Column("balance", "DECIMAL(15,2)", "what they have", pii=True),
        Column("city", "STRING", "where"),
    ),
    key=("id",),
)
MASKING = Masking({"silver.people": PEOPLE}, "k'\\")


def test_personal_data_is_null_and_pseudonyms_are_hashes_in_both_dialects() -> None:
    there = ["city", "id", "name", "balance", "unknown"]

    assert MASKING.select("silver.people", there, DUCKDB) == (
        'sha256(\'k\'\'\\|\' || CAST("id" AS STRING)) AS "id", CAST(NULL AS STRING) AS "name", '
        'CAST(NULL AS DECIMAL(15,2)) AS "balance", "city"'
    )
    assert MASKING.select("silver.people", there, SPARK) == (
        "sha2('k\\'\\\\|' || CAST(`id` AS STRING), 256) AS `id`, CAST(NULL AS STRING) AS `name`, "
        "CAST(NULL AS DECIMAL(15,2)) AS `balance`, `city`"
    )


def test_a_pseudonym_that_is_missing_stays_missing() -> None:
    masked = MASKING.select("silver.people", ["id", "city"], DUCKDB)
    with duckdb.connect() as connection:
        connection.execute(f"SELECT {masked} FROM (VALUES (1, 'Oslo'), (NULL, NULL)) AS people(id, city)")
        rows = connection.fetchall()

    assert [(user is None, city) for user, city in rows] == [(False, "Oslo"), (True, None)]


def test_the_key_is_in_no_text_of_a_masking() -> None:
    assert "k'" not in repr(MASKING)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.full_name)
def test_what_is_marked_in_a_source_is_marked_under_the_same_name_downstream(table: Table) -> None:
    for column in table.columns:
        for source in column.sources:
            of, name = table_and_column(source)
            if name == column.name and of in TABLES:
                [known] = [c for c in TABLES[of].columns if c.name == name]
                assert (column.pii, column.pseudonym) == (known.pii, known.pseudonym), f"{table.full_name}.{name}"


def test_tables_of_people_have_pseudonyms_beside_their_names() -> None:
    named = [table for table in TABLES.values() if "firstName" in table.column_names]

    assert named
    assert all(any(column.pseudonym for column in table.columns) for table in named)
