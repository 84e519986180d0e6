"""Landed rows: which are valid, what their text stands for, and what becomes of the others."""

from __future__ import annotations

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.customers.landed import LANDED, LandedTable
from music_lakehouse.defs.customers.tables import BRONZE, HASH, QUARANTINE
from music_lakehouse.lakehouse.coercion import coerced
from music_lakehouse.lakehouse.expectations import FAILED_RULES, Rule, mark, needed
from music_lakehouse.lakehouse.file_ingest import DATE_ADDED, RESCUED, ROW_NUMBER, SOURCE_FILE
from music_lakehouse.lakehouse.tables import Column, Table

_TYPED = "_typed_"
_ROW = "row"
PLACE = (DATE_ADDED, SOURCE_FILE, ROW_NUMBER)
"""When a row landed, in which file, and where in it."""


def rules(landed: LandedTable) -> list[Rule]:
    """What a row needs to become one of silver, said of its columns' text and of what that stands for (`_typed_` before
    the name). Of a line that has no columns nothing is said of these."""
    found = [
        needed("malformed", f"`{RESCUED}` IS NULL", "a row has as many fields as the header, and each quote is closed")
    ]
    for column in landed.columns:
        found.append(_is_there(column, required=column.name in landed.required))
        if column.type != "STRING":
            found.append(_fits(column))
    return found


def _is_there(column: Column, *, required: bool) -> Rule:
    there = f"`{column.name}` <> ''" if required else f"`{column.name}` IS NOT NULL"
    what = f"{column.name} is there" if required else f"the file has the column {column.name}"
    return needed(f"{column.name}_missing", f"`{RESCUED}` IS NOT NULL OR {there}", what)


def _fits(column: Column) -> Rule:
    fits = f"`{_TYPED}{column.name}` IS NOT NULL OR coalesce(`{column.name}`, '') = ''"
    return needed(f"{column.name}_unfit", fits, f"{column.name} is {column.type.lower()} or empty")


RULES: dict[Table, list[Rule]] = {BRONZE[landed]: rules(landed) for landed in LANDED}
"""The rules of each bronze table's rows."""


def judged(rows: DataFrame, landed: LandedTable) -> DataFrame:
    """One row a bronze row: the columns typed, null where their text doesn't fit; its place (`date_added`,
    `source_filename`, `row_number`); `_failed_rules`, the names of the rules that it breaks; `hash_value` where it
    keeps all of them, and otherwise `row`, the row as text."""
    # As columns rather than one struct, whose fields Spark would compute again wherever they are used.
    typed = (f"{coerced(c.name, c.type)} AS `{_TYPED}{c.name}`" for c in landed.columns)
    marked = mark(rows.selectExpr("*", *typed), RULES[BRONZE[landed]])
    keeps_all = F.size(FAILED_RULES) == 0
    line = F.coalesce(RESCUED, F.to_json(F.struct(*landed.column_names)))
    found = marked.select(
        *(F.col(f"{_TYPED}{name}").alias(name) for name in landed.column_names),
        *PLACE,
        FAILED_RULES,
        F.when(~keeps_all, line).alias(_ROW),
    )
    return found.withColumn(HASH, F.when(keeps_all, _hash(landed)))


def valid(judged_rows: DataFrame, landed: LandedTable) -> DataFrame:
    """Those that keep all rules: typed, with their place and `hash_value`."""
    return judged_rows.where(F.size(FAILED_RULES) == 0).select(*landed.column_names, *PLACE, HASH)


def with_hash(rows: DataFrame, landed: LandedTable) -> DataFrame:
    """The typed rows with `hash_value`."""
    return rows.withColumn(HASH, _hash(landed))


def _hash(landed: LandedTable) -> SparkColumn:
    """As JSON no two rows are the same text, which they might be put side by side."""
    return F.md5(F.to_json(F.struct(*landed.column_names)))


def refused(judged_rows: DataFrame) -> DataFrame:
    """Those that break a rule, as rows of quarantine."""
    broken = judged_rows.where(F.size(FAILED_RULES) > 0).withColumnRenamed(FAILED_RULES, "reasons")
    return broken.select(*QUARANTINE.column_names)
