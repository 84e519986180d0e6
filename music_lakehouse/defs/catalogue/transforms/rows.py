"""Landed rows: which are valid, which of them the database held last, and what becomes of the others."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from music_lakehouse.defs.catalogue.entities import ENTITIES, Entity
from music_lakehouse.defs.catalogue.tables import BRONZE, QUARANTINE
from music_lakehouse.lakehouse.expectations import FAILED_RULES, Rule, mark, needed
from music_lakehouse.lakehouse.file_ingest import RESCUED, ROW_NUMBER, SOURCE_FILE
from music_lakehouse.lakehouse.landing import DELETED, EXTRACTED_AT
from music_lakehouse.lakehouse.tables import Table

LANDED_ORDER = (EXTRACTED_AT, SOURCE_FILE, ROW_NUMBER)
"""The order in which the database held what landed: load by load, and within one as it was read."""


def rules(entity: Entity) -> list[Rule]:
    """What a row needs to become one of silver. Of a deleted row nothing but the key is there."""
    unless_deleted = f"`{DELETED}` OR"
    return [
        needed(f"{entity.key}_missing", f"`{entity.key}` IS NOT NULL", f"{entity.key} is there"),
        *(
            needed(f"{name}_missing", f"{unless_deleted} `{name}` IS NOT NULL", f"{name} is there")
            for name in entity.required
        ),
        *(
            needed(f"{name}_not_positive", f"{unless_deleted} `{name}` > 0", f"{name} is above zero")
            for name in entity.positive
        ),
    ]


RULES: dict[Table, list[Rule]] = {BRONZE[entity.name]: rules(entity) for entity in ENTITIES}
"""The rules of each bronze table's rows."""


def judged(rows: DataFrame, entity: Entity) -> DataFrame:
    """The bronze rows with `_failed_rules`, the names of the rules that each breaks."""
    return mark(rows, RULES[BRONZE[entity.name]])


def valid(judged_rows: DataFrame, entity: Entity) -> DataFrame:
    """Those that keep all rules, cleaned, with `_deleted` and their place in the order in which they landed."""
    kept = judged_rows.where(F.size(FAILED_RULES) == 0)
    columns = (F.upper(name).alias(name) if name in entity.upper else F.col(name) for name in entity.column_names)
    return kept.select(*columns, DELETED, *LANDED_ORDER)


def latest(rows: DataFrame, entity: Entity) -> DataFrame:
    """Of valid rows, for each key what the database held last, as rows of silver; none where that was deleted."""
    others = [name for name in entity.column_names if name != entity.key]
    last = F.max_by(F.struct(*others, DELETED), F.struct(*LANDED_ORDER)).alias("last")
    return rows.groupBy(entity.key).agg(last).where(f"NOT last.{DELETED}").select(entity.key, "last.*").drop(DELETED)


def refused(judged_rows: DataFrame, entity: Entity) -> DataFrame:
    """Those that break a rule, as rows of quarantine."""
    row = F.to_json(F.struct(*entity.column_names, RESCUED, DELETED, EXTRACTED_AT))
    broken = judged_rows.where(F.size(FAILED_RULES) > 0).withColumnRenamed(FAILED_RULES, "reasons")
    named = broken.withColumn("row", row).withColumn("table", F.lit(entity.source.name))
    return named.select(*QUARANTINE.column_names)
