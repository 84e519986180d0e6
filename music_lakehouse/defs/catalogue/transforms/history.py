"""What held when: landed rows as versions of what they tell of."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from music_lakehouse.defs.catalogue.entities import UPDATED_AT, Entity
from music_lakehouse.defs.catalogue.tables import DIMENSION_TABLES, shown_columns, version_key
from music_lakehouse.defs.catalogue.transforms.rows import LANDED_ORDER
from music_lakehouse.lakehouse.lake import selected
from music_lakehouse.lakehouse.landing import DELETED, EXTRACTED_AT
from music_lakehouse.lakehouse.scd2 import versions_query

_AT = "_at"


def standing_evidence(rows: DataFrame, entity: Entity) -> DataFrame:
    """The valid rows that still say what held, with `_at`, from when on.

    A row holds from its `updated_at` on, a deletion from when it was seen, but after the row that it ends. The database
    has one row a key: what it says last is true from then on, so that earlier rows of the same time or a later one are
    no evidence any more. That is how a clock that went back, a row changed without a newer time, and a key that comes
    back with an old time are taken.
    """
    landed = Window.partitionBy(entity.key).orderBy(*LANDED_ORDER)
    before = F.last(UPDATED_AT, ignorenulls=True).over(landed.rowsBetween(Window.unboundedPreceding, -1))
    seen_gone = F.greatest(EXTRACTED_AT, F.timestamp_micros(F.unix_micros(before) + 1))
    timed = rows.withColumn(_AT, F.when(F.col(DELETED), seen_gone).otherwise(F.col(UPDATED_AT)))
    said_later = F.min(_AT).over(landed.rowsBetween(1, Window.unboundedFollowing))
    return (
        timed.withColumn("_said_later", said_later)
        .where(F.col("_said_later").isNull() | (F.col(_AT) < F.col("_said_later")))
        .drop("_said_later")
    )


def versions(rows: DataFrame, entity: Entity) -> DataFrame:
    """All versions of the keys among valid rows, as rows of the entity's dimension. In: all valid rows of these keys,
    in any order."""
    query = versions_query(
        key=[entity.key],
        at=_AT,
        order=(),
        tracked=[*shown_columns(entity), DELETED],
        carried={},
        start="start_at",
        end="end_at",
    )
    told = selected(query, evidence=standing_evidence(rows, entity))
    next_is_gone = F.lead(DELETED, 1, False).over(Window.partitionBy(entity.key).orderBy("start_at"))
    held = told.withColumn("is_deleted", next_is_gone).where(f"NOT {DELETED}")
    named = F.md5(F.concat_ws("|", entity.key, F.unix_micros("start_at")))
    return (
        held.withColumn(version_key(entity), named)
        .withColumn("is_current", F.col("end_at").isNull())
        .select(*DIMENSION_TABLES[entity].column_names)
    )
