"""Landed rows: which are valid, what their text stands for, and what becomes of the others."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.customers.landed import LANDED, LandedTable
from music_lakehouse.defs.customers.tables import BRONZE, HASH, QUARANTINE
from music_lakehouse.lakehouse.coercion import coerced
from music_lakehouse.lakehouse.expectations import FAILED_RULES, Action, Rule, mark
from music_lakehouse.lakehouse.file_ingest import DATE_ADDED, RESCUED, ROW_NUMBER, SOURCE_FILE
from music_lakehouse.lakehouse.tables import Column, Table

_TYPED = "_typed"
# Of what others send, so much is refused on any day.
_USUAL_SHARE = 0.05


def rules(landed: LandedTable) -> list[Rule]:
    """What a row needs to become one of silver, said of its text and of `_typed`. Of a line that has no columns nothing
    is said of these."""
    found = [
        _rule("malformed", f"`{RESCUED}` IS NULL", "a row has as many fields as the header, and each quote is closed")
    ]
    for column in landed.columns:
        found.append(_is_there(column, required=column.name in landed.required))
        if column.type != "STRING":
            found.append(_fits(column))
    return found


def _is_there(column: Column, *, required: bool) -> Rule:
    there = f"`{column.name}` <> ''" if required else f"`{column.name}` IS NOT NULL"
    what = f"{column.name} is there" if required else f"the file has the column {column.name}"
    return _rule(f"{column.name}_missing", f"`{RESCUED}` IS NOT NULL OR {there}", what)


def _fits(column: Column) -> Rule:
    fits = f"{_TYPED}.`{column.name}` IS NOT NULL OR coalesce(`{column.name}`, '') = ''"
    return _rule(f"{column.name}_unfit", fits, f"{column.name} is {column.type.lower()} or empty")


def _rule(name: str, predicate: str, description: str) -> Rule:
    return Rule(name, predicate, Action.DROP, description, threshold=_USUAL_SHARE)


RULES: dict[Table, list[Rule]] = {BRONZE[landed]: rules(landed) for landed in LANDED}
"""The rules of each bronze table's rows."""


def judged(rows: DataFrame, landed: LandedTable) -> DataFrame:
    """The bronze rows with `_typed`, what their columns' text stands for (null where it doesn't fit), and
    `_failed_rules`, the names of the rules that each breaks."""
    values = (f"{coerced(c.name, c.type)} AS `{c.name}`" for c in landed.columns)
    return mark(rows.withColumn(_TYPED, F.struct(*map(F.expr, values))), RULES[BRONZE[landed]])


def valid(judged_rows: DataFrame, landed: LandedTable) -> DataFrame:
    """Those that keep all rules, typed, with `hash_value`, and their place: `date_added`, `source_filename` and
    `row_number`."""
    kept = judged_rows.where(F.size(FAILED_RULES) == 0)
    return with_hash(kept.select(f"{_TYPED}.*", DATE_ADDED, SOURCE_FILE, ROW_NUMBER), landed)


def with_hash(rows: DataFrame, landed: LandedTable) -> DataFrame:
    """The typed rows with `hash_value`. As JSON no two rows are the same text, which they might be put side by side."""
    return rows.withColumn(HASH, F.md5(F.to_json(F.struct(*landed.column_names))))


def refused(judged_rows: DataFrame, landed: LandedTable) -> DataFrame:
    """Those that break a rule, as rows of quarantine."""
    broken = judged_rows.where(F.size(FAILED_RULES) > 0)
    line = F.coalesce(RESCUED, F.to_json(F.struct(*landed.column_names)))
    named = broken.withColumn("row", line).withColumnRenamed(FAILED_RULES, "reasons")
    return named.select(*QUARANTINE.column_names)
